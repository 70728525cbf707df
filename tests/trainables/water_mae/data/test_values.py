"""Stored values that are no data are missing where that is declared, and refused by name where they cannot be."""

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
    KNOBS,
    cell,
    change_series,
    hide,
    opened,
    with_metadata,
)
from thalweg.data.encoding import FLOAT_FILL
from thalweg.errors import DataError
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.knobs import PUBLISHED_SET, DataKnobs
from trainables.water_mae.model.facts import facts_of

pytestmark = pytest.mark.slow

DAY = 11  # 2001-01-12


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world, tmp_path / "copy", ignore=shutil.ignore_patterns(".store")))


def refusal(folder: Path, knobs: DataKnobs = KNOBS) -> str:
    with pytest.raises(DataError) as caught:
        opened(folder, knobs)
    return str(caught.value)


def change_grid(folder: Path, name: str, change: Callable[[np.ndarray], object]) -> None:
    with h5py.File(next(folder.glob(f"{name}_*.h5")), "a") as file:
        days = file["data"][...]
        change(days)
        file["data"][...] = days


def declare(folder: Path, name: str, **attributes: object) -> None:
    for path in folder.glob(f"{name}_*.h5"):
        with h5py.File(path, "a") as file:
            file["data"].attrs.update(attributes)


def put(folder: Path, name: str, value: float, days: slice = slice(DAY, DAY + 10)) -> None:
    row, col = cell(folder)

    def change(grids: np.ndarray) -> None:
        grids[days, row, col] = value

    change_grid(folder, name, change)


def repack(folder: Path, name: str, dtype: str, **attributes: float) -> None:
    """Stores the days of a modality as whole numbers; the sentinel of the ocean becomes the fill value."""
    for path in folder.glob(f"{name}_*.h5"):
        with h5py.File(path, "a") as file:
            days = file["data"][...].astype(np.float64)
            stored = np.round((days - attributes["add_offset"]) / attributes["scale_factor"])
            stored[days == -99999] = attributes["_FillValue"]
            del file["data"]
            file["data"] = stored.astype(dtype)
            file["data"].attrs.update(attributes)


