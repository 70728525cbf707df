"""Scores of low flows against their definitions, catchment by catchment and day by day."""

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from tests.trainables.water_mae.forecast.conftest import Told, pairs, scores
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.forecast.forecast import LEAD_DAYS
from trainables.water_mae.task import WaterMAETask


@pytest.mark.slow
@pytest.mark.parametrize("size", [7, 100])
def test_scores_of_low_flows_are_those_of_their_definitions(
    flood_task: WaterMAETask, long_data: WaterData, told: Told, size: int
) -> None:
    found = scores(flood_task, told, long_data, size)
    below, mean = long_data.flow_events("river_flow").low, long_data.flow_events("river_flow").mean
    medians = []
    for number, lead in enumerate(LEAD_DAYS):
        hits = misses = false_alarms = 0
        logs: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
        for _, place, seen, given in pairs(long_data, told, number):
            hits += seen < below[place] and given < below[place]
            misses += seen < below[place] and not given < below[place]
            false_alarms += not seen < below[place] and given < below[place]
            flows = (max(math.exp(each * 0.7) - 1e-6, 0) for each in (seen, given))
            both = [math.log(flow + mean[place] / 100) for flow in flows]
            logs[place].append((both[0], both[1]))
        assert min(hits, misses, false_alarms) > 2
        assert found[f"low_flow_csi_{lead}d"] == pytest.approx(hits / (hits + misses + false_alarms))
        assert found[f"low_flow_pod_{lead}d"] == pytest.approx(hits / (hits + misses))
        efficiencies = []
        for values in logs.values():
            seen_logs, given_logs = np.array(values).T
            error = ((given_logs - seen_logs) ** 2).sum()
            efficiencies.append(1 - error / ((seen_logs - seen_logs.mean()) ** 2).sum())
        medians.append(float(np.median(efficiencies)))
        assert found[f"log_nse_forecast_{lead}d"] == pytest.approx(medians[-1], rel=1e-4)
    assert found["log_nse_forecast"] == pytest.approx(np.mean(medians), rel=1e-4)


def test_a_catchment_without_training_flow_does_not_spoil_the_others(
    flood_task: WaterMAETask, long_data: WaterData, told: Told
) -> None:
    assert long_data.vector_observed is not None
    observed = long_data.vector_observed.copy()
    observed[:100, 1, 0, 0] = False
    found = scores(flood_task, told, replace(long_data, vector_observed=observed))
    assert math.isfinite(found["log_nse_forecast"]) and math.isfinite(found["flood_csi"])
