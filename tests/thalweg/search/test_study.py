"""The settings of a study: evaluation points, rungs, and laws across fields."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from thalweg.search.study import Study


def make(**changes: Any) -> Study:
    return Study(**{"metric": "loss", "mode": "min", "samples": 900, "num_evaluations": 9, **changes})


@given(samples=st.integers(1, 10**7), count=st.integers(1, 40))
def test_evaluations_rise_evenly_to_the_budget(samples: int, count: int) -> None:
    points = make(samples=samples, num_evaluations=min(count, samples)).evaluations
    gaps = [after - before for before, after in pairwise((0, *points))]
    assert points[-1] == samples
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


@given(
    samples=st.integers(1, 10**6),
    count=st.integers(1, 40),
    factor=st.integers(2, 8),
    first=st.one_of(st.none(), st.integers(1, 10**6)),
)
def test_rungs_are_evaluations_before_the_end_and_rise(
    samples: int, count: int, factor: int, first: int | None
) -> None:
    study = make(
        samples=samples,
        num_evaluations=min(count, samples),
        reduction_factor=factor,
        min_samples=None if first is None else min(first, samples),
    )
    assert set(study.rungs) <= set(study.evaluations[:-1])
    assert list(study.rungs) == sorted(set(study.rungs))


def test_rungs_grow_by_the_reduction_factor() -> None:
    assert make(min_samples=100).rungs == (100, 300)


def test_the_first_rung_is_a_ninth_of_the_budget_by_default() -> None:
    assert make().rungs == (100, 300)
    assert make(samples=800, num_evaluations=8).rungs == (100, 300)


def test_a_study_without_a_scheduler_has_no_rungs() -> None:
    assert make(scheduler="none").rungs == ()


@pytest.mark.parametrize(("num_trials", "expected"), [(1, 1), (16, 4), (400, 10)])
def test_a_quarter_of_the_trials_starts_at_random(num_trials: int, expected: int) -> None:
    assert make(num_trials=num_trials).startup_trials == expected


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        ({"num_evaluations": 901}, "num_evaluations must be at most samples = 900, got 901"),
        ({"min_samples": 901}, "min_samples must be at most samples = 900, got 901"),
        ({"num_lanes": 0}, "num_lanes must be at least 1 or 'auto', got 0"),
        ({"cpus_per_worker": 0}, "must book CPU cores or GPUs, got cpus_per_worker=0 and gpus_per_worker=0"),
        ({"sampler": "grid"}, "Input should be 'tpe'"),
        ({"epochs": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_study_that_breaks_a_law_is_refused(changes: dict[str, Any], law: str) -> None:
    with pytest.raises(ValidationError, match=law):
        make(**changes)


def test_every_setting_has_a_sentence() -> None:
    assert [name for name, field in Study.model_fields.items() if not field.description] == []