@pytest.mark.parametrize(
    ("name", "value", "law"),
    [
        ("precipitation_train", -9999, "0 and 2000 mm/day"),
        ("precipitation_train", -0.5, "0 and 2000 mm/day"),
        ("precipitation_val", 9999, "0 and 2000 mm/day"),
        ("precipitation_val", 1e20, "0 and 2000 mm/day"),
        ("soil_moisture_train", -9999, r"0 and 1 \(share\)"),
        ("soil_moisture_val", 1.5, r"0 and 1 \(share\)"),
        ("temperature_train", -999, "-100 and 100 degC"),
        ("temperature_val", 290, "-100 and 100 degC"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(copy: Path, name: str, value: float, law: str) -> None:
    put(copy, name, value)
    row, col = cell(copy)
    date = "2001-01-12" if "train" in name else "2001-04-12"
    pattern = (
        rf"{name.rpartition('_')[0]} in .*{name}_2001_2001.h5 must lie within {law}, got 10 other values in 1 place, "
        rf"first {value:g} on {date} in cell \[{row}, {col}\]; where that means no data declare it as its _FillValue, "
        "or write NaN"
    ).replace("1e+20", r"1e\+20")
    for knobs in (KNOBS, FILLED):  # filling is for what is declared missing
        with pytest.raises(DataError, match=pattern):
            opened(copy, knobs)


def test_rounding_below_zero_is_no_fault(copy: Path) -> None:
    put(copy, "precipitation_train", -1e-9)
    opened(copy)


def test_what_cannot_be_in_the_ocean_is_no_fault(copy: Path, whole: WaterData) -> None:
    ocean = np.load(next(copy.glob("*mask*"))) == 0

    def change(days: np.ndarray) -> None:
        days[:, ocean] = -9999

    change_grid(copy, "precipitation_train", change)
    assert opened(copy).fingerprint == whole.fingerprint


def test_all_faulty_modalities_and_files_are_told_at_once(copy: Path) -> None:
    put(copy, "precipitation_train", -9999)
    put(copy, "precipitation_val", 1e20, slice(0, 1))
    put(copy, "temperature_val", np.nan, slice(0, 2))
    put(copy, "temperature_val", -999, slice(2, 3))
    (series,) = copy.glob("*.parquet")
    table = pd.read_parquet(series)
    table.loc[table["ID"] == 1001, ["evaporation", "riverflow"]] = -9999.0
    table.to_parquet(series, index=False)
    lines = refusal(copy).splitlines()
    assert lines[0].endswith("got 6 faults:")
    assert [sum(name in line for line in lines) for name in ("precipitation_train", "precipitation_val")] == [
        1,
        1,
    ]
    assert any("temperature_val" in line and "must hold data, got 2 values without" in line for line in lines)
    assert any(
        "temperature_val" in line and "got 1 other value in 1 place, first -999" in line for line in lines
    )
    for column in ("evaporation", "riverflow"):
        assert any(
            f" {column} in " in line
            and "got 120 other values in 1 place, first -9999 on 2001-01-01 at 1001" in line
            for line in lines
        )


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (-9999.0, {"_FillValue": -9999.0}),
        (1e20, {"_FillValue": np.float32(1e20)}),
        (1e20, {"missing_value": [-999.0, 1e20]}),
        (-9999.0, {"valid_min": 0.0}),
        (9999.0, {"valid_range": [0.0, 500.0]}),
        (FLOAT_FILL, {}),
    ],
)
def test_what_is_declared_missing_is_missing(
    copy: Path, world: Path, value: float, declared: dict[str, object]
) -> None:
    put(copy, "precipitation_train", value)
    declare(copy, "precipitation", **declared)
    assert (
        "must hold data, got 10 values without, first NaN, infinity or a fill value on 2001-01-12"
        in refusal(copy)
    )
    data = opened(copy, FILLED)
    land = np.load(next(world.glob("*mask*"))) == 1
    with h5py.File(next(world.glob("precipitation_train*"))) as file:
        days = file["data"][...].astype(np.float64)
    days[DAY : DAY + 10, *cell(copy)] = np.nan
    assert data.mean[0] == pytest.approx(np.nanmean(days[:, land]), rel=1e-6)
    assert data.std[0] == pytest.approx(np.nanstd(days[:, land]), rel=1e-6)
    assert any(
        "precipitation: 10 values of 1 land cells on 10 days had no data" in note for note in data.notes
    )
    assert "mm/day, under 0.1 % missing; soil_moisture" in data.notes[-1]


def test_packed_whole_numbers_are_physical_values(copy: Path, whole: WaterData) -> None:
    repack(copy, "temperature", "int16", scale_factor=0.002, add_offset=10.0, _FillValue=-32768)
    repack(copy, "precipitation", "uint16", scale_factor=0.01, add_offset=-0.004, _FillValue=65535)
    data = opened(copy)
    for number, step in ((0, 0.01), (2, 0.002)):
        seen, right = (
            each.images[:, number] * each.std[number] + each.mean[number] for each in (data, whole)
        )
        valid = whole.geometry.pixel_valid
        assert np.abs(seen - right)[:, valid].max() <= step / 2 + 1e-5
        assert data.mean[number] == pytest.approx(whole.mean[number], abs=step / 2)


def test_whole_numbers_that_do_not_say_how_they_are_packed_are_refused(copy: Path) -> None:
    repack(copy, "temperature", "int16", scale_factor=0.01, add_offset=0.0, _FillValue=-32768)
    for path in copy.glob("temperature_*"):
        with h5py.File(path, "a") as file:
            del file["data"].attrs["scale_factor"], file["data"].attrs["add_offset"]
    assert "must be float32 of shape (days, rows, cols), or whole numbers with scale_factor" in refusal(copy)


def to_kelvin(folder: Path, name: str = "temperature") -> None:
    for path in folder.glob(f"{name}_*.h5"):
        with h5py.File(path, "a") as file:
            days = file["data"][...]
            file["data"][...] = np.where(days == -99999, days, days + np.float32(273.15))
            file["data"].attrs.pop("units", None)


def test_kelvin_are_told_from_degrees_and_have_bounds_of_their_own(copy: Path, whole: WaterData) -> None:
    to_kelvin(copy)
    data = opened(copy)
    assert data.mean[2] == pytest.approx(whole.mean[2] + 273.15, abs=1e-3)
    assert " K, none missing" in data.notes[-1]
    assert data.units == ("mm/day", "1", "K", "mm/day", "mm/day")
    assert facts_of(data)["units"] == dict(zip(PUBLISHED_SET.names, data.units, strict=True))
    put(copy, "temperature_val", 0.0)
    assert "must lie within 150 and 350 K, got 10 other values in 1 place, first 0 on 2001-04-12" in refusal(
        copy
    )


def test_splits_in_two_units_are_refused(copy: Path) -> None:
    to_kelvin(copy, "temperature_val")
    assert "temperature_val_2001_2001.h5 must lie within -100 and 100 degC" in refusal(copy)


def test_a_declared_unit_has_its_bounds(copy: Path) -> None:
    for path in copy.glob("precipitation_*"):
        with h5py.File(path, "a") as file:
            days = file["data"][...]
            file["data"][...] = np.where(days == -99999, days, days / np.float32(86400))
    declare(copy, "precipitation", units="kg m**-2 s**-1")
    assert opened(copy).notes[-1].startswith("precipitation 0 to 0.000")
    put(copy, "precipitation_val", 3.0)
    assert "must lie within 0 and 0.0231481 kg m-2 s-1" in refusal(copy)


def test_the_notes_tell_extremes_and_missing_shares(world: Path, whole: WaterData) -> None:
    land = np.load(next(world.glob("*mask*"))) == 1
    parts = []
    for name, unit in (("precipitation", " mm/day"), ("soil_moisture", " (share)"), ("temperature", " degC")):
        days = []
        for path in sorted(world.glob(f"{name}_*")):
            with h5py.File(path) as file:
                days.append(file["data"][:][:, land])
        values = np.concatenate(days)
        parts.append(f"{name} {values.min():.4g} to {values.max():.4g}{unit}, none missing")
    table = pd.read_parquet(next(world.glob("*.parquet")))
    for name, column in (("evaporation", "evaporation"), ("river_flow", "riverflow")):
        parts.append(f"{name} {table[column].min():.4g} to {table[column].max():.4g} mm/day, none missing")
    assert whole.notes[-1] == "; ".join(parts)


def test_attributes_that_cannot_be_are_refused_at_once(copy: Path) -> None:
    (path,) = copy.glob("*.csv")
    table = pd.read_csv(path)
    table.loc[table["id"] == 1008, ["catchment-area", "propwet"]] = -9999
    table.to_csv(path, index=False)
    text = refusal(copy)
    assert "got 2 faults:" in text
    assert (
        f"catchment-area in {path} must lie within 0 and 1e+07 km2, got 1 other value in 1 place, "
        "first -9999 at 1008; where that means no data leave the field empty"
    ) in text


@pytest.mark.parametrize("column", ["evaporation", "riverflow"])
@pytest.mark.parametrize("way", ["field", "frame"])
def test_a_fill_value_in_the_metadata_of_parquet_is_missing(
    copy: Path, tmp_path: Path, column: str, way: str
) -> None:
    right = Path(shutil.copytree(copy, tmp_path / "right"))
    change_series(right, lambda table: pa.Table.from_pandas(hide(table, column, np.nan)))

    def change(table: pd.DataFrame) -> pa.Table:
        table = hide(table, column, -9999.0)
        if way == "field":
            return with_metadata(table, column, _FillValue="-9999", long_name="as measured")
        table.attrs = {column: {"missing_value": -9999.0}}
        return pa.Table.from_pandas(table, preserve_index=False)

    change_series(copy, change)
    data, expected = opened(copy), opened(right)
    assert data.fingerprint == expected.fingerprint
    assert data.std.tolist() == expected.std.tolist()
    assert data.notes == expected.notes
    assert "0.2 % missing" in data.notes[-1]


@pytest.mark.parametrize(
    ("column", "units", "message"),
    [
        (
            "riverflow",
            "m3 s-1",
            r"must be in mm/day, got the declared unit 'm3 s-1'; name the column discharge_vol",
        ),
        ("evaporation", "kg m-2 s-1", r"must be in mm/day, got the declared unit 'kg m-2 s-1'; convert it"),
        ("evaporation", "mm d-1", None),
    ],
)
def test_a_column_of_parquet_in_another_unit_is_refused(
    copy: Path, column: str, units: str, message: str | None
) -> None:
    change_series(copy, lambda table: with_metadata(table, column, units=units))
    if message is None:
        assert opened(copy).num_samples("val") > 0
    else:
        with pytest.raises(DataError, match=message):
            opened(copy)


@pytest.mark.parametrize(("name", "units"), [("temperature", "degF"), ("precipitation", "mm/h")])
def test_a_grid_in_a_unit_that_is_not_known_is_refused(copy: Path, name: str, units: str) -> None:
    declare(copy, name, units=units)
    with pytest.raises(
        DataError, match=f"{name} in .* must be in one of the units .*, got the declared unit '{units}'"
    ):
        opened(copy)


@pytest.mark.parametrize("has_gaps", [False, True])
def test_packed_columns_of_parquet_are_physical_values(copy: Path, whole: WaterData, has_gaps: bool) -> None:
    def change(table: pd.DataFrame) -> pa.Table:
        stored = (table["riverflow"] / 0.001).round().astype("Int32")
        table["riverflow"] = stored.mask((table["ID"] == 1008) & (table["date"] == "2001-02-03"), -1)
        if has_gaps:  # null instead of a number: the column arrives as floating-point numbers
            table = hide(table, "riverflow", pd.NA)
        return with_metadata(table, "riverflow", _FillValue="-1", scale_factor="0.001")

    change_series(copy, change)
    data = opened(copy)
    assert data.std[4] == pytest.approx(whole.std[4], rel=1e-2)
    assert data.vector_observed is not None
    assert int((~data.vector_observed[:, 1][:, data.geometry.member_valid]).sum()) == (3 if has_gaps else 1)
    seen, expected = (each.vectors[:, 1] * each.std[4] + each.mean[4] for each in (data, whole))
    known = data.vector_observed[:, 1]
    np.testing.assert_allclose(seen[known], expected[known], atol=1e-2)
