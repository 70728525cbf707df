"""Options at equal numbers of parameters: what size explains is not the option's."""

import math

import numpy as np
import pytest

from thalweg.analysis.side_by_side.equal_parameters import MIN_TRIALS, at_equal_parameters, between
from thalweg.contract import Mode

Sized = list[tuple[float, float]]


def _trials(sizes: list[float], better_by: float, rng: np.random.Generator, noise: float = 0.01) -> Sized:
    """Returns trials whose value grows with the logarithm of their size."""
    return [(size, 0.1 * math.log(size) + better_by + noise * float(rng.standard_normal())) for size in sizes]


def test_what_size_explains_is_not_the_options() -> None:
    rng = np.random.default_rng(0)
    small, large = [100.0, 200.0, 300.0, 400.0, 800.0], [300.0, 400.0, 500.0, 700.0, 900.0, 200.0, 150.0]
    first, other = _trials(small, 0.0, rng), _trials(large, 0.0, rng)
    raw = np.mean([value for _, value in other]) - np.mean([value for _, value in first])
    found = at_equal_parameters("b", first, other, "max", 1)
    assert found.better_by is not None and found.interval is not None
    assert raw > 0.02 and abs(found.better_by) < 0.02 and not found.is_shown
    assert found.sizes == (150.0, 800.0) and found.num_trials == 4 + 6
    shifted = at_equal_parameters("b", first, [(size, value + 0.2) for size, value in other], "max", 1)
    assert shifted.is_shown and shifted.better_by == pytest.approx(found.better_by + 0.2)


def test_it_is_the_difference_of_what_size_leaves_unexplained() -> None:
    rng = np.random.default_rng(1)
    first = _trials([float(size) for size in rng.integers(100, 1000, 9)], 0.0, rng)
    other = _trials([float(size) for size in rng.integers(100, 1000, 8)], 0.03, rng)
    found = at_equal_parameters("b", first, other, "max", 1)
    low = max(min(s for s, _ in first), min(s for s, _ in other))
    high = min(max(s for s, _ in first), max(s for s, _ in other))
    # Frisch-Waugh: the option's coefficient is that of residuals on residuals, after size has been taken out of both.
    rows = [(0.0, *each) for each in first if low <= each[0] <= high]
    rows += [(1.0, *each) for each in other if low <= each[0] <= high]
    option, size, value = np.array(rows).T
    centred = np.log(size) - np.log(size).mean()

    def without_size(column: np.ndarray) -> np.ndarray:
        column = column - column.mean()
        return np.asarray(column - centred * (centred @ column) / (centred @ centred))

    left, right = without_size(option), without_size(value)
    assert found.better_by == pytest.approx((left @ right) / (left @ left))


@pytest.mark.parametrize(("mode", "sign"), [("max", 1.0), ("min", -1.0)])
def test_better_follows_the_direction_of_the_metric(mode: Mode, sign: float) -> None:
    rng = np.random.default_rng(2)
    sizes = [100.0, 120.0, 150.0, 170.0, 200.0]
    found = at_equal_parameters("b", _trials(sizes, 0, rng), _trials(sizes, sign * 0.5, rng), mode, 1)
    assert found.better_by == pytest.approx(0.5, abs=0.05) and found.is_shown


def test_intervals_hold_in_nineteen_of_twenty_samples() -> None:
    rng, hits, count = np.random.default_rng(3), 0, 400
    small, large = [100.0, 200.0, 300.0, 400.0, 500.0], [200.0, 300.0, 400.0, 500.0, 900.0]
    for _ in range(count):
        first, other = (
            _trials(sizes, better_by, rng, noise=0.1) for sizes, better_by in ((small, 0.0), (large, 0.05))
        )
        interval = at_equal_parameters("b", first, other, "max", 1).interval
        assert interval is not None
        hits += interval[0] <= 0.05 <= interval[1]
    assert hits / count > 0.95 - 3 * math.sqrt(0.95 * 0.05 / count)


def test_more_options_have_wider_intervals() -> None:
    rng = np.random.default_rng(4)
    sizes = [100.0, 120.0, 150.0, 170.0, 200.0]
    first, other = _trials(sizes, 0, rng), _trials(sizes, 0, rng)
    one, five = (at_equal_parameters("b", first, other, "max", count).interval for count in (1, 5))
    assert one is not None and five is not None
    assert five[0] < one[0] and five[1] > one[1]


def test_of_one_size_it_is_the_difference_of_means() -> None:
    first, other = [(64.0, value) for value in (1, 2, 3, 4)], [(64.0, value) for value in (2, 3, 4, 7)]
    found = at_equal_parameters("b", first, other, "max", 1)
    assert found.better_by == pytest.approx(1.5) and found.sizes == (64.0, 64.0)


@pytest.mark.parametrize(
    ("sizes", "others", "why"),
    [
        ([100.0] * 6, [200.0] * 6, "no number of parameters is that of both"),
        ([100.0, 300.0] * 3, [200.0] * (MIN_TRIALS - 1), "no number of parameters is that of both"),
        ([100.0, 200.0] * 4, [200.0] * (MIN_TRIALS - 1), "only 3 trials of one of them with 200 parameters"),
        ([], [200.0] * 6, "no complete trial has a number of parameters"),
    ],
)
def test_without_common_sizes_it_cannot_be_told(sizes: list[float], others: list[float], why: str) -> None:
    rng = np.random.default_rng(5)
    found = at_equal_parameters("b", _trials(sizes, 0, rng), _trials(others, 0, rng), "max", 1)
    assert found.better_by is None and not found.is_shown and why in found.why_not


def test_sizes_are_written_with_three_digits() -> None:
    assert between((226.0, 226.0)) == "226" and between((30.0, 9999.0)) == "30 to 9,999"
    assert between((27_100.0, 2_400_000.0)) == "27.1k to 2.4M" and between((7e9, 7e9)) == "7G"
