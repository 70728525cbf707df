"""Whatever is drawn from the spaces of water_mae, the configuration is valid and holds what was asked."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from thalweg import discovery
from thalweg.config import flat
from thalweg.search.space import load_space
from trainables.water_mae.config import WaterMAE

SPACES = [name for name in discovery.names("search_spaces") if name.startswith("water_mae")]
NUM_DRAWS = 150


class RandomTrial:
    """Answers at random and remembers what was asked."""

    def __init__(self, seed: int) -> None:
        self.params: dict[str, Any] = {}
        self._random = random.Random(seed)

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
        return float(
            self.params.setdefault(name, self._random.choice([low, self._random.uniform(low, high), high]))
        )

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> int:
        return int(self.params.setdefault(name, self._random.randint(low, high)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
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
    different = {
        knob
        for _, config in draws
        for knob, value in flat(config).items()
        if value != flat(draws[0][1]).get(knob)
    }
    # Questions such as whether to contrast at all have no knob of their own; none stands for several.
    assert len(different) >= len(asked) - 2
    # At the least mask ratio all that is hidden is reconstructed, however much was asked for.
    assert len({config.model_dump_json() for _, config in draws}) > 0.8 * NUM_DRAWS


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


def test_passes_of_the_full_space_are_bounded_in_tokens() -> None:
    for _, config in drawn("water_mae_full"):
        micro = config.optimization.micro_batch_size
        visible = 282 * (1 - config.masking.image_mask_ratio) + 152 * (1 - config.masking.vector_mask_ratio)
        assert micro is not None and config.optimization.batch_size % micro == 0
        assert micro * 30 * visible <= 2**17


def test_learning_rates_of_the_full_space_grow_with_the_root_of_the_batch() -> None:
    for params, config in drawn("water_mae_full"):
        scale = (config.optimization.batch_size / 16) ** 0.5
        assert config.optimization.lr == pytest.approx(params["lr_at_16"] * scale)
