"""Scores of floods against their definitions, catchment by catchment and day by day."""

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trainables.water_mae.forecast.conftest import Told, pairs, scores
from thalweg.contract import metrics_of, unmeasured
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.evaluation.metrics import named
from trainables.water_mae.forecast import events
from trainables.water_mae.forecast.forecast import LEAD_DAYS, ForecastOnly
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.task import WaterMAETask


@pytest.mark.slow
@pytest.mark.parametrize("size", [7, 100])
def test_flood_days_are_counted_as_by_hand(
    flood_task: WaterMAETask, long_data: WaterData, told: Told, size: int
) -> None:
    found = scores(flood_task, told, long_data, size)
    above, means = long_data.flow_events("river_flow").flood, defaultdict(list)
    for number, lead in enumerate(LEAD_DAYS):
        hits = misses = false_alarms = 0
        for _, place, seen, given in pairs(long_data, told, number):
            hits += seen > above[place] and given > above[place]
            misses += seen > above[place] and not given > above[place]
            false_alarms += not seen > above[place] and given > above[place]
        assert min(hits, misses, false_alarms) > 2
        expected = {
            "flood_csi": hits / (hits + misses + false_alarms),
            "flood_pod": hits / (hits + misses),
            "flood_far": false_alarms / (hits + false_alarms),
        }
        for name, value in expected.items():
            assert found[f"{name}_{lead}d"] == pytest.approx(value)
            means[name].append(value)
    for name, values in means.items():
        assert found[name] == pytest.approx(np.mean(values))


@pytest.mark.slow
@pytest.mark.parametrize("size", [7, 100])
def test_errors_of_peaks_are_those_of_the_series_of_a_lead_time(
    flood_task: WaterMAETask, long_data: WaterData, told: Told, size: int
) -> None:
    found = scores(flood_task, told, long_data, size)
    since = long_data.flow_events("river_flow").since_peak
    for number, lead in enumerate(LEAD_DAYS):
        given = {(day, place): value for day, place, _, value in pairs(long_data, told, number)}
        timing, height = [], []
        for day, *place in np.argwhere(since == 0):
            here = (int(place[0]), int(place[1]))
            days = range(day - 3, day + 4)
            if day < 100 or any((each, here) not in given for each in days):
                continue
            series = [max(math.exp(given[each, here] * 0.7) - 1e-6, 0) for each in days]
            peak = math.exp(float(long_data.vectors[day, 1][here]) * 0.7) - 1e-6
            timing.append(abs(series.index(max(series)) - 3))
            height.append(abs(max(series) - peak) / peak)
        assert len(timing) > 5 and any(timing)
        assert found[f"peak_timing_error_{lead}d"] == pytest.approx(np.mean(timing))
        assert found[f"peak_height_error_{lead}d"] == pytest.approx(np.mean(height), rel=1e-5)


class Late(ForecastOnly):
    """Repeats the day of issue."""

    def forecast(self, batch: Batch) -> torch.Tensor:
        return batch["vectors"][:, 1, -1][:, None].expand(-1, len(LEAD_DAYS), -1, -1)


def test_persistence_is_late_by_the_lead_time_and_as_high_as_the_peak(
    flood_task: WaterMAETask, long_data: WaterData
) -> None:
    """One flood in each catchment, on a day that all lead times reach."""
    vectors = long_data.vectors.copy()
    vectors[:, 1] = 0.01 * vectors[:, 1]
    vectors[150, 1] = 5.0
    assert long_data.vector_observed is not None
    everywhere = np.ones_like(long_data.vector_observed) & long_data.geometry.member_valid
    found = scores(flood_task, Late(), replace(long_data, vectors=vectors, vector_observed=everywhere))
    assert [found[f"peak_timing_error_{lead}d"] for lead in (1, 3)] == [1.0, 3.0]
    assert [found[f"peak_height_error_{lead}d"] for lead in (1, 3)] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert found["peak_height_error_7d"] > 0.9  # the peak is not within three days


@pytest.mark.parametrize(
    ("hits", "misses", "false_alarms", "csi", "pod", "far"),
    [
        (
            28,
            23,
            72,
            28 / 123,
            28 / 51,
            72 / 100,
        ),  # Finley's tornadoes (1884): Wilks, section on 2 x 2 tables
        (0, 0, 0, None, None, None),
        (0, 0, 5, None, None, 1.0),
        (0, 4, 0, 0.0, 0.0, None),
    ],
)
def test_scores_of_published_and_empty_tables(
    hits: int, misses: int, false_alarms: int, csi: float | None, pod: float | None, far: float | None
) -> None:
    counts = named(torch.tensor([hits, misses, false_alarms]).double(), events.COUNTS)
    found = (
        events.critical_success_index(counts),
        events.probability_of_detection(counts),
        events.false_alarm_ratio(counts),
    )
    for value, expected in zip(found, (csi, pod, far), strict=True):
        assert math.isnan(value) if expected is None else value == pytest.approx(expected)


def test_a_forecast_that_is_no_number_spoils_every_score(
    flood_task: WaterMAETask, long_data: WaterData
) -> None:
    told = Told(long_data, 0.0)
    perfect = scores(flood_task, told, long_data)
    names = [metric.name for metric in metrics_of(flood_task) if "skill" not in metric.name]
    ours = [name for name in names if name.startswith(("flood", "peak", "low", "log", "kge_f", "nse_f"))]
    assert len(ours) == 4 * 10
    for name in ours:
        best = 0.0 if name.startswith(("peak", "flood_far")) else 1.0
        assert perfect[name] == pytest.approx(best, abs=1e-5), name
    told.noise[:] = float("nan")
    broken = scores(flood_task, told, long_data)
    assert all(math.isnan(broken[name]) for name in ours)


def test_a_split_says_which_scores_it_cannot_give(flood_task: WaterMAETask, long_data: WaterData) -> None:
    assert unmeasured(flood_task, long_data, "val") == {}
    seldom = replace(long_data, starts={**long_data.starts, "val": long_data.starts["val"][::2]})
    calm = replace(long_data, vectors=long_data.vectors.copy())
    calm.vectors[100:, 1] = 0
    expected = {
        "every other day": (seldom, ("peak_timing_error", "peak_height_error")),
        "always usual": (
            calm,
            (
                "flood_csi",
                "flood_pod",
                "peak_timing_error",
                "peak_height_error",
                "low_flow_csi",
                "low_flow_pod",
            ),
        ),
    }
    for data, names in expected.values():
        lacking = unmeasured(flood_task, data, "val")
        found = scores(flood_task, Told(data, 0.5), data)
        assert set(lacking) == {f"{name}{ending}" for name in names for ending in ("", "_1d", "_3d", "_7d")}
        assert all(math.isnan(found[name]) for name in lacking)
    assert "data.evaluation_stride=1" in unmeasured(flood_task, seldom, "val")["peak_timing_error_3d"]


def test_a_short_split_lacks_what_it_does_not_reach(flood_task: WaterMAETask, long_data: WaterData) -> None:
    short = replace(
        long_data,
        ends={**long_data.ends, "val": 106},
        starts={**long_data.starts, "val": np.arange(100, 104)},
    )
    assert {"flood_csi_7d", "flood_csi"} <= set(unmeasured(flood_task, short, "val"))
