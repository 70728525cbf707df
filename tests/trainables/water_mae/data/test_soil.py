"""The soil routine keeps its water balance and its limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.water_mae.data.soil import FIELD_CAPACITY, SoilBucket


def _step(soil: SoilBucket, rain: float, temperature: float, demand: float) -> float:
    return float(soil.step(np.array([rain]), np.array([temperature]), np.array([demand]))[0])


def _slow(days: list[tuple[float, float, float]]) -> list[tuple[float, float]]:
    """HBV's soil routine for one place, written out."""
    water, snow, out = 0.7 * 150.0, 0.0, []
    for rain, temperature, demand in days:
        if temperature < 0:
            snow, inflow = snow + rain, 0.0
        else:
            melt = min(snow, 3.0 * temperature)
            snow, inflow = snow - melt, rain + melt
        runoff = max(inflow * (water / 150.0) ** 2, water + inflow - 150.0)
        water = water + inflow - runoff
        water -= min(water, demand * min(1.0, water / (0.7 * 150.0)))
        out.append((runoff, water / 150.0))
    return out


_DAYS = st.lists(st.tuples(st.floats(0, 200), st.floats(-20, 30), st.floats(0, 8)), min_size=1, max_size=30)


@given(_DAYS)
def test_days_equal_a_soil_written_out(days: list[tuple[float, float, float]]) -> None:
    soil = SoilBucket(1)
    for (rain, temperature, demand), (runoff, saturation) in zip(days, _slow(days), strict=True):
        assert _step(soil, rain, temperature, demand) == pytest.approx(runoff, abs=1e-9)
        assert soil.saturation[0] == pytest.approx(saturation, abs=1e-9)


@given(_DAYS)
def test_saturation_stays_between_dry_and_full(days: list[tuple[float, float, float]]) -> None:
    soil = SoilBucket(1)
    for day in days:
        _step(soil, *day)
        assert -1e-9 <= soil.saturation[0] <= 1 + 1e-9


def test_without_evaporation_rain_becomes_soil_water_or_runoff() -> None:
    soil = SoilBucket(1)
    before = soil.saturation[0] * FIELD_CAPACITY
    runoff = sum(_step(soil, rain, 10.0, 0.0) for rain in (5.0, 40.0, 200.0, 0.0))
    assert soil.saturation[0] * FIELD_CAPACITY - before + runoff == pytest.approx(245.0)


def test_snow_waits_for_warm_days() -> None:
    soil = SoilBucket(1)
    assert _step(soil, 30.0, -5.0, 0.0) == 0
    assert soil.saturation[0] == pytest.approx(0.7)
    _step(soil, 0.0, 2.0, 0.0)
    assert soil.saturation[0] == pytest.approx(0.7 + 6.0 * (1 - 0.7**2) / FIELD_CAPACITY)
