"""How much of a series is the calendar and one anomaly that all catchments share."""

import numpy as np
import pytest

from trainables.water_mae.data.calendar_share import MAX_SHARE, calendar_share, sentence

DAYS = np.arange(6 * 365)
DAY_OF_YEAR = (DAYS % 365).astype(np.int16)


def course(num_catchments: int) -> np.ndarray:
    season = np.sin(2 * np.pi * DAY_OF_YEAR / 365)[:, None]
    return season * np.linspace(1, 2, num_catchments) + np.linspace(0, 1, num_catchments)


def share_of(values: np.ndarray) -> float:
    return calendar_share(values, DAY_OF_YEAR, np.isfinite(values))


def test_a_course_with_one_anomaly_for_all_is_nothing_else() -> None:
    anomaly = np.random.default_rng(0).standard_normal(len(DAYS))[:, None]
    share = share_of(course(20) + anomaly)
    assert share == pytest.approx(1, abs=0.005) and share > MAX_SHARE


def test_an_anomaly_of_each_catchment_is_left() -> None:
    noise = np.random.default_rng(0).standard_normal((len(DAYS), 200))
    values = course(200) + noise
    # Of the noise, 1/200 is common, and its mean over 31 days of six years counts as calendar.
    expected = 1 - (1 - 1 / 200) * (1 - 1 / 186) / np.var(values)
    assert share_of(values) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("own", [0.0, 0.5])
def test_gaps_change_little(own: float) -> None:
    """No day is complete, and a share of the complete ones would be that of none or of a few."""
    rng = np.random.default_rng(0)
    anomaly = rng.standard_normal(len(DAYS))[:, None]
    values = course(100) + anomaly + own * rng.standard_normal((len(DAYS), 100))
    gaps = rng.random(values.shape) < 0.05
    gaps[~gaps.any(axis=1), 0] = True
    assert share_of(np.where(gaps, np.nan, values)) == pytest.approx(share_of(values), abs=0.005)


def test_one_catchment_shares_nothing_with_itself() -> None:
    assert np.isnan(share_of(course(1) + np.random.default_rng(0).standard_normal((len(DAYS), 1))))
    assert np.isnan(share_of(np.full((len(DAYS), 3), 2.0)))


def test_the_sentence_names_the_share_and_the_way_out() -> None:
    assert "98.7% of its variance" in sentence(0.987) and "evaluation.modalities" in sentence(0.987)
