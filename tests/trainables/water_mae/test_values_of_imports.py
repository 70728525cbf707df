"""Imports of archives: packed values, values that are no data, and those that cannot be."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.trainables.water_mae.conftest import (
    FILLED,
    TRAIN,
    VAL,
    cell,
    change_series,
    hide,
    opened,
    with_metadata,
)
from thalweg.errors import DataError
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.importing.monthly import read

pytestmark = pytest.mark.slow

PERIODS = {"train": TRAIN, "val": VAL}


def archive_of(world: Path, folder: Path, write: Callable[[h5py.File, str, str, np.ndarray], None]) -> Path:
    """The world as months, each day written by `write(file, modality, date, grid)`."""
    for name, word in (("precipitation", "precip"), ("soil_moisture", "soil"), ("temperature", "temp")):
        (folder / word).mkdir(parents=True)
        for path in world.glob(f"{name}_*.h5"):
            with h5py.File(path) as file:
                dates, days = file["dates"][:].astype("U10"), file["data"][:]
            for month in np.unique([date[:7] for date in dates]):
                with h5py.File(folder / word / f"{month}.h5", "w") as file:
                    for number in np.flatnonzero([date.startswith(month) for date in dates]):
                        write(file, name, str(dates[number]), days[number])
    for pattern in ("*.parquet", "*.csv", "*mask*"):
        (path,) = world.glob(pattern)
        shutil.copy(path, folder)
    return folder


def write_plain(file: h5py.File, name: str, date: str, grid: np.ndarray) -> None:
    file[date] = grid


def write_packed(file: h5py.File, name: str, date: str, grid: np.ndarray) -> None:
    if name != "temperature":
        return write_plain(file, name, date, grid)
    row, col = np.argwhere(grid != -99999)[5]
    stored = np.round((grid - 10.0) / 0.002)
    stored[grid == -99999] = -32768
    if date == "2001-02-03":
        stored[row, col] = -32768
    file[date] = stored.astype(np.int16)
    file[date].attrs.update(scale_factor=0.002, add_offset=10.0, _FillValue=np.int16(-32768), units="Celsius")


def test_packed_months_become_physical_values(world: Path, tmp_path: Path, whole: WaterData) -> None:
    archive = archive_of(world, tmp_path / "archive", write_packed)
    report = read(archive, tmp_path / "merged", **PERIODS)
    data = opened(tmp_path / "merged", FILLED)
    assert data.mean[2] == pytest.approx(whole.mean[2], abs=1e-3)
    assert data.std[2] == pytest.approx(whole.std[2], rel=1e-3)
    assert any("temperature: 1 values of 1 land cells on 1 days had no data" in note for note in data.notes)
    (line,) = (line for line in report.splitlines() if line.startswith("temperature_train"))
    assert "90 days of 3 files; gaps: none; " in line
    assert line.endswith(" degC, under 0.1 % missing")
    (line,) = (line for line in report.splitlines() if line.startswith("riverflow_evaporation"))
    assert "; evaporation " in line
    assert line.endswith(" mm/day, none missing")
    again = read(archive, tmp_path / "merged", **PERIODS)
    assert again == report.replace("gaps: none;", "gaps: none, there already;").replace(
        "written", "there already"
    )


def test_an_import_refuses_all_that_cannot_be_and_keeps_nothing_of_it(world: Path, tmp_path: Path) -> None:
    def write(file: h5py.File, name: str, date: str, grid: np.ndarray) -> None:
        row, col = np.argwhere(grid != -99999)[5]
        if date in ("2001-02-03", "2001-02-04", "2001-04-05") and name != "soil_moisture":
            grid[row, col] = -9999
        file[date] = grid

    archive = archive_of(world, tmp_path / "archive", write)
    table = pd.read_parquet(next(archive.glob("*.parquet"))).rename(columns={"riverflow": "discharge_vol"})
    hide(table, "discharge_vol", -999.0).to_parquet(next(archive.glob("*.parquet")))
    row, col = cell(world)
    for _ in range(2):  # nothing that was refused counts as there already
        with pytest.raises(DataError) as caught:
            read(archive, tmp_path / "merged", **PERIODS)
        text = str(caught.value)
        assert text.splitlines()[0].endswith("got 5 faults:")
        assert re.search(
            r"2. precipitation in .*archive must lie within 0 and 2000 mm/day, got 2 other values in 1 place, "
            rf"first -9999 on 2001-02-03 \(.*precip/2001-02.h5\) in cell \[{row}, {col}\]",
            text,
        )
        assert re.search(r"first -9999 on 2001-04-05 \(.*temp/2001-04.h5\)", text)
        assert re.search(
            r"discharge_vol in .* within 0 and 500000 m3/s, got 3 other values in 1 place, "
            "first -999 on 2001-02-03 at 1008",
            text,
        )
    assert not (tmp_path / "merged").exists()
    assert len(list((tmp_path / ".merged.partial").glob("*.h5"))) == 2


def test_packed_discharge_becomes_millimetres(world: Path, tmp_path: Path, whole: WaterData) -> None:
    archive = archive_of(world, tmp_path / "archive", write_plain)
    areas = pd.read_csv(next(archive.glob("*.csv"))).set_index("id")["catchment-area"]

    def change(table: pd.DataFrame) -> pa.Table:
        table["discharge_vol"] = (
            (table.pop("riverflow") * table["ID"].map(areas) / 86.4 / 1e-4).round().astype(np.int32)
        )
        return with_metadata(
            hide(table, "discharge_vol", -1), "discharge_vol", _FillValue="-1", scale_factor="1e-4"
        )

    change_series(archive, change)
    report = read(archive, tmp_path / "merged", **PERIODS)
    assert " m3/s, 0.2 % missing" in report
    data = opened(tmp_path / "merged")
    assert data.vector_observed is not None
    seen, expected = (each.vectors[:, 1] * each.std[4] + each.mean[4] for each in (data, whole))
    known = data.vector_observed[:, 1]
    assert int((~known[:, data.geometry.member_valid]).sum()) == 3
    np.testing.assert_allclose(seen[known], expected[known], atol=1e-2)


@pytest.mark.parametrize("column", ["riverflow", "discharge_vol"])
def test_what_packing_moves_below_zero_is_zero_after_an_import(
    world: Path, tmp_path: Path, column: str
) -> None:
    def write(file: h5py.File, name: str, date: str, grid: np.ndarray) -> None:
        if name != "precipitation":
            return write_plain(file, name, date, grid)
        stored = np.where(grid == -99999, -32768, np.round((grid + 0.004) / 0.01))  # a dry cell is -0.004
        file[date] = stored.astype(np.int16)
        file[date].attrs.update(scale_factor=0.01, add_offset=-0.004, _FillValue=np.int16(-32768))

    def change(table: pd.DataFrame) -> pa.Table:
        flow = table.pop("riverflow")
        table[column] = (flow / 0.001).round().astype(np.int32)
        table.loc[(table["ID"] == 1008) & (table["date"] == "2001-02-03"), column] = 0
        return with_metadata(table, column, scale_factor="0.001", add_offset="-0.0004")

    archive = archive_of(world, tmp_path / "archive", write)
    change_series(archive, change)
    read(archive, tmp_path / "merged", **PERIODS)
    data = opened(tmp_path / "merged", FILLED)
    assert "precipitation 0 to" in data.notes[-1] and "river_flow 0 to" in data.notes[-1]
    assert np.isfinite(data.vectors).all() and np.isfinite(data.images).all()


def test_a_discharge_that_its_catchment_cannot_have_is_refused_at_the_import(
    world: Path, tmp_path: Path
) -> None:
    archive = archive_of(world, tmp_path / "archive", write_plain)
    (path,) = archive.glob("*.csv")
    table = pd.read_csv(path).set_index("id")
    area = table["catchment-area"]
    table["catchment-area"] = area.where(
        table.index != 1008, area / 1e6
    )  # in thousands of km2, and then some
    table.to_csv(path)
    change_series(
        archive, lambda series: pa.Table.from_pandas(series.rename(columns={"riverflow": "discharge_vol"}))
    )
    with pytest.raises(
        DataError,
        match=r"must be at most 5000 mm/day of its catchment, got .* for 1008 on .*; correct the area",
    ):
        read(archive, tmp_path / "merged", **PERIODS)


def test_attributes_of_catchments_without_series_need_not_be_plausible(world: Path, tmp_path: Path) -> None:
    archive = archive_of(world, tmp_path / "archive", write_plain)
    (path,) = archive.glob("*.csv")
    table = pd.read_csv(path).set_index("id")
    table.loc[9] = -9999.0
    table.to_csv(path)
    assert "written" in read(archive, tmp_path / "merged", **PERIODS)


def test_days_in_two_units_are_refused(world: Path, tmp_path: Path) -> None:
    def write(file: h5py.File, name: str, date: str, grid: np.ndarray) -> None:
        file[date] = grid
        file[date].attrs["units"] = "K" if date == "2001-02-03" else "degC"

    archive = archive_of(world, tmp_path / "archive", write)
    with pytest.raises(
        DataError, match=r"one unit, got K for 2001-02-03 in .*2001-02.h5 and degC for 2001-01-01"
    ):
        read(archive, tmp_path / "merged", **PERIODS)


def test_a_mask_of_another_grid_is_refused_at_the_import(world: Path, tmp_path: Path) -> None:
    archive = archive_of(world, tmp_path / "archive", write_plain)
    (mask,) = archive.glob("*mask*")
    np.save(mask, np.ones((20, 21), np.uint8))
    with pytest.raises(
        DataError, match=r"mask must have the shape of the grids, got \(20, 21\) for \(20, 20\)"
    ):
        read(archive, tmp_path / "merged", **PERIODS)
