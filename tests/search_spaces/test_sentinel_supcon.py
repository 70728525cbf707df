"""What the search spaces of the family ask, beyond what every space must keep."""

import random
from typing import Any

import pytest
import torch

from search_spaces.sentinel_supcon import full, pretrain
from thalweg import discovery
from thalweg.config import active
from thalweg.search.space import load_space
from thalweg.testing.steps import check_fit
from trainables.sentinel_supcon.task import SceneTask

GRIDS = {
    "sentinel_supcon_matrix": 24,
    "sentinel_supcon_seeds": 48,
    "sentinel_supcon_terramesh_fusion": 30,
    "sentinel_supcon_terramesh_seeds": 36,
    "sentinel_supcon_terramesh_tiles": 18,
}
SEARCHES = [
    "sentinel_supcon_losses",
    "sentinel_supcon_fusion",
    "sentinel_supcon_pretrain",
    "sentinel_supcon_full",
]


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


def check_built(config: Any) -> None:
    task = SceneTask(config)
    with torch.device("meta"):
        check_fit(task, task.build(None))


def test_spaces_are_those_that_are_tested() -> None:
    names = {name for name in discovery.names("search_spaces") if name.startswith("sentinel_supcon")}
    assert names == {*GRIDS, *SEARCHES}


@pytest.mark.parametrize("name", sorted(GRIDS))
def test_every_cell_of_a_grid_is_another_valid_configuration(name: str) -> None:
    space = load_space(name)
    assert space.study.num_trials == len(space.study.first_trials) == GRIDS[name]
    configs = [space.replay(params)[0] for params in space.study.first_trials]
    assert len({config.model_dump_json() for config in configs}) == GRIDS[name]


def test_the_matrix_has_every_combination_of_fusion_augmentation_and_supcon() -> None:
    space = load_space("sentinel_supcon_matrix")
    cells = set()
    for params in space.study.first_trials:
        config: Any = space.replay(params)[0]
        cells.add((config.model.is_fused, config.views.augment, config.tuning.sup_delta > 0))
    assert len(cells) == 8


@pytest.mark.parametrize("name", [name for name in GRIDS if name.endswith(("seeds", "tiles"))])
def test_all_losses_are_compared_at_the_same_seeds_and_rates(name: str) -> None:
    space = load_space(name)
    configs: list[Any] = [space.replay(params)[0] for params in space.study.first_trials]
    by_loss = {
        loss: {
            (config.seed, config.optimization.lr)
            for config in configs
            if (config.tuning.sup_delta, config.views.augment) == loss
        }
        for loss in ((0.0, True), (0.0, False), (1.0, True))
    }
    first, *others = by_loss.values()
    assert others == [first, first] and 3 * len(first) == len(configs)
    assert len({seed for seed, _ in first}) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
def test_every_answer_gives_a_configuration_that_can_be_built(name: str) -> None:
    space = load_space(name)
    for seed in range(25):
        config = space.function(Dice(seed))
        check_built(config)
        assert config.optimization.batch_size <= space.study.samples


@pytest.mark.parametrize("module", [pretrain, full])
def test_no_answer_is_to_a_knob_without_effect(module: Any) -> None:
    """What a trial was asked about pre-training, SupCon and views is among its live knobs."""
    for seed in range(60):
        dice = Dice(seed)
        config = module.space(dice)
        live = active(config)
        asked = {
            "share": "pretraining.share",
            "views": "pretraining.views",
            "loss": "pretraining.loss",
            "pretraining_loss": "pretraining.loss",
            "negatives": "pretraining.negatives",
            "sup_delta": "tuning.sup_delta",
            "contrast": "tuning.contrast",
            "temperature": "tuning.temperature" if module is full else "pretraining.temperature",
            "fusion": "model.fusion",
            "num_prototypes": "model.num_prototypes",
            "ot_weight": "pretraining.ot_weight",
            "paired_geometry": "views.paired_geometry",
        }
        for name in dice.params:
            assert name not in asked or asked[name] in live, (seed, name)
