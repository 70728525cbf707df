"""Perturbed values: in their ranges, of those parameters that may change, and told."""

import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from families.toy.config import Toy
from thalweg.config import FamilyConfig
from thalweg.errors import ConfigError
from thalweg.search.domains import ChoiceSet, NumberRange
from thalweg.search.replay import RecordedTrial
from thalweg.search.store.population.exploration import changes_told, explored, perturbed
from thalweg.study import Population

KEEP = Population(resample=0.0)


def number(
    low: float, high: float, *, step: float | None = None, log: bool = False, whole: bool = False
) -> NumberRange:
    return NumberRange.make("x", low, high, step, log, whole=whole)


def values(domain: Any, record: Any, settings: Population = KEEP) -> set[Any]:
    return {perturbed(domain, record, settings, Random(seed)) for seed in range(40)}


def test_a_number_is_multiplied_by_either_factor() -> None:
    assert sorted(values(number(1e-4, 1e-1, log=True), 1e-2)) == pytest.approx([8e-3, 1.2e-2])
    assert values(number(0.1, 5.0), 1.0) == {0.8, 1.2}
    assert values(number(1, 64, whole=True), 10) == {8, 12}


def test_a_value_ends_at_the_bounds_of_its_range() -> None:
    assert values(number(0.9, 1.1), 1.0) == {0.9, 1.1}
    assert values(number(0.1, 1.0), 1.0) == {0.8, 1.0}


def test_steps_are_kept_and_one_is_taken_at_least() -> None:
    assert values(number(1, 64, whole=True), 2) == {1, 3}
    assert values(number(8, 64, step=8, whole=True), 16) == {8, 24}
    assert values(number(0.0, 1.0, step=0.25), 0.5) == {0.25, 0.75}


def test_a_range_that_holds_zero_is_moved_by_its_width() -> None:
    assert sorted(values(number(0.0, 10.0), 0.0)) == pytest.approx([0.0, 2.0])
    assert sorted(values(number(-1.0, 1.0), 0.0)) == pytest.approx([-0.4, 0.4])


def test_a_choice_is_drawn_anew_or_stays() -> None:
    shapes = ChoiceSet.make("shape", ("linear", "cosine", "step"))
    assert values(shapes, "linear") == {"linear"}
    assert values(shapes, "linear", Population(resample=1.0)) == {"linear", "cosine", "step"}


def test_values_are_drawn_anew_as_often_as_asked() -> None:
    domain = number(0.1, 5.0)
    drawn = [perturbed(domain, 1.0, Population(resample=0.25), Random(seed)) for seed in range(400)]
    share = sum(value not in (0.8, 1.2) for value in drawn) / 400
    assert 0.18 < share < 0.32


@given(
    low=st.integers(-50, 50),
    width=st.integers(0, 60),
    step=st.one_of(st.none(), st.integers(1, 7)),
    seed=st.integers(0, 99),
    resample=st.sampled_from([0.0, 0.5]),
)
def test_every_value_is_one_that_the_range_takes(
    low: int, width: int, step: int | None, seed: int, resample: float
) -> None:
    for domain in (
        number(low, low + width, step=step or 1, whole=True),
        number(float(low), float(low + width), step=step),
    ):
        value: Any = domain.sample(Random(seed))
        for _ in range(5):
            value = perturbed(domain, value, Population(resample=resample), Random(seed))
            assert domain.accept(value) == pytest.approx(value)
            assert domain.low <= value <= domain.high
            assert math.isfinite(value)


def toy(trial: Any) -> FamilyConfig:
    """Two parameters may change, one fixes the model, one the batch, one changes nothing, and one rules a branch."""
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    width = trial.suggest_int("width", 4, 64)
    batch_size = trial.suggest_categorical("batch_size", (4, 8))
    trial.suggest_float("idle", 0.1, 1.0)
    first = trial.suggest_float("first", 0.1, 10.0)
    if trial.suggest_categorical("weighted", (True, False)):
        first += trial.suggest_float("second", 0.1, 1.0)
    if lr > 0.05 and first > 8:
        raise ConfigError("lr must be small beside a large weight")
    return Toy(width=width, loss_weights={"first": first}, optimization={"lr": lr, "batch_size": batch_size})


PARAMS = {
    "lr": 1e-2,
    "width": 16,
    "batch_size": 8,
    "idle": 0.5,
    "first": 1.0,
    "weighted": True,
    "second": 0.5,
}


def found(settings: Population, params: dict[str, Any] = PARAMS, count: int = 60) -> list[dict[str, Any]]:
    return [explored(toy, params, settings, Random(seed)) for seed in range(count)]


def changed(settings: Population) -> set[str]:
    return {name for each in found(settings) for name in each if each[name] != PARAMS[name]}


def test_only_parameters_that_may_change_are_perturbed() -> None:
    assert changed(Population(resample=0.5)) == {"lr", "first", "second"}
    assert all(each.keys() == PARAMS.keys() for each in found(Population(resample=0.5)))


def test_those_that_are_named_are_perturbed_alone() -> None:
    assert changed(Population(resample=0.5, perturb=("lr",))) == {"lr"}


def test_what_the_space_refuses_stays_as_it_was() -> None:
    near = PARAMS | {"lr": 0.045, "first": 7.4}
    for each in found(Population(resample=0.0, factors=(1.2, 1.2)), near):
        assert each["lr"] == pytest.approx(0.054)
        assert each["first"] == 7.4  # 8.9 would be refused beside it
        toy(RecordedTrial(each))


def test_a_change_is_told_by_its_values() -> None:
    assert changes_told({"lr": 0.01, "width": 4}, {"lr": 0.012, "width": 4}) == "lr 0.01 -> 0.012"
    assert changes_told({"shape": "step"}, {"shape": "step"}) == ""
