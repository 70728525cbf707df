"""The fingerprint of data covers all that samples, statistics and windows depend on."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from trainables.water_mae.data.windows import WaterData, open_data
from trainables.water_mae.knobs import PUBLISHED_SET, DataKnobs

pytestmark = pytest.mark.slow

_KNOBS = DataKnobs(vector_patch_size=4)


def _replace(path: Path, days: np.ndarray, dates: np.ndarray) -> None:
    path.unlink()
    with h5py.File(path, "w") as file:
        file["data"], file["dates"] = days, dates


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(path) as file:
        return file["data"][:], file["dates"][:]


def _without_gaps(folder: Path) -> None:
    """Leaves only catchments whose series are whole."""
    (path,) = folder.glob("*.parquet")
    table = pd.read_parquet(path)
    whole = table.groupby("ID")[["evaporation", "riverflow"]].transform(lambda values: values.isna().sum())
    table = table[(whole["evaporation"] == 0) & (whole["riverflow"] <= 30)]
    path.unlink()
    table.to_parquet(path)


def test_a_border_between_splits_that_moves_changes_the_fingerprint(tiny_copy: Path) -> None:
    _without_gaps(tiny_copy)
    before = open_data(tiny_copy.parent, "copy", _KNOBS)
    for name in PUBLISHED_SET.fields:
        (train,), (val,) = (list(tiny_copy.glob(f"{name}_{split}_*.h5")) for split in ("train", "val"))
        (days, dates), (val_days, val_dates) = _read(train), _read(val)
        _replace(train, np.concatenate([days, val_days[:4]]), np.concatenate([dates, val_dates[:4]]))
        _replace(val, val_days[4:], val_dates[4:])
    after = open_data(tiny_copy.parent, "copy", _KNOBS)
    assert [after.num_samples(split) for split in ("train", "val")] == [
        before.num_samples(split) for split in ("train", "val")
    ]
    assert after.starts["val"][0] == before.starts["val"][0] + 4
    assert after.fingerprint != before.fingerprint


def test_land_outside_the_kept_patches_changes_statistics_and_fingerprint(tiny_copy: Path) -> None:
    knobs = _KNOBS.model_copy(update={"land_threshold": 0.9})
    before = open_data(tiny_copy.parent, "copy", knobs)
    outside = np.load(tiny_copy / "land_mask_40x40.npy") == 1
    for row, col in before.geometry.patch_rows_cols:
        outside[10 * row : 10 * row + 10, 10 * col : 10 * col + 10] = False
    assert outside.any()
    for path in tiny_copy.glob("precipitation_*.h5"):
        days, dates = _read(path)
        days[:, outside] += 50
        _replace(path, days, dates)
    after = open_data(tiny_copy.parent, "copy", knobs)
    assert after.mean[0] > before.mean[0] + 1
    assert after.fingerprint != before.fingerprint


def test_a_filled_cell_is_not_the_same_as_one_that_was_seen_with_that_value(tiny_copy: Path) -> None:
    knobs = _KNOBS.model_copy(update={"fill_temperature": "zero"})
    found = []
    for value in (-99999.0, 0.0):
        for path in tiny_copy.glob("temperature_*.h5"):
            days, dates = _read(path)
            days[:, 20, 15:18] = value
            _replace(path, days, dates)
        found.append(open_data(tiny_copy.parent, "copy", knobs))
    filled, seen = found
    assert filled.mean[2] != seen.mean[2]
    assert filled.fingerprint != seen.fingerprint


def test_an_interpolated_day_is_not_the_same_as_one_that_was_seen_with_that_value(
    tiny_copy: Path, tiny: WaterData
) -> None:
    (path,) = tiny_copy.glob("*.parquet")
    table = pd.read_parquet(path)
    here = table["ID"] == 1001 + 7 * 46
    gap = here & table["date"].isin(pd.to_datetime(["2003-12-30", "2003-12-31"]))
    assert table.loc[gap, "riverflow"].isna().tolist() == [True, True]
    last = table.loc[here & (table["date"] == "2003-12-29"), "riverflow"].to_numpy()[0]
    table["riverflow"] = table["riverflow"].mask(gap, last)
    path.unlink()
    table.to_parquet(path)
    seen = open_data(tiny_copy.parent, "copy", _KNOBS)
    assert seen.mean[4] != tiny.mean[4]
    assert np.array_equal(seen.vectors[:, 0], tiny.vectors[:, 0])
    assert seen.fingerprint != tiny.fingerprint
