"""The expected best of n trials, beside the mean over all subsets."""

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as some

from thalweg.analysis.side_by_side.expected_best import expected_best
from thalweg.contract import Mode


def _over_all_subsets(values: list[float], n: int, mode: Mode, num_without: int) -> float | None:
    trials: list[float | None] = [*values, *[None] * num_without]
    best = max if mode == "max" else min
    known = ([value for value in each if value is not None] for each in itertools.combinations(trials, n))
    found = [best(each) for each in known if each]
    return statistics.fmean(found) if found else None


@given(
    some.lists(some.floats(-100, 100), max_size=6),
    some.integers(0, 4),
    some.integers(1, 10),
    some.sampled_from(["min", "max"]),
)
def test_it_is_the_mean_of_the_best_over_all_subsets(
    values: list[float], num_without: int, n: int, mode: Mode
) -> None:
    if n > len(values) + num_without:
        with pytest.raises(ValueError, match="n must be from 1"):
            expected_best(values, n, mode, num_without)
        return
    expected = _over_all_subsets(values, n, mode, num_without)
    assert expected_best(values, n, mode, num_without) == (
        None if expected is None else pytest.approx(expected, abs=1e-9)
    )


def test_of_one_it_is_the_mean_and_of_all_the_best() -> None:
    values = [0.3, 0.9, 0.6]
    assert expected_best(values, 1, "max") == pytest.approx(0.6)
    assert expected_best(values, 3, "max") == 0.9 and expected_best(values, 3, "min") == 0.3
    assert expected_best(values, 2, "max") == pytest.approx((0.9 + 0.9 + 0.6) / 3)


def test_a_thousand_trials_do_not_overflow() -> None:
    values = [index / 1000 for index in range(1000)]
    found = expected_best(values, 500, "max")
    assert found is not None and 0.998 < found <= values[-1]
