"""The expected improvement by the next trials, against distributions whose truth is known."""

from collections.abc import Callable
from itertools import combinations
from statistics import mean
from typing import Any

import numpy as np
import pytest

from thalweg.search.stopping.expected_improvement import MIN_TRIALS, _best_of, expected_improvement

Draw = Callable[[np.random.Generator, Any], Any]

DRAWS: dict[str, Draw] = {
    "uniform": lambda rng, shape: rng.random(shape),
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "lognormal": lambda rng, shape: np.exp(rng.standard_normal(shape)),
    "distance": lambda rng, shape: np.sqrt((rng.random((4, *np.atleast_1d(shape))) ** 2).sum(0)),
}


def _ratio(draw: Draw, count: int, num_next: int) -> float:
    """Returns the mean estimate over the mean of what the next draws bring, over 300 studies."""
    rng = np.random.default_rng(0)
    estimates, truths = [], []
    for _ in range(300):
        seen = draw(rng, count)
        best_of_next = draw(rng, (50, num_next)).min(1)
        estimate = expected_improvement(seen.tolist(), num_next)
        assert estimate is not None
        estimates.append(estimate)
        truths.append(np.maximum(seen.min() - best_of_next, 0).mean())
    return float(np.mean(estimates) / np.mean(truths))


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize(("count", "num_next"), [(10, 10), (20, 10), (30, 10), (60, 20)])
def test_the_estimate_is_that_of_the_planted_distribution(name: str, count: int, num_next: int) -> None:
    assert 0.6 < _ratio(DRAWS[name], count, num_next) < 1.4


@pytest.mark.parametrize("name", DRAWS)
def test_many_earlier_trials_end_no_study_too_early(name: str) -> None:
    assert 0.9 < _ratio(DRAWS[name], 60, 10) < 3.5


def test_the_best_of_some_values_is_the_mean_over_all_choices() -> None:
    values = np.sort(np.random.default_rng(1).standard_normal(9))
    for size in range(1, 10):
        chosen = mean(min(choice) for choice in combinations(values, size))
        assert _best_of(values, size) == pytest.approx(chosen)


def test_nothing_is_estimated_from_a_few_trials() -> None:
    assert expected_improvement([0.5] * (MIN_TRIALS - 1), 3) is None
    assert expected_improvement([0.5, 0.4] * 5, 11) is None
    assert expected_improvement([0.5] + [None] * 20, 3) is None


def test_values_that_are_all_the_same_promise_nothing() -> None:
    assert expected_improvement([0.25] * 30, 10) == 0.0


def test_trials_that_were_stopped_early_count_as_bad() -> None:
    losses: list[float | None] = [0.1 * number for number in range(1, 13)]
    stopped = [loss if loss is not None and loss < 0.7 else None for loss in losses]
    every, some = expected_improvement(losses, 4), expected_improvement(stopped, 4)
    assert every is not None and some is not None
    assert some == pytest.approx(every, rel=0.3)
    assert some != expected_improvement([loss for loss in stopped if loss is not None] * 2, 4)


def test_the_latest_trials_that_come_no_more_near_the_best_promise_little() -> None:
    rng = np.random.default_rng(2)
    latest = (1 + rng.random(30)).tolist()
    promising, hopeless = (expected_improvement([best, *latest], 10) for best in (min(latest), 0.2))
    assert promising is not None and promising > 0
    assert hopeless == 0.0
