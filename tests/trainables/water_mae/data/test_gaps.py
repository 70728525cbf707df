"""Short gaps that all catchments share leave their windows whole; long ones take the modality away, and it is told."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thalweg.contract import SplitName
from trainables.water_mae.data.layout import Period
from trainables.water_mae.data.windows import WaterData, open_data
from trainables.water_mae.data.writing import write_attributes, write_grid, write_mask, write_series
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, DataKnobs

TRAIN = Period(np.datetime64("2001-01-01"), np.datetime64("2001-12-31"))
VAL = Period(np.datetime64("2002-01-01"), np.datetime64("2002-04-10"))
SINGLE = (20, 61, 62 + 40, 150, 181, 222, 260, 301, 340)


def _opened(root: Path, missing: list[int], **knobs: int) -> WaterData:
    """Opens noise with 2 catchments, whose flow is missing on some days for both."""
    folder, rng = root / "noise", np.random.default_rng(0)
    folder.mkdir()
    land = np.ones((8, 8), bool)
    write_mask(folder, land)
    periods: dict[SplitName, Period] = {"train": TRAIN, "val": VAL}
    for split, period in periods.items():
        for name in ("precipitation", "soil_moisture", "temperature"):
            days = rng.random((len(period.dates), 64)).astype(np.float32)
            pieces = iter(np.split(days, range(30, len(days), 30)))
            write_grid(folder, name, split, period, land=land, pieces=pieces)
    ids, whole = np.array([1, 2]), Period(TRAIN.first, VAL.last)
    flow, evaporation = rng.random((2, 2, len(whole.dates))).astype(np.float32)
    flow[:, missing] = np.nan
    write_series(folder, whole, ids, evaporation=evaporation, riverflow=flow)
    write_attributes(folder, pd.DataFrame(rng.random((2, 11)), index=ids, columns=list(NRFA_ATTRIBUTES)))
    return open_data(root, "noise", DataKnobs(patch_size=4, vector_patch_size=1, **knobs))


def test_single_days_that_all_gauges_miss_take_no_window_away(tmp_path: Path) -> None:
    data = _opened(tmp_path, list(SINGLE))
    indices = np.arange(data.num_samples("train"))
    assert (data.windows("train", indices)["vector_present"] == 1).all()
    assert not any("windows without it" in note for note in data.notes)
    observed = data.observed("train", indices)["vector_observed"][:, 1]
    days = data.starts["train"][:, None] + np.arange(30)
    assert np.array_equal(observed.any(axis=(2, 3)), ~np.isin(days, SINGLE))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "limit", "lost"), [(7, 7, False), (8, 7, True), (3, 2, True), (20, 366, False)]
)
def test_a_long_run_takes_away_the_windows_that_touch_it_and_they_are_counted(
    tmp_path: Path, length: int, limit: int, lost: bool
) -> None:
    data = _opened(tmp_path, list(range(100, 100 + length)), max_common_gap=limit)
    starts = data.starts["train"]
    touched = (starts < 100 + length) & (starts + 30 > 100)
    present = data.windows("train", np.arange(len(starts)))["vector_present"]
    assert present[:, 0].all()
    assert np.array_equal(present[:, 1] == 0, touched & lost)
    assert (
        any(f"{touched.sum()} of {len(starts)} of train, 0 of 4 of val" in note for note in data.notes)
        == lost
    )


def test_a_window_without_any_day_of_a_modality_lacks_it_whatever_the_limit(tmp_path: Path) -> None:
    data = _opened(tmp_path, list(range(100, 106)), sequence_length=6, stride=1, max_common_gap=300)
    present = data.windows("train", np.arange(data.num_samples("train")))["vector_present"][:, 1]
    assert np.flatnonzero(present == 0).tolist() == list(range(95, 106))
    observed = data.observed("train", np.flatnonzero(present))["vector_observed"][:, 1]
    assert observed.any(axis=(1, 2, 3)).all()
