"""Tables of real archives: what is plain is read, everything else is told at once."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thalweg.errors import DataError
from trainables.water_mae.data.tables import read_attributes, read_series

NAMES = ("latitude", "catchment-area", "bfihost")
IDS = [39001, 7, 54057]
VALUES = np.array([[51.5, 9948.0, 0.64], [58.1, 12.5, np.nan], [52.0, 9895.25, 0.57]])
TABLE = pd.DataFrame(VALUES, index=pd.Index(IDS, name="id"), columns=list(NAMES))
TABLE.insert(0, "name", ["Themse bei Kingston", "B\u00eate", "Severn"])


def _csv(path: Path, table: pd.DataFrame = TABLE, encoding: str = "utf-8", **options: str) -> Path:
    table.to_csv(path, encoding=encoding, **options)  # type: ignore[call-overload]
    return path


@pytest.mark.parametrize(
    ("encoding", "options"),
    [
        ("utf-8", {}),
        ("utf-8-sig", {}),
        ("utf-16", {"sep": "\t"}),
        ("utf-16-le", {"sep": ";"}),
        ("utf-16-be", {}),
        ("latin-1", {}),
        ("utf-8", {"sep": ";"}),
        ("latin-1", {"sep": ";", "decimal": ","}),
        ("utf-8", {"sep": "\t", "decimal": ","}),
        ("utf-8", {"lineterminator": "\r\n"}),
    ],
)
def test_attributes_are_read_however_they_are_written(
    tmp_path: Path, encoding: str, options: dict[str, str]
) -> None:
    read = read_attributes(_csv(tmp_path / "table.csv", TABLE, encoding, **options), NAMES)
    assert read.index.tolist() == IDS
    np.testing.assert_array_equal(read[list(NAMES)].to_numpy(), VALUES)


def test_identifiers_may_be_text(tmp_path: Path) -> None:
    names = ["camels_01013500", "lamah_12", "Themse \N{LATIN SMALL LETTER O WITH DIAERESIS}"]
    table = TABLE.set_axis(pd.Index(names, name="gauge_id"))
    assert read_attributes(_csv(tmp_path / "table.csv", table), NAMES).index.tolist() == names


@pytest.mark.parametrize("identifier", ["ID", "gauge_id", "Station_ID", "nrfa_id"])
def test_the_identifier_may_have_its_usual_names(tmp_path: Path, identifier: str) -> None:
    table = TABLE.rename_axis(identifier).rename(columns={"latitude": " Latitude "})
    read = read_attributes(_csv(tmp_path / "table.csv", table), NAMES)
    assert read.index.tolist() == IDS
    np.testing.assert_array_equal(read[list(NAMES)].to_numpy(), VALUES)


def test_a_comma_that_may_part_thousands_is_refused_and_another_is_decimal(tmp_path: Path) -> None:
    def areas(*texts: str) -> list[float]:
        table = TABLE.assign(**{"catchment-area": list(texts)})
        return read_attributes(_csv(tmp_path / "table.csv", table), NAMES)["catchment-area"].tolist()

    assert areas("9948,125", "12,5", "") == pytest.approx([9948.125, 12.5, np.nan], nan_ok=True)
    assert areas("0,125", "12,500", "3") == [0.125, 12.5, 3]
    for texts in (("1,234", "12,500", "3"), ("1,2345", "12.5", "3")):
        with pytest.raises(DataError, match=f"catchment-area in .* got '{texts[0]}'.* whose comma may be"):
            areas(*texts)


FAULTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], tuple[str, ...]]] = {
    "repeated id": (
        lambda table: pd.concat([table, table.iloc[[1]]]),
        ("one row per id, got several for 7;",),
    ),
    "missing column": (
        lambda table: table.drop(columns="bfihost"),
        ("got no bfihost; its columns are id, name",),
    ),
    "text": (
        lambda table: table.astype({"catchment-area": object}).replace({"catchment-area": {12.5: "small"}}),
        ("catchment-area in .* must be numbers, got 'small' in 1 rows",),
    ),
    "infinite": (lambda table: table.replace(12.5, np.inf), ("must be numbers, got 'inf' in 1 rows",)),
    "no identifier": (
        lambda table: table.rename_axis("river"),
        ("must have the column id, got river, name",),
    ),
    "fractions as ids": (
        lambda table: table.set_index(table.index + 0.5).rename_axis("id"),
        (r"id in .* must be whole numbers or text, got '39001.5",),
    ),
    "all at once": (
        lambda table: pd.concat([table, table.iloc[[1]]]).drop(columns="bfihost").assign(latitude="north"),
        ("got 3 faults", "got no bfihost", "latitude in .* got 'north' in 4 rows", "several for 7"),
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_all_faults_of_attributes_are_told_at_once(tmp_path: Path, case: str) -> None:
    damage, messages = FAULTS[case]
    path = _csv(tmp_path / "table.csv", damage(TABLE.copy()))
    with pytest.raises(DataError) as error:
        read_attributes(path, NAMES)
    for message in messages:
        assert re.search(message, str(error.value)), error.value


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"\xff\xfe", b"\0\0\0\0", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"]
)
def test_an_empty_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"table.csv must be a CSV table, got an empty file"):
        read_attributes(tmp_path / "table.csv", NAMES)


@pytest.mark.parametrize("name", ["id", "latitude"])
def test_a_column_that_stands_twice_is_named(tmp_path: Path, name: str) -> None:
    table = TABLE.reset_index()
    table[name.upper() if name != "id" else "Gauge_ID"] = table[name]
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    if name == "id":  # another column that identifies as well changes nothing
        assert read_attributes(path, NAMES).index.tolist() == IDS
    else:
        with pytest.raises(DataError, match="each column once, got several latitude"):
            read_attributes(path, NAMES)


DAYS = np.arange("2001-01-30", "2001-02-04", dtype="datetime64[D]")
SERIES = pd.DataFrame(
    {
        "date": np.tile(DAYS.astype("datetime64[ms]"), 2),
        "ID": np.repeat([8, 7], len(DAYS)),
        "evaporation": np.arange(10) / 8,
        "riverflow": [*np.arange(9) / 4, np.nan],
    }
)
COLUMNS = ("evaporation", "riverflow")
FORMS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "columns": lambda table: table,
    "date as index": lambda table: table.set_index("date"),
    "an index without a name": lambda table: table.set_index("date").rename_axis(None),
    "both as index": lambda table: table.set_index(["ID", "date"]),
    "dd/mm/yyyy": lambda table: table.assign(date=table["date"].dt.strftime("%d/%m/%Y")),
    "yyyymmdd": lambda table: table.assign(date=table["date"].dt.strftime("%Y%m%d").astype(int)),
    "dates": lambda table: table.assign(date=table["date"].dt.date),
    "a zone": lambda table: table.assign(date=table["date"].dt.tz_localize("+03:00")),
    "ids as numbers with a point": lambda table: table.assign(ID=table["ID"].astype(float)),
    "ids as text": lambda table: table.assign(ID=table["ID"].astype(str)),
    "numbers as text": lambda table: table.assign(riverflow=table["riverflow"].astype(str)),
    "decimal commas": lambda table: table.assign(
        evaporation=table["evaporation"].astype(str).str.replace(".", ",", regex=False)
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_series_are_read_however_they_are_written(tmp_path: Path, form: str) -> None:
    FORMS[form](SERIES).to_parquet(tmp_path / "series.parquet")
    read = read_series(tmp_path / "series.parquet", COLUMNS)
    np.testing.assert_array_equal(read.days, np.tile(DAYS, 2))
    assert read.gauges.tolist() == SERIES["ID"].tolist()
    for name in COLUMNS:
        np.testing.assert_array_equal(read.columns[name], SERIES[name].to_numpy())


def test_one_column_stands_in_place_of_another(tmp_path: Path) -> None:
    SERIES.rename(columns={"riverflow": "discharge_vol"}).to_parquet(tmp_path / "series.parquet")
    read = read_series(tmp_path / "series.parquet", COLUMNS, {"riverflow": "discharge_vol"})
    assert list(read.columns) == ["evaporation", "discharge_vol"]
    SERIES.assign(discharge_vol=0.0).to_parquet(tmp_path / "series.parquet")
    read = read_series(tmp_path / "series.parquet", COLUMNS, {"riverflow": "discharge_vol"})
    assert list(read.columns) == ["evaporation", "riverflow"]


def test_all_faults_of_series_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "series.parquet"
    SERIES.assign(date="spring", ID=SERIES["ID"] + 0.5, riverflow=True).to_parquet(path)
    with pytest.raises(DataError) as error:
        read_series(path, COLUMNS)
    for message in (
        "got 3 faults",
        "date in .* got 'spring'",
        r"ID in .* got 8.5, 7.5",
        "riverflow in .* got bool",
    ):
        assert re.search(message, str(error.value)), error.value
    SERIES.iloc[:0].to_parquet(path)
    with pytest.raises(DataError, match="must hold rows, got none"):
        read_series(path, COLUMNS)
    SERIES.drop(columns=["evaporation", "date"]).to_parquet(path)
    with pytest.raises(DataError, match="got no date, evaporation; its columns are ID, riverflow"):
        read_series(path, COLUMNS)
