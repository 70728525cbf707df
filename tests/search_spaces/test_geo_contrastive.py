"""What the search spaces of the family ask, beyond what every space must keep."""

import math
import random
from typing import Any

import pytest
import torch

from thalweg import discovery
from thalweg.config import check
from thalweg.search.space import load_space
from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.diffusion.knobs import DiffusionKnobs, signal_left
from trainables.geo_contrastive.downstream.knobs import HeadKnobs
from trainables.geo_contrastive.task import task_for

GRIDS = {
    "geo_contrastive_fusion": 30,
    "geo_contrastive_gb": 15,
    "geo_contrastive_gb_objectives": 12,
    "geo_contrastive_iberia_alpha": 9,
    "geo_contrastive_iberia_fusion": 15,
    "geo_contrastive_iberia_objectives": 9,
    "geo_contrastive_norms": 45,
}
NAMES = [name for name in discovery.names("search_spaces") if name.startswith("geo_contrastive")]
SAMPLED = [name for name in NAMES if name not in GRIDS]


class Dice:
    """Answers every question of a space by chance."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def suggest_float(self, name: str, low: float, high: float, **how: Any) -> float:
        """Returns a number within the bounds."""
        return self._random.uniform(low, high)

    def suggest_int(self, name: str, low: int, high: int, **how: Any) -> int:
        """Returns a whole number within the bounds."""
        return self._random.randint(low, high)

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Returns one of the choices."""
        return self._random.choice(choices)


def test_every_grid_is_tested() -> None:
    assert {name for name in NAMES if load_space(name).study.grid is not None} == set(GRIDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(GRIDS))
def test_every_cell_of_a_grid_is_another_valid_configuration_that_can_be_built(name: str) -> None:
    space = load_space(name)
    study = space.study
    assert study.num_trials == len(study.first_trials) == GRIDS[name]
    configs = [space.replay(params)[0] for params in study.first_trials]
    assert len({config.model_dump_json() for config in configs}) == GRIDS[name]
    for config in configs[::3]:  # the others differ in their seed
        assert isinstance(config, GeoContrastive)
        with torch.device("meta"):
            assert sum(weight.numel() for weight in task_for(config).build(None).parameters()) > 0


@pytest.mark.parametrize("name", SAMPLED)
def test_whatever_a_space_samples_is_a_valid_configuration(name: str) -> None:
    space = load_space(name)
    for seed in range(50):
        config = space.function(Dice(seed))
        assert isinstance(check(config), GeoContrastive)


@pytest.mark.parametrize("name", ["forecast", "assimilation", "diffusion", "seasons"])
def test_a_study_of_a_head_is_judged_by_the_head(name: str) -> None:
    space = load_space(f"geo_contrastive_{name}")
    config, _ = space.replay({})
    assert isinstance(config, GeoContrastive)
    assert config.downstream.kind == name and isinstance(config.downstream, HeadKnobs)
    alone = config.downstream.share == 1
    assert alone == bool(config.starts_from) == (name != "seasons")
    task = task_for(config)
    stages = [stage.name for stage in task.stages()]
    assert stages[-1] == name and (len(stages) == 1) == alone
    assert space.study.metric in {metric.name for metric in task.measures()[0].metrics}


def test_noise_of_diffusion_hides_a_latent_in_any_number_of_steps() -> None:
    space = load_space("geo_contrastive_diffusion")
    for num_steps in (200, 500, 1000):
        for total in (5.0, 20.0):
            config, _ = space.replay({"num_steps": num_steps, "sum_of_betas": total})
            assert isinstance(config, GeoContrastive) and isinstance(config.downstream, DiffusionKnobs)
            left = signal_left(num_steps, config.downstream.beta_end)
            assert left == pytest.approx(math.exp(-total / 2), rel=0.75) and left < 0.1


@pytest.mark.parametrize("name", ["geo_contrastive_smoothness", "geo_contrastive_iberia_smoothness"])
def test_a_trial_of_smoothness_trains_its_representation_and_a_forecast(name: str) -> None:
    config, _ = load_space(name).replay({"objective": "simclr"})
    assert isinstance(config, GeoContrastive)
    names = [stage.name for stage in task_for(config).stages()]
    assert names[0] == "contrastive"
    assert names[-1] == "forecast"
    metrics = {metric.name for measure in task_for(config).measures() for metric in measure.metrics}
    assert {"latent_curvature", "forecast_skill_climatology"} <= metrics


def test_no_trial_of_the_full_space_is_judged_before_its_decoder_has_trained() -> None:
    space = load_space("geo_contrastive_full")
    first = min(space.study.rungs) / space.study.samples
    for seed in range(200):
        config = space.function(Dice(seed))
        assert isinstance(config, GeoContrastive)
        stages = task_for(config).stages()
        before = stages[0].share if stages[0].name == "contrastive" else 0.0
        assert before < first - 0.05
