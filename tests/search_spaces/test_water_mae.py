"""Whatever is drawn from the spaces of water_mae, the configuration is valid and holds what was asked."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from search_spaces.water_mae import published
from thalweg import discovery
from thalweg.config import flat
from thalweg.data.windows import num_windows
from thalweg.knobs.scheduled import value_at
from thalweg.search.space import load_space
from trainables.water_mae.config import PRESETS, LossKnobs, LossWeights, WaterMAE
from trainables.water_mae.task import WaterMAETask

pytestmark = pytest.mark.slow

SPACES = [name for name in discovery.names("search_spaces") if name.startswith("water_mae")]
NUM_DRAWS = 150


class RandomTrial:
    """Answers at random and remembers what was asked."""

    def __init__(self, seed: int) -> None:
        self.params: dict[str, Any] = {}
        self.asked: dict[str, tuple[Any, ...]] = {}
        self._random = random.Random(seed)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        assert step is None
        self.asked[name] = (low, high, "log" if log else "uniform")
        answer = self._random.choice([low, self._random.uniform(low, high), high])
        return float(self.params.setdefault(name, answer))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        assert (step, log) == (1, False)
        self.asked[name] = (low, high, "int")
        return int(self.params.setdefault(name, self._random.randint(low, high)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.asked[name] = tuple(choices)
        return self.params.setdefault(name, self._random.choice(list(choices)))


def drawn(name: str) -> list[tuple[dict[str, Any], WaterMAE]]:
    space = load_space(name)
    found = []
    for seed in range(NUM_DRAWS):
        trial = RandomTrial(seed)
        config = space(trial)
        assert isinstance(config, WaterMAE)
        found.append((trial.params, config))
    return found


@pytest.mark.parametrize("name", SPACES)
def test_every_draw_is_a_configuration_and_every_question_matters(name: str) -> None:
    draws = drawn(name)
    asked = {param for params, _ in draws for param in params}
    first, *others = [flat(config) for _, config in draws]
    different = {knob for other in others for knob, value in other.items() if value != first.get(knob)}
    # Questions such as whether to contrast at all have no knob of their own; none stands for several.
    assert len(different) >= len(asked) - 2
    different_ones = {config.model_dump_json() for _, config in draws}
    space = load_space(name)
    if len(space.study.first_trials) == space.study.num_trials:
        grid = {space.replay(point)[0].model_dump_json() for point in space.study.first_trials}
        assert different_ones <= grid
        assert len(grid) == space.study.num_trials
    else:  # at the least mask ratio all that is hidden is reconstructed, however much was asked for
        assert len(different_ones) > 0.8 * NUM_DRAWS


@pytest.mark.parametrize("name", ["water_mae_masking", "water_mae_full"])
def test_what_is_reconstructed_lies_between_the_least_share_and_all_that_is_hidden(name: str) -> None:
    seen = set()
    for params, config in drawn(name):
        for kind in ("image", "vector"):
            hidden, kept = (getattr(config.masking, f"{kind}_{word}_ratio") for word in ("mask", "kept_mask"))
            seen.add(kept is None)
            if kept is not None:
                assert 0.15 <= kept <= hidden
                assert params[f"{kind}_decoded"] != 1 or kept == pytest.approx(hidden)
    assert seen == ({False} if name == "water_mae_masking" else {False, True})


def test_the_architecture_is_asked_for_what_the_decoder_and_film_can_use() -> None:
    for params, config in drawn("water_mae_architecture"):
        assert ("decoder_self_attention" in params) == (config.model.decoder_type == "cross")
        assert ("feature_map_input" in params) == config.model.weighted_feature_maps
        assert ("film_scope" in params) == (config.model.film_mode != "none")
        assert config.model.dim <= 96 and config.model.decoder_dim <= 64


def test_a_temperature_is_asked_for_only_where_something_is_contrasted() -> None:
    for params, config in drawn("water_mae_losses"):
        assert ("contrastive_temperature" in params) == (config.loss.contrastive_weight > 0)
        assert config.loss_weights.river_flow == 1


def test_published_weights_meet_equal_ones_and_what_may_be_added_to_them() -> None:
    space = load_space("water_mae_losses")
    replayed = [space.replay(params)[0] for params in space.study.first_trials]
    published, equal, normalised, contrasted = (c for c in replayed if isinstance(c, WaterMAE))
    assert published == equal.model_copy(update={"loss_weights": LossWeights()})
    assert set(equal.loss_weights.model_dump().values()) == {1.0}
    assert normalised == equal.model_copy(update={"loss": LossKnobs(norm_target=True)})
    added = LossKnobs(contrastive_weight=0.01, contrastive_temperature=0.05)
    assert contrasted == equal.model_copy(update={"loss": added})


def test_passes_of_the_full_space_are_bounded_in_tokens() -> None:
    for _, config in drawn("water_mae_full"):
        micro = config.optimization.micro_batch_size
        ratios = config.masking.image_mask_ratio, config.masking.vector_mask_ratio
        images, vectors = (value_at(ratio, 0.0) for ratio in ratios)
        visible = 282 * (1 - images) + 152 * (1 - vectors)
        assert micro is not None and config.optimization.batch_size % micro == 0
        assert micro * 30 * visible <= 2**17


def test_learning_rates_of_the_full_space_grow_with_the_root_of_the_batch() -> None:
    for params, config in drawn("water_mae_full"):
        scale = (config.optimization.batch_size / 16) ** 0.5
        assert config.optimization.lr == pytest.approx(params["lr_at_16"] * scale)


RANGES: Mapping[str, tuple[Any, ...]] = {
    "image_mask_ratio": (0.15, 0.85, "uniform"),
    "vector_mask_ratio": (0.15, 0.85, "uniform"),
    "mask_mode": ("unified", "independent"),
    "image_decoded": (0.0, 1.0, "uniform"),  # from 0.15 of all patches to all that are hidden
    "vector_decoded": (0.0, 1.0, "uniform"),
    "weight_precipitation": (0.1, 300.0, "log"),
    "weight_soil_moisture": (0.1, 300.0, "log"),
    "weight_temperature": (0.1, 300.0, "log"),
    "weight_evaporation": (0.1, 300.0, "log"),
    "lr_at_16": (1e-5, 1e-3, "log"),
    "weight_decay": (1e-3, 0.2, "log"),
    "beta2": (0.95, 0.98, 0.999),
    "batch_size": (4, 8, 16, 32),
    "warmup_ratio": (0.0, 0.3, "uniform"),
    "clip_norm": (0.1, 5.0, "log"),
    "dropout": (0.0, 0.3, "uniform"),
    "dim": (128, 192, 256, 384),
    "num_heads": (4, 8, 16),
    "image_depth": (2, 8, "int"),
    "vector_depth": (1, 6, "int"),
    "shared_depth": (0, 4, "int"),
    "decoder_dim": (64, 128, 256),
    "decoder_num_heads": (4, 8, 16),
    "decoder_depth": (1, 8, "int"),
    "decoder_type": ("cross", "self"),
    "decoder_self_attention": (False, True),
    "feature_maps": ("last", "every second", "all"),
    "feature_map_input": (False, True),
    "film_mode": ("tanh", "one_plus", "none"),
    "film_scope": ("per_patch", "global"),
    "norm_target": (False, True),
    "contrastive": (False, True),
    "contrastive_weight": (1e-3, 0.1, "log"),
    "contrastive_temperature": (0.03, 0.2, "log"),
    "stride": (2, 5, 10, 20),
}
"""What the full space asks; lengths, sizes of patches, thresholds and number formats cannot be ranked by skill."""


def test_the_full_space_asks_for_the_whole_table_of_ranges() -> None:
    space = load_space("water_mae_full")
    asked: dict[str, tuple[Any, ...]] = {}
    for seed in range(NUM_DRAWS):
        trial = RandomTrial(seed)
        space(trial)
        for name, values in trial.asked.items():
            assert asked.setdefault(name, values) == values
    assert asked == RANGES


def test_every_trial_of_the_full_space_is_evaluated_alike() -> None:
    protocols = {
        str(sorted(WaterMAETask(config).protocol().items())) for _, config in drawn("water_mae_full")
    }
    assert len(protocols) == 1


def test_the_published_budgets_are_epochs_of_the_published_windows() -> None:
    num_days = len(np.arange("1989-01-01", "2011-01-01", dtype="datetime64[D]"))
    epochs = {"reference": 10, "exp1": 50, "exp2": 10}
    budgets = {
        name: count * num_windows(num_days, 30, PRESETS[name].data.stride) for name, count in epochs.items()
    }
    assert budgets == {"reference": 4_010, "exp1": 200_150, "exp2": 4_010}
    assert published.study.samples == budgets["reference"]
    assert f"preset=exp1 --samples {budgets['exp1']}" in str(published.__doc__)
    assert f"{budgets['exp2']} samples for the other two" in " ".join(str(published.__doc__).split())


def test_the_published_experiments_are_tried_once_each_and_evaluated_alike() -> None:
    space = load_space("water_mae_published")
    configs = [space.replay(trial)[0] for trial in space.study.first_trials]
    assert configs == [PRESETS[name] for name in ("reference", "exp1", "exp2")]
    protocols = [WaterMAETask(WaterMAE.model_validate(config)).protocol() for config in configs]
    assert protocols[0] == protocols[1] == protocols[2]


def test_the_grid_of_systems_changes_how_is_computed_and_nothing_else() -> None:
    for _, config in drawn("water_mae_systems"):
        knobs = config.optimization
        assert knobs.batch_size == 16 and knobs.micro_batch_size in (4, 8, 16)
        free = {"precision": "fp16", "zero_stage": 1, "micro_batch_size": None}
        assert config.model_copy(update={"optimization": knobs.model_copy(update=free)}) == WaterMAE()
