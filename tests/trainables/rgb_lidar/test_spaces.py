"""What the search spaces of the family ask, beyond what every space must keep."""

from itertools import product

import pytest
import torch

from search_spaces import rgb_lidar_chain, rgb_lidar_cilp, rgb_lidar_fusion_seeds, rgb_lidar_projector
from thalweg.search.recorded import RecordedTrial
from thalweg.search.space import load_space
from trainables.rgb_lidar.chain_knobs import ChainKnobs
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.task import RGBLidarTask


def test_the_grid_holds_every_fusion_with_every_seed_once() -> None:
    study = rgb_lidar_fusion_seeds.study
    found = [(trial["fusion"], trial["seed"]) for trial in study.first_trials]
    assert len(rgb_lidar_fusion_seeds.FUSIONS) == 12
    assert sorted(found) == sorted(product(rgb_lidar_fusion_seeds.FUSIONS, range(5)))
    assert study.num_trials == len(found) == 60
    assert study.rungs == ()


def test_all_models_of_the_grid_are_of_one_size() -> None:
    space = load_space("rgb_lidar_fusion_seeds")
    asked = rgb_lidar_fusion_seeds.NUM_PARAMETERS
    for params in rgb_lidar_fusion_seeds.GRID[:12]:
        config, _ = space.replay(params)
        with torch.device("meta"):
            model = RGBLidarTask(config).build(None)  # type: ignore[arg-type]
        count = sum(parameter.numel() for parameter in model.parameters())
        assert count == pytest.approx(asked, rel=0.01), params


@pytest.mark.parametrize("temperature", ["learnable", "fixed", "none"])
def test_only_a_temperature_is_asked_where_there_is_one(temperature: str) -> None:
    trial = RecordedTrial({"temperature": temperature})
    model = rgb_lidar_cilp.space(trial).model
    assert isinstance(model, ChainKnobs)
    assert model.stages == ("cilp",)
    asked = {"logit_map"} if temperature == "none" else {"initial_temperature"}
    assert asked <= set(trial.params)
    assert not ({"logit_map", "initial_temperature"} - asked) & set(trial.params)


def test_the_projector_s_space_starts_from_what_the_contrastive_one_found() -> None:
    best = rgb_lidar_cilp.space(RecordedTrial({"embedding_dim": 16, "downsampling": "strided_extra"}))
    config = rgb_lidar_projector.space(RecordedTrial({"target": "maps"}))
    assert config.starts_from == ("rgb_lidar_cilp",)
    found = RGBLidarTask(config).inherit({"rgb_lidar_cilp": best})
    assert isinstance(found.model, ChainKnobs)
    assert (found.model.embedder.embedding_dim, found.model.embedder.downsampling) == (16, "strided_extra")
    assert found.model.projector.target == "maps"


@pytest.mark.parametrize("space", [rgb_lidar_projector, rgb_lidar_chain])
def test_no_trial_is_judged_before_its_projector_is_trained(space: object) -> None:
    assert space.study.rungs == ()  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", ["penultimate", "maps"])
def test_every_target_has_one_protocol(target: str) -> None:
    tasks = [
        RGBLidarTask(rgb_lidar_projector.space(RecordedTrial({"target": each}))) for each in ("maps", target)
    ]
    assert tasks[0].protocol() == tasks[1].protocol()
    assert "cross_entropy" in tasks[1].measured()


def test_spaces_return_what_can_be_built() -> None:
    for space in (rgb_lidar_cilp, rgb_lidar_chain, rgb_lidar_projector):
        config: RGBLidar = space.space(RecordedTrial({}))
        with torch.device("meta"):
            assert dict(RGBLidarTask(config).build(None).named_children())
