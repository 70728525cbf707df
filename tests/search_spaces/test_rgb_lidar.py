"""What the search spaces of the family ask, beyond what every space must keep."""

import random
from itertools import product
from typing import Any

import pytest
import torch

from search_spaces.rgb_lidar import chain as rgb_lidar_chain
from search_spaces.rgb_lidar import cilp as rgb_lidar_cilp
from search_spaces.rgb_lidar import full as rgb_lidar_full
from search_spaces.rgb_lidar import fusion_seeds as rgb_lidar_fusion_seeds
from search_spaces.rgb_lidar import projector as rgb_lidar_projector
from thalweg import discovery
from thalweg.config import check
from thalweg.contract import metrics_of
from thalweg.search.replay import RecordedTrial
from thalweg.search.space import load_space
from trainables.rgb_lidar.chain.knobs import ChainKnobs
from trainables.rgb_lidar.config import PRESETS, RGBLidar
from trainables.rgb_lidar.knobs import FusionKnobs
from trainables.rgb_lidar.task import task_for

GRIDS = {
    "rgb_lidar_ablation": 16,
    "rgb_lidar_data_fraction": 45,
    "rgb_lidar_downsampling": 40,
    "rgb_lidar_early": 30,
    "rgb_lidar_fusion_seeds": 120,
    "rgb_lidar_published": 24,
    "rgb_lidar_published_chain": 6,
    "rgb_lidar_published_second": 8,
}


class Dice:
    """Answers every question of a space by chance."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.params: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, **how: Any) -> float:
        """Returns a number within the bounds."""
        return self.params.setdefault(name, self._random.uniform(low, high))  # type: ignore[no-any-return]

    def suggest_int(self, name: str, low: int, high: int, **how: Any) -> int:
        """Returns a whole number within the bounds."""
        return self.params.setdefault(name, self._random.randint(low, high))  # type: ignore[no-any-return]

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Returns one of the choices."""
        return self.params.setdefault(name, self._random.choice(choices))


def build(config: Any) -> torch.nn.Module:
    with torch.device("meta"):
        return task_for(config).build(None)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(GRIDS))
def test_every_cell_of_a_grid_is_another_valid_configuration_that_can_be_built(name: str) -> None:
    space = load_space(name)
    study = space.study
    assert study.num_trials == len(study.first_trials) == GRIDS[name]
    assert study.rungs == ()
    configs = [space.replay(params)[0] for params in study.first_trials]
    assert len({config.model_dump_json() for config in configs}) == GRIDS[name]
    for config in configs:
        assert sum(weight.numel() for weight in build(config).parameters()) > 0
        assert config.optimization.batch_size <= study.samples


def test_every_grid_is_tested() -> None:
    names = [name for name in discovery.names("search_spaces") if name.startswith("rgb_lidar")]
    grids = {name for name in names if load_space(name).study.grid is not None}
    assert grids == set(GRIDS)


def test_the_grid_of_downsampling_holds_every_meeting_with_every_way_to_halve_maps() -> None:
    space = load_space("rgb_lidar_downsampling")
    found = {
        (config.model.fusion_stage, config.model.fusion, config.model.downsampling)
        for config in (space.replay(cell)[0] for cell in space.study.first_trials)
        if isinstance(config, RGBLidar) and isinstance(config.model, FusionKnobs)
    }
    maps = [("intermediate", fusion) for fusion in ("add", "concat", "hadamard", "matmul")]
    ways = ["maxpool", "avgpool", "strided_extra", "strided_replace"]
    assert found == {(*meeting, way) for meeting, way in product([("late", "concat"), *maps], ways)}


def test_the_published_grids_are_the_published_experiments() -> None:
    first, second = load_space("rgb_lidar_published"), load_space("rgb_lidar_published_second")
    found = []
    for space in (first, second):
        for params in space.study.first_trials:
            config, _ = space.replay(params)
            preset = PRESETS[params["fusion"]]
            assert isinstance(config, RGBLidar)
            assert (config.dataset, config.seed, config.data) == ("default", preset.seed, preset.data)
            assert config.optimization.batch_size == 32
            found.append((config.optimization.lr, config.optimization.lr_schedule))
    assert set(found[:24]) == set(product([1e-4, 1e-5, 1e-6], ["cosine", "constant"]))
    assert set(found[24:]) == {(1e-4, "constant")}
    assert (first.study.samples, second.study.samples) == (15 * 2800, 20 * 2800)
    for space in (first, second):
        assert len({cell["fusion"] for cell in space.study.first_trials}) == 4


