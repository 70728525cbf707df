"""Replaying a parameter set: defaults, text, ranges."""

import copy
import math
import pickle
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import ConfigError, SpaceError
from thalweg.search.replay import RecordedTrial, SampledTrial


@given(low=st.floats(1e-6, 1e3), factor=st.floats(1, 1e6))
def test_the_default_of_a_logarithmic_range_is_its_geometric_middle(low: float, factor: float) -> None:
    value = RecordedTrial().suggest_float("lr", low, low * factor, log=True)
    assert value == pytest.approx(low * math.sqrt(factor))


@given(low=st.integers(-50, 50), steps=st.integers(0, 20), step=st.integers(1, 9))
def test_the_default_of_a_grid_lies_on_it(low: int, steps: int, step: int) -> None:
    value = RecordedTrial().suggest_int("n", low, low + steps * step, step=step)
    assert value in range(low, low + steps * step + 1, step)


@given(value=st.integers(-20, 20))
def test_a_grid_holds_its_points_and_nothing_else(value: int) -> None:
    trial = RecordedTrial({"n": value})
    if value in range(-9, 13, 3):
        assert trial.suggest_int("n", -9, 12, step=3) == value
    else:
        with pytest.raises(ConfigError, match="n must be in"):
            trial.suggest_int("n", -9, 12, step=3)


@given(seed=st.integers(0, 10**6))
def test_random_answers_lie_in_their_ranges(seed: int) -> None:
    trial = SampledTrial(Random(seed))
    asked = {
        "x": trial.suggest_float("x", -1, 3),
        "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
        "share": trial.suggest_float("share", 0.1, 0.75, step=0.2),
        "n": trial.suggest_int("n", 3, 17, step=4),
        "width": trial.suggest_int("width", 1, 64, log=True),
        "kind": trial.suggest_categorical("kind", ("mean", ("add", 2), None)),
    }
    for name, value in asked.items():
        domain = trial.asked[name]
        assert domain.accept(value) == trial.params[name]


def test_random_answers_are_spread_evenly_over_the_logarithm() -> None:
    random, counts = Random(1), Counter[int]()
    for _ in range(2000):
        trial = SampledTrial(random)
        counts[math.floor(math.log10(trial.suggest_float("lr", 1e-4, 1, log=True)))] += 1
    assert sorted(counts) == [-4, -3, -2, -1]
    assert all(400 < count < 600 for count in counts.values())
    values = Counter(SampledTrial(random).suggest_int("n", 1, 3) for _ in range(300))
    assert sorted(values) == [1, 2, 3] and min(values.values()) > 60


def test_text_stands_for_the_value_that_it_spells() -> None:
    trial = RecordedTrial({"lr": "1e-3", "heads": "8", "fusion": "add", "flag": "True", "size": "16"})
    assert trial.suggest_float("lr", 1e-4, 1e-1, log=True) == 1e-3
    assert trial.suggest_int("heads", 1, 16) == 8
    assert trial.suggest_categorical("fusion", ("mean", "add")) == "add"
    assert trial.suggest_categorical("flag", (False, True)) is True
    assert trial.suggest_categorical("size", (8, 16)) == 16


@pytest.mark.parametrize("text", ["1", "1.0", "1e0"])
def test_text_stands_for_the_number_among_choices_that_it_spells(text: str) -> None:
    answer = RecordedTrial({"weight": text}).suggest_categorical("weight", (0.0, "one", 1.0))
    assert type(answer) is float and answer == 1.0


@pytest.mark.parametrize("text", ["1", "2", "true", "nan"])
def test_text_that_spells_none_of_the_choices_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"weight must be one of 0.0, True, got"):
        RecordedTrial({"weight": text}).suggest_categorical("weight", (0.0, True))


def test_none_may_be_a_choice() -> None:
    assert RecordedTrial({"cap": None}).suggest_categorical("cap", (1, None)) is None


@pytest.mark.parametrize("value", ["many", None, True, 2.5, math.nan])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"heads must be in \[1, 16\]"):
        RecordedTrial({"heads": value}).suggest_int("heads", 1, 16)


def test_an_unknown_choice_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match="fusion must be one of mean, add, got 'sum'"):
        RecordedTrial({"fusion": "sum"}).suggest_categorical("fusion", ("mean", "add"))


def test_one_name_with_two_ranges_is_refused() -> None:
    trial = RecordedTrial()
    trial.suggest_float("x", 0, 1)
    with pytest.raises(SpaceError, match="ask 'x' with one range"):
        trial.suggest_float("x", 0, 2)


def test_one_name_asked_twice_has_one_answer() -> None:
    trial = RecordedTrial({"x": 0.25})
    assert trial.suggest_float("x", 0, 1) == trial.suggest_float("x", 0, 1) == 0.25


def test_a_lenient_trial_ignores_what_was_not_asked() -> None:
    RecordedTrial({"old": 1}, strict=False).check_all_asked()
    with pytest.raises(ConfigError, match=r"got 'old'; with .* it asks nothing"):
        RecordedTrial({"old": 1}).check_all_asked()


def test_a_logarithmic_range_must_be_positive() -> None:
    with pytest.raises(SpaceError, match="low must be positive for 'lr'"):
        RecordedTrial().suggest_float("lr", 0, 1, log=True)


@pytest.mark.parametrize(
    ("ask", "law"),
    [
        (
            lambda trial: trial.suggest_float("x", 0.1, 1, log="yes"),
            "log must be True or False for 'x', got 'yes'",
        ),
        (
            lambda trial: trial.suggest_int("x", 0, 10**400),
            r"high must be at most 2\*\*53 .*got about 2\*\*1329",
        ),
        (
            lambda trial: trial.suggest_int("x", -(2**60), 1),
            r"low must be at most 2\*\*53 .*got about 2\*\*61",
        ),
        (lambda trial: trial.suggest_float("x", 0, 10**400), "high must be at most 1.8e308 in size for 'x'"),
        (lambda trial: trial.suggest_float("", 0, 1), "a parameter's name must be text, got ''; try 'lr'"),
        (lambda trial: trial.suggest_categorical("x", b"ab"), "'x' must have a tuple of choices, got b'ab'"),
        (
            lambda trial: trial.suggest_categorical("x", np.array(3)),
            "'x' must have a tuple of choices, got 3",
        ),
        (
            lambda trial: trial.suggest_uniform("x", 0, 1),
            "a trial has suggest_float, .* got 'suggest_uniform'",
        ),
        (lambda trial: trial.number, "a trial has suggest_float, .* got 'number'"),
    ],
)
def test_a_question_that_no_trial_can_answer_is_refused(ask: Callable[[Any], Any], law: str) -> None:
    with pytest.raises(SpaceError, match=law):
        ask(RecordedTrial())


def test_the_largest_whole_numbers_that_records_hold_are_answered() -> None:
    trial = RecordedTrial({"x": 2**53, "y": 2**53 - 1})
    assert trial.suggest_int("x", 0, 2**53) == 2**53
    assert trial.suggest_int("y", 0, 2**53) == 2**53 - 1


def test_a_trial_can_be_copied() -> None:
    trial = RecordedTrial({"x": 0.25})
    trial.suggest_float("x", 0, 1)
    assert copy.deepcopy(trial).params == pickle.loads(pickle.dumps(trial)).params == {"x": 0.25}


def test_an_empty_set_of_choices_is_refused() -> None:
    with pytest.raises(SpaceError, match="at least one choice"):
        RecordedTrial().suggest_categorical("fusion", ())
