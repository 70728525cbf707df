"""Thresholds come from the training days alone; peaks are found as by hand."""

from dataclasses import replace

import numpy as np
import pytest

from thalweg.contract import SplitName
from trainables.water_mae.data.flow_events import NO_PEAK, PEAK_REACH, find_events
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.knobs import PUBLISHED_SET

RIVER_FLOW = PUBLISHED_SET["river_flow"]

SPLITS: dict[SplitName, slice] = {"train": slice(0, 60), "val": slice(60, 100)}


def series(*, seed: int = 0, gaps: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth log flow of 2 x 3 catchments, the last of which is padding, and what of it is data."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((103, 2, 3))
    flow = (noise[3:] + noise[2:-1] + noise[1:-2]).round(1).astype(np.float32)  # rounded: days may be equal
    observed = rng.random(flow.shape) >= gaps
    observed[:, 1, 2] = False
    return flow, observed


def slow_peaks(flow: np.ndarray, observed: np.ndarray, flood: float, days: range) -> list[int]:
    """Peaks of one catchment in one split, by their definition."""
    found = []
    for day in days:
        near = [day + lag for lag in range(-PEAK_REACH, PEAK_REACH + 1)]
        far = [day + lag for lag in range(-2 * PEAK_REACH, 2 * PEAK_REACH + 1)]
        if any(each not in days or not observed[each] for each in near) or not flow[day] > flood:
            continue
        others = [each for each in far if each in days and observed[each]]
        if day == min(each for each in others if flow[each] == max(flow[other] for other in others)):
            found.append(day)
    return found


@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_thresholds_and_peaks_are_those_of_the_definition(gaps: float) -> None:
    flow, observed = series(gaps=gaps)
    events = find_events(flow, observed, SPLITS, (0.5, 2.0), RIVER_FLOW)
    num_peaks = 0
    for place in np.ndindex(2, 3):
        here = (slice(None), *place)
        known = flow[here][:60][observed[here][:60]].astype(np.float64)
        if not len(known):
            assert np.isnan([events.flood[place], events.low[place], events.mean[place]]).all()
            assert (events.since_peak[here] == NO_PEAK).all()
            continue
        depth = np.exp(known * 2.0 + 0.5) - 1e-6
        expected = np.quantile(known, 0.98), np.quantile(known, 0.05), depth.mean(), depth.std()
        found = events.flood[place], events.low[place], events.mean[place], events.std[place]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        expected_since = np.full(100, NO_PEAK)
        for days in (range(60), range(60, 100)):
            for peak in slow_peaks(flow[here], observed[here], float(events.flood[place]), days):
                num_peaks += 1
                for lag in range(-PEAK_REACH, PEAK_REACH + 1):
                    assert expected_since[peak + lag] == NO_PEAK  # peaks do not overlap
                    expected_since[peak + lag] = lag
        assert np.array_equal(events.since_peak[here], expected_since)
    assert num_peaks > 3


def test_the_first_of_equal_days_is_the_peak() -> None:
    flow, observed = np.zeros((100, 1, 1), np.float32), np.ones((100, 1, 1), bool)
    flow[70:73] = 1.0
    since = find_events(flow, observed, SPLITS, (0.0, 1.0), RIVER_FLOW).since_peak[:, 0, 0]
    assert np.flatnonzero(since == 0).tolist() == [70]


def test_thresholds_come_from_the_training_days_alone() -> None:
    flow, observed = series()
    other = flow.copy()
    other[60:] += 9
    first, second = (find_events(each, observed, SPLITS, (0.0, 1.0), RIVER_FLOW) for each in (flow, other))
    for name in ("flood", "low", "mean", "std"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(first.since_peak[:60], second.since_peak[:60])
    assert not np.array_equal(first.since_peak, second.since_peak)


def test_days_without_rivers_are_no_data(data: WaterData) -> None:
    assert not data.vector_present[:12, 1].any()
    vectors = data.vectors.copy()
    vectors[:12, 1] = 50
    assert np.nanmax(replace(data, vectors=vectors).flow_events("river_flow").flood) < 50
    assert data.flow_events("river_flow") is data.flow_events("river_flow")


def test_a_river_that_is_dry_too_often_has_no_low_flows() -> None:
    row = RIVER_FLOW.model_copy(update={"floor": 0.01})
    depth = np.random.default_rng(3).lognormal(0, 1, (100, 1, 3))
    depth[:50:10, 0, 1] = 0  # 8 % of the training days
    depth[0, 0, 2] = 0  # 2 % of them
    flow = ((np.log(depth + 0.01) - 0.5) / 2).astype(np.float32)
    events = find_events(flow, np.ones(flow.shape, bool), SPLITS, (0.5, 2.0), row)
    assert np.isnan(events.low[0]).tolist() == [False, True, False]
    assert np.isfinite(events.flood).all() and np.isfinite(events.mean).all()
