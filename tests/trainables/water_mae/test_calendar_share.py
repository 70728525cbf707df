"""How much of a series is the calendar and one anomaly that all catchments share."""

import numpy as np
import pytest

from trainables.water_mae.calendar_share import MAX_SHARE, calendar_share, sentence

DAYS = np.arange(6 * 365)
DAY_OF_YEAR = (DAYS % 365).astype(np.int16)


def course(num_catchments: int) -> np.ndarray:
    season = np.sin(2 * np.pi * DAY_OF_YEAR / 365)[:, None]
    return season * np.linspace(1, 2, num_catchments) + np.linspace(0, 1, num_catchments)


def test_a_course_with_one_anomaly_for_all_is_nothing_else() -> None:
    anomaly = np.random.default_rng(0).standard_normal(len(DAYS))[:, None]
    share = calendar_share(course(20) + anomaly, DAY_OF_YEAR)
    assert share == pytest.approx(1, abs=0.005) and share > MAX_SHARE


def test_an_anomaly_of_each_catchment_is_left() -> None:
    noise = np.random.default_rng(0).standard_normal((len(DAYS), 200))
    values = course(200) + noise
    # Of the noise, 1/200 is common, and its mean over 31 days of six years counts as calendar.
    expected = 1 - (1 - 1 / 200) * (1 - 1 / 186) / np.var(values)
    assert calendar_share(values, DAY_OF_YEAR) == pytest.approx(expected, abs=0.01)


def test_the_sentence_names_the_share_and_the_way_out() -> None:
    assert "98.7% of its variance" in sentence(0.987) and "evaluation.modalities" in sentence(0.987)