def test_the_smallest_share_of_the_default_scenes_still_fills_a_batch() -> None:
    space = load_space("rgb_lidar_data_fraction")
    assert {cell["data_fraction"] for cell in space.study.first_trials} == {0.01, 0.03, 0.1, 0.3, 1.0}
    config, _ = space.replay({"data_fraction": 0.01})
    assert config.optimization.batch_size <= 2 * round(0.01 * 1400)


@pytest.mark.parametrize("space", [rgb_lidar_cilp, rgb_lidar_chain, rgb_lidar_full])
def test_a_large_batch_is_no_question_of_memory(space: Any) -> None:
    config = space.space(RecordedTrial({"batch_size": 64}))
    assert (config.optimization.batch_size, config.optimization.micro_batch_size) == (64, 64)
    small = space.space(RecordedTrial({"batch_size": 16}))
    assert small.optimization.micro_batch_size == 16
    if space is not rgb_lidar_chain:
        large = space.space(RecordedTrial({"batch_size": 256}))
        assert (large.optimization.batch_size, large.optimization.micro_batch_size) == (256, 64)


@pytest.mark.slow
def test_whatever_the_full_space_proposes_can_be_built_and_has_three_blocks() -> None:
    seen: dict[str, set[Any]] = {}
    for seed in range(200):
        trial = Dice(seed)
        config = check(rgb_lidar_full.space(trial))
        assert isinstance(config.model, FusionKnobs)
        assert config.model.depth + config.model.fused_depth == rgb_lidar_full.NUM_BLOCKS
        late = trial.params["fusion_stage"] == "late"
        asked_late = {"late_fusion", "normalize_embeddings", "embedding_dim", "head_dim"}
        asked_maps = {"intermediate_fusion", "blocks_before_meeting"}
        assert asked_late <= set(trial.params) if late else asked_maps <= set(trial.params)
        assert not (asked_maps if late else asked_late) & set(trial.params)
        assert ("weight_decay" in trial.params) == trial.params["decays"]
        assert ("warmup_ratio" in trial.params) == (trial.params["lr_schedule"] == "cosine")
        assert (config.model.hidden_dim > 0) == trial.params["has_hidden"]
        build(config)
        for name, value in trial.params.items():
            seen.setdefault(name, set()).add(value)
    assert len(seen) == 22
    assert seen["blocks_before_meeting"] == {1, 2, 3}
    assert all(len(values) > 1 for values in seen.values())


def test_the_grid_holds_every_fusion_with_every_rate_and_seed_once() -> None:
    study = rgb_lidar_fusion_seeds.study
    found = [(trial["fusion"], trial["lr"], trial["seed"]) for trial in study.first_trials]
    assert len(rgb_lidar_fusion_seeds.FUSIONS) == 12
    assert sorted(found) == sorted(product(rgb_lidar_fusion_seeds.FUSIONS, (1e-3, 3e-3), range(5)))
    assert study.num_trials == len(found) == 120
    assert study.rungs == ()


@pytest.mark.slow
def test_all_models_of_the_grid_are_of_one_size() -> None:
    space = load_space("rgb_lidar_fusion_seeds")
    asked = rgb_lidar_fusion_seeds.NUM_PARAMETERS
    for params in rgb_lidar_fusion_seeds.GRID.cells[:12]:
        config, _ = space.replay(params)
        with torch.device("meta"):
            model = task_for(config).build(None)  # type: ignore[arg-type]
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
    found = task_for(config).inherit({"rgb_lidar_cilp": best})
    assert isinstance(found.model, ChainKnobs)
    assert (found.model.embedder.embedding_dim, found.model.embedder.downsampling) == (16, "strided_extra")
    assert found.model.projector.target == "maps"


@pytest.mark.parametrize("space", [rgb_lidar_projector, rgb_lidar_chain])
def test_no_trial_is_judged_before_its_projector_is_trained(space: object) -> None:
    assert space.study.rungs == ()  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", ["penultimate", "maps"])
def test_every_target_has_one_protocol(target: str) -> None:
    tasks = [
        task_for(rgb_lidar_projector.space(RecordedTrial({"target": each}))) for each in ("maps", target)
    ]
    assert tasks[0].protocol() == tasks[1].protocol()
    assert "cross_entropy" in [metric.name for metric in metrics_of(tasks[1])]


def test_spaces_return_what_can_be_built() -> None:
    for space in (rgb_lidar_cilp, rgb_lidar_chain, rgb_lidar_projector):
        config: RGBLidar = space.space(RecordedTrial({}))
        with torch.device("meta"):
            assert dict(task_for(config).build(None).named_children())
