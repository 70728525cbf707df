"""Verdicts over places and years, on sums whose answer is known."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from thalweg.analysis.verdict.unit_scope import UnitFinding, inflation_of, over_units, scopes
from thalweg.contract import Batch, Measure, Metric, Outputs, State
from thalweg.per_unit import PerUnit


class MeanError(Measure):
    """Mean error of all values, kept by place and year."""

    metrics = (Metric(name="error", mode="min", unit="1", search_invariant=True, meaning="mean error"),)
    units = ("catchment", "year")

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Is not called here."""
        raise AssertionError

    def summarize(self, state: State) -> dict[str, float]:
        """Divides the sum by the count."""
        total, count = state["sums"].total().tolist()
        return {"error": total / count}


def _state(errors: np.ndarray) -> dict[str, PerUnit]:
    """Sums of errors (catchment, year), each of ten values."""
    places, years = np.indices(errors.shape)
    keys = torch.tensor(np.stack([places.ravel(), 2000 + years.ravel()], axis=1))
    return {
        "sums": PerUnit.of(keys, torch.tensor(np.stack([10 * errors.ravel(), np.full(errors.size, 10.0)], 1)))
    }


def _compare(champion: np.ndarray, *rivals: np.ndarray, num_seeds: int = 1) -> list[list[UnitFinding]]:
    found = over_units(
        MeanError(), "error", -1.0, [_state(champion)] * num_seeds,
        {str(place): [_state(rival)] * num_seeds for place, rival in enumerate(rivals)}, np.random.default_rng(0),
    )  # fmt: skip
    return list(found.values())


def _of(found: Sequence[UnitFinding], unit: str) -> UnitFinding:
    return next(one for one in found if one.unit == unit)


def test_the_same_everywhere_is_told_and_better_in_one_catchment_alone_is_not() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(1, 2, (9, 12))
    everywhere = base + 0.5 + rng.normal(0, 0.05, base.shape)
    in_one = base.copy()
    in_one[3] += 4.5
    found = _compare(base, everywhere, in_one)
    assert [(one.unit, one.num_blocks, one.word) for one in found[0]] == [
        ("catchment", 9, "beats"),
        ("year", 12, "beats"),
    ]
    assert _of(found[1], "catchment").word == "cannot tell"
    assert _of(found[1], "year").word == "beats"
    assert _of(found[0], "year").difference == pytest.approx((everywhere - base).mean())
    assert _of(_compare(everywhere, base)[0], "year").word == "loses"


def test_the_error_of_the_mean_is_that_of_the_blocks() -> None:
    rng = np.random.default_rng(1)
    base, noise = rng.uniform(1, 2, (30, 1)), rng.normal(0, 0.3, (30, 1))
    one = _of(_compare(base, base + noise)[0], "catchment")
    assert one.low is not None and one.high is not None
    half = (one.high - one.low) / 2
    assert half == pytest.approx(2.045 * noise.std(ddof=1) / np.sqrt(30), rel=0.15)


@pytest.mark.slow
def test_equal_places_are_told_apart_in_few_studies() -> None:
    rng, wrong = np.random.default_rng(2), 0
    for _ in range(60):
        base = rng.uniform(1, 2, (8, 1))
        wrong += (
            _of(_compare(base, base + rng.normal(0, 0.3, base.shape))[0], "catchment").word != "cannot tell"
        )
    assert wrong <= 7  # 3 expected, 2.4 standard deviations


def test_what_differs_nowhere_is_the_same() -> None:
    base = np.random.default_rng(0).uniform(1, 2, (9, 4))
    assert {one.word for one in _compare(base, base)[0]} == {"same"}


def test_two_blocks_tell_nothing_and_one_is_no_scope() -> None:
    base = np.ones((2, 1))
    (found,) = _compare(base, base + 1)
    assert [(one.unit, one.word, one.low) for one in found] == [("catchment", "cannot tell", None)]


def test_errors_that_follow_one_another_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    white = rng.normal(size=4000)
    red = np.zeros(4000)
    for step in range(1, 4000):
        red[step] = 0.5 * red[step - 1] + white[step]
    assert inflation_of(red) == pytest.approx(np.sqrt(3), rel=0.1)  # AR(1) with r = .5
    assert inflation_of(white) < 1.05
    assert inflation_of(np.array([1.0, -1.0] * 5)) == 1.0
    base = np.ones((1, 40))
    drift = base + 0.2 + 0.5 * np.sin(np.arange(40) / 5)[None]
    assert _of(_compare(base, drift)[0], "year").inflation > 1.5


def test_a_measure_that_keeps_no_units_has_no_scope() -> None:
    assert scopes(MeanError(), {"total": torch.ones(3)}) == []
    assert scopes(MeanError(), {}) == []
