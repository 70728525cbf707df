"""Which parameters a population may perturb, and what is refused before a lane starts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from families.toy.config import Toy
from tests.thalweg.search.store.population.test_exploration import toy
from thalweg.config import FamilyConfig
from thalweg.errors import ConfigError
from thalweg.search.preflight import prepare
from thalweg.search.space import Space, load_space
from thalweg.search.store.population.perturbable import check_population, parameters_of
from thalweg.study import Population, Study


def space(function: Callable[[Any], FamilyConfig], **population: Any) -> Space:
    study = Study(metric="mse", mode="min", samples=256, population=Population(**population))
    return replace(load_space("spaces.toys"), function=function, study=study, config_type=Toy)


def test_what_may_change_is_found_by_trial() -> None:
    found = parameters_of(space(toy))
    assert {name for name, known in found.items() if known.may} == {"lr", "first", "second"}
    assert found["width"].fixed == {"width"}
    assert found["batch_size"].fixed == {"optimization.batch_size"}
    assert not found["idle"].fixed and not found["weighted"].may
    check_population(space(toy, perturb=("lr", "first")))


def fixed(trial: Any) -> Toy:
    return Toy(width=trial.suggest_int("units", 4, 64), seed=trial.suggest_int("seed", 0, 9))


def test_a_space_without_any_is_refused_by_name_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        prepare(space(fixed), tmp_path / "data")
    assert "got units (changes width), seed (changes seed); ask for one of loss_weights.first" in str(
        error.value
    )
    assert "Knobs.changeable" in str(error.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "width",
            r"perturb must name parameters that may change during training, got width \(changes width\)",
        ),
        ("idle", r"got idle \(changes no knob\)"),
        ("rate", r"no parameter 'rate', which is to be perturbed, in the space.*found: batch_size"),
    ],
)
def test_a_parameter_that_may_not_be_perturbed_is_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_population(space(toy, perturb=(name,)))


def test_other_schedulers_perturb_nothing() -> None:
    check_population(load_space("spaces.toys"))
