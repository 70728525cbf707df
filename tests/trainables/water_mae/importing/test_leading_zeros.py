"""Identifiers of digits that begin with zeros stay as they are, and are found again where a table lost the zeros."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.trainables.water_mae.another_country import DAYS, flows, write_fields
from thalweg.errors import DataError
from trainables.water_mae.data.catchments import longest_spellings, spelled_as, without_zeros
from trainables.water_mae.data.tables import identifiers
from trainables.water_mae.data.windows import WaterData, open_data
from trainables.water_mae.explore import explore
from trainables.water_mae.importing.gauged import CAMELS
from trainables.water_mae.importing.gauged import read as read_camels
from trainables.water_mae.importing.water_folder import read
from trainables.water_mae.knobs import PUBLISHED_SET, DataKnobs

USGS = ("01013500", "01022500", "11264500", "09066300")
LOST = tuple(name.lstrip("0") for name in USGS)
KNOBS = DataKnobs(
    modalities=tuple(PUBLISHED_SET[name] for name in ("precipitation", "river_flow")),
    attributes=("area",),
    patch_size=5,
    sequence_length=4,
    stride=2,
)


def attributes(path: Path, ids: tuple[str, ...]) -> None:
    table = pd.DataFrame({"gauge_id": ids, "area": [100.0, 200.0, 50.0, 400.0]})
    table["gauge_lat"], table["gauge_lon"] = [47.2, 44.6, 46.9, 46.5], [-68.6, -67.9, -68.1, -68.4]
    table.to_csv(path, index=False)


def series(path: Path, ids: tuple[str, ...], values: np.ndarray, column: str = "riverflow") -> None:
    pd.DataFrame(
        {
            "date": np.tile(DAYS.astype(str), 4),
            "gauge_id": np.repeat(ids, len(DAYS)),
            column: values.T.ravel(),
        }
    ).to_csv(path, index=False)


def wide(path: Path, ids: tuple[str, ...]) -> None:
    table = pd.DataFrame(flows(), columns=ids)
    table.insert(0, "date", DAYS.astype(str))
    table.to_csv(path.with_name("riverflow.csv"), index=False)


def each(path: Path, ids: tuple[str, ...]) -> None:
    for number, gauge in enumerate(ids):
        table = pd.DataFrame({"date": DAYS.astype(str), "riverflow": flows()[:, number]})
        table.to_csv(path.with_name(f"{gauge}_streamflow.csv"), index=False)


def long(path: Path, ids: tuple[str, ...]) -> None:
    series(path, ids, flows())


def parquet(path: Path, ids: tuple[str, ...]) -> None:
    long(path, ids)
    pd.read_csv(path, dtype={"gauge_id": str}).to_parquet(path.with_suffix(".parquet"))
    path.unlink()


def flow_by_catchment(data: WaterData) -> dict[object, np.ndarray]:
    log = data.vectors[:, 0].reshape(len(DAYS), -1) * data.std[1] + data.mean[1]
    return dict(zip(data.catchments, np.exp(log).T, strict=False))


@pytest.mark.parametrize("write", [long, wide, each, parquet])
@pytest.mark.parametrize("ids", [(USGS, USGS), (LOST, USGS), (USGS, LOST)])
def test_zeros_are_kept_and_found_again(
    tmp_path: Path,
    write: Callable[[Path, tuple[str, ...]], None],
    ids: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    (tmp_path / "files").mkdir()
    write_fields(tmp_path / "files" / "w.nc", ("precipitation",), {"precipitation": "mm"})
    attributes(tmp_path / "files" / "attributes.csv", ids[0])
    write(tmp_path / "files" / "flow.csv", ids[1])
    told = read(tmp_path / "files", tmp_path / "data" / "made")
    assert ("without leading zeros were joined: 1013500 to 01013500" in told) == (ids[0] != ids[1])
    data = open_data(tmp_path / "data", "made", KNOBS)
    assert data.catchments == tuple(sorted(USGS))
    for number, gauge in enumerate(USGS):
        np.testing.assert_allclose(flow_by_catchment(data)[gauge], flows()[:, number], rtol=1e-3)
    scores = np.array([100.0, 200.0, 50.0, 400.0])[np.argsort(USGS)]
    expected = (scores - scores.mean()) / scores.std()
    np.testing.assert_allclose(data.geometry.static.reshape(-1)[:4], expected, rtol=1e-5)


@pytest.mark.slow
def test_a_table_of_series_may_lack_the_zeros_of_another(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    attributes(tmp_path / "files" / "attributes.csv", USGS)
    series(tmp_path / "files" / "flow.csv", USGS, flows())
    series(tmp_path / "files" / "level.csv", LOST, flows(7), "gwl")
    told = read(tmp_path / "files", tmp_path / "made", catchments="1013500,09066300")
    assert "2 catchments" in told
    table = pd.read_parquet(next((tmp_path / "made").glob("series_*.parquet")))
    assert table["ID"].unique().tolist() == ["01013500", "09066300"] and table.notna().all(axis=None)
    (tmp_path / "shown").mkdir()
    explore(tmp_path / "made", tmp_path / "shown")
    shown = pd.read_csv(tmp_path / "shown" / "catchments.csv", dtype=str)
    assert shown["id"].tolist() == ["01013500", "09066300"]


def test_camels_finds_the_files_of_gauges_whose_attributes_lost_zeros(tmp_path: Path) -> None:
    """As CAMELS-US: the identifier is within the name of the file."""
    (tmp_path / "camels").mkdir()
    attributes(tmp_path / "camels" / "camels_topo.csv", LOST)
    for number, gauge in enumerate(USGS):
        table = pd.DataFrame(
            {"date": DAYS.astype(str), "prcp": flows(3)[:, number], "qobs": flows()[:, number]}
        )
        table.to_csv(tmp_path / "camels" / f"{gauge}_streamflow_qc.csv", index=False)
    read_camels(
        CAMELS, tmp_path / "camels", tmp_path / "data" / "made", cell="0.5", declared="river_flow=mm/d"
    )
    data = open_data(tmp_path / "data", "made", KNOBS.vary(patch_size=2))
    assert data.catchments == tuple(sorted(USGS))


def test_gauges_that_differ_by_zeros_alone_are_refused(tmp_path: Path) -> None:
    attributes(tmp_path / "attributes.csv", ("7", "007", "8", "9"))
    series(tmp_path / "flow.csv", ("7", "007", "8", "9"), flows())
    with pytest.raises(
        DataError,
        match=r"gauges of .*attributes.csv must differ by more than leading zeros, got 007, 7; rename",
    ):
        read(tmp_path, tmp_path / "made")


def test_whole_numbers_stay_numbers_and_text_with_zeros_text() -> None:
    column = pd.Series([12, 7, 12], name="ID")
    assert identifiers(Path("t"), column).tolist() == [12, 7, 12]
    assert identifiers(Path("t"), column.astype(str)).tolist() == [12, 7, 12]
    assert identifiers(Path("t"), pd.Series(["12", "007", "12"], name="ID")).tolist() == ["12", "007", "12"]
    assert identifiers(Path("t"), pd.Series(["12.0", "7.0"], name="ID")).tolist() == [12, 7]
    assert identifiers(Path("t"), pd.Series(["0", "7"], name="ID")).tolist() == [0, 7]


def test_spellings() -> None:
    assert [without_zeros(name) for name in ("0070", "0", "00", "ce_007", 7)] == [
        "70",
        "0",
        "0",
        "ce_007",
        "7",
    ]
    found = longest_spellings(["7", "007", "ce_07", "ce_7"])
    assert found == {"7": "007", "007": "007", "ce_07": "ce_07", "ce_7": "ce_7"}
    table = pd.DataFrame({"area": [1.0, 2.0]}, index=pd.Index(["007", "8"], name="id"))
    assert spelled_as(table, [7, 8]).index.tolist() == [7, 8]
    assert spelled_as(table, ["007"]) is table
    alike = pd.DataFrame({"area": [1.0, 2.0]}, index=pd.Index(["007", "07"], name="id"))
    assert spelled_as(alike, [7]) is alike
