from pathlib import Path
from typing import Any

import pytest
import torch

from thalweg.config import check
from thalweg.errors import ConfigError
from thalweg.training.checkpoints.frozen_weights import load_starting_points
from trainables.rgb_lidar.chain.knobs import ChainKnobs
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.knobs import DataKnobs, FusionKnobs
from trainables.rgb_lidar.task import task_for

OTHER_INPUTS = DataKnobs(rgb_channels=3, lidar_repr="depth", lidar_norm="raw")


def pretrained(chain: RGBLidar, *, stages: tuple[str, ...] = ("cilp",), **embedder: Any) -> RGBLidar:
    """Returns a chain that reads image and scan, and builds its embedders, as the fusion does not."""
    assert isinstance(chain.model, ChainKnobs)
    changes = {"downsampling": "avgpool", "embedding_dim": 9, "neck_dim": 11} | embedder
    model = chain.model.model_copy(
        update={"stages": stages, "embedder": chain.model.embedder.model_copy(update=changes)}
    )
    starts_from = () if stages == ("cilp",) else ("before",)
    return check(chain.model_copy(update={"model": model, "data": OTHER_INPUTS, "starts_from": starts_from}))


def own(config: RGBLidar, *studies: str, **knobs: Any) -> RGBLidar:
    data = config.data.model_copy(update={"data_fraction": 0.5})
    model = config.model.model_copy(update=knobs)
    return check(config.model_copy(update={"starts_from": studies, "model": model, "data": data}))


def inherit(config: RGBLidar, **starting_points: RGBLidar) -> RGBLidar:
    return check(task_for(config).inherit(starting_points))


@pytest.mark.parametrize("stage", ["late", "intermediate"])
def test_encoders_of_a_chain_read_and_compute_as_they_were_trained_to(
    config: RGBLidar, chain: RGBLidar, stage: str, tmp_path: Path
) -> None:
    start = pretrained(chain)
    found = inherit(own(config, "a", fusion_stage=stage), a=start)
    assert found.data == OTHER_INPUTS.model_copy(update={"data_fraction": 0.5})
    trained = task_for(start).build(None)
    torch.save({"weights": trained.state_dict()}, tmp_path / "a.pt")
    model = task_for(found).build(None)
    load_starting_points(model, {"a": str(tmp_path / "a.pt")})
    images, scans = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64)
    for name, inputs in (("rgb", images), ("lidar", scans)):
        expected = trained.get_submodule(name if stage == "late" else f"{name}.0")(inputs)
        assert torch.equal(model.get_submodule(name)(inputs).flatten(1), expected.flatten(1))


def test_a_late_fusion_takes_whole_embedders_and_an_intermediate_one_their_blocks(
    config: RGBLidar, chain: RGBLidar
) -> None:
    start = pretrained(chain, channels=5, max_channels=7, depth=1, hidden_dim=13, dropout=0.25)
    assert isinstance(start.model, ChainKnobs)
    blocks = {"downsampling": "avgpool", "channels": 5, "max_channels": 7, "depth": 1}
    late, maps = (
        inherit(before, a=start).model
        for before in (own(config, "a"), own(config, "a", fusion_stage="intermediate"))
    )
    assert late == config.model.model_copy(update=start.model.embedder.model_dump())
    assert maps == config.model.model_copy(update={"fusion_stage": "intermediate"} | blocks)


def test_an_embedder_of_images_alone_leaves_the_scan_to_the_fusion(config: RGBLidar, chain: RGBLidar) -> None:
    found = inherit(own(config, "a"), a=pretrained(chain, stages=("projector",)))
    assert found.data == config.data.model_copy(update={"rgb_channels": 3, "data_fraction": 0.5})
    assert isinstance(found.model, FusionKnobs)
    assert found.model.downsampling == "avgpool"


def test_a_fusion_that_trains_on_takes_the_whole_model(config: RGBLidar) -> None:
    wide = config.model_copy(
        update={
            "data": OTHER_INPUTS,
            "model": config.model.model_copy(update={"downsampling": "avgpool", "head_dim": 9}),
        }
    )
    found = inherit(own(config, "a", dropout=0.5), a=wide)
    assert found.model == wide.model
    assert found.data == OTHER_INPUTS.model_copy(update={"data_fraction": 0.5})


@pytest.mark.parametrize("change", [{"fusion": "hadamard"}, {"fusion_stage": "intermediate"}])
def test_a_head_is_not_taken_for_another_fusion(config: RGBLidar, change: dict[str, str]) -> None:
    start = own(config, fusion="add")
    asked = own(config, "a", **{"fusion": "add"} | change)
    with pytest.raises(ConfigError, match=r"must meet as in the study of fusions.* where 'a' has 'late add'"):
        inherit(asked, a=start)


def test_a_study_of_fusions_is_the_only_starting_point(config: RGBLidar, chain: RGBLidar) -> None:
    with pytest.raises(ConfigError, match="must be the only one in starts_from, got a, b; name 'b' alone"):
        inherit(own(config, "a", "b"), a=pretrained(chain), b=config)


def test_a_chain_without_an_embedder_is_refused(config: RGBLidar, chain: RGBLidar) -> None:
    scans = chain.model_copy(update={"model": chain.model.model_copy(update={"stages": ("classifier",)})})
    with pytest.raises(ConfigError, match="with an embedder, got 'a' with classifier; name one"):
        inherit(own(config, "a"), a=scans)


def test_encoders_from_two_studies_share_their_knobs(config: RGBLidar, chain: RGBLidar) -> None:
    starting_points = {
        "a": pretrained(chain),
        "b": pretrained(chain, stages=("projector",), downsampling="maxpool"),
    }
    with pytest.raises(
        ConfigError, match="both encoders share their knobs, got rgb from 'b' and lidar from 'a'"
    ):
        inherit(own(config, "a", "b"), **starting_points)


def test_an_encoder_of_both_sensors_takes_none_of_one(config: RGBLidar, chain: RGBLidar) -> None:
    with pytest.raises(ConfigError, match=r"read one sensor, .* got model\.fusion_stage 'early'; set it to"):
        inherit(own(config, "a", fusion_stage="early"), a=pretrained(chain))


def test_given_widths_leave_no_size_to_match(config: RGBLidar, chain: RGBLidar) -> None:
    with pytest.raises(
        ConfigError, match=r"must be None for a late fusion that starts from a chain, .* 9,000"
    ):
        inherit(own(config, "a", num_parameters=9000), a=pretrained(chain))
    maps = own(config, "a", num_parameters=9000, fusion_stage="intermediate")
    assert isinstance(found := inherit(maps, a=pretrained(chain)).model, FusionKnobs)
    assert found.num_parameters == 9000
