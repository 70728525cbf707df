"""An archive of months becomes the data set that was cut into months."""

import fnmatch
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from thalweg.cli.app import app
from thalweg.errors import ConfigError, DataError, OutputError
from trainables.water_mae.data.tables import read_attributes, read_series
from trainables.water_mae.data.windows import WaterData, open_data
from trainables.water_mae.importing.monthly import read
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PUBLISHED_SET, DataKnobs

pytestmark = pytest.mark.slow

KNOBS = DataKnobs(vector_patch_size=4)
PERIODS = {"train": "2001-01-01:2003-12-31", "val": "2004-01-01:2004-12-31"}
SHORT = {"train": "2003-11-01:2003-12-31", "val": "2004-01-01:2004-02-29"}
FORTNIGHT = {"train": "2003-12-25:2003-12-31", "val": "2004-01-01:2004-01-07"}
FOLDERS = {
    "precipitation": "precipitation_processed",
    "soil_moisture": "soil_moisture_processed",
    "temperature": "temperature_processed",
}


@pytest.fixture(scope="module")
def archive(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world cut into months, laid out as the reference experiment has its files."""
    folder = tmp_path_factory.mktemp("archive")
    world = tiny_root / "tiny"
    for name, sub in FOLDERS.items():
        (folder / sub).mkdir()
        for path in world.glob(f"{name}_*.h5"):
            with h5py.File(path) as file:
                dates = file["dates"][:].astype("U10")
                days = file["data"][:]
            for month in np.unique([date[:7] for date in dates]):
                with h5py.File(folder / sub / f"{name}_{month.replace('-', '')}.h5", "w") as file:
                    for number in np.flatnonzero([date.startswith(month) for date in dates]):
                        file[dates[number]] = days[number]
    (folder / "Catchment_attributes").mkdir()
    shutil.copy(world / "Catchment_attributes_nrfa.csv", folder / "Catchment_attributes")
    (series,) = world.glob("*.parquet")
    shutil.copy(series, folder)
    torch.save(torch.tensor(np.load(world / "land_mask_40x40.npy")), folder / "gb_valid_mask_40x40.pt")
    return folder


@pytest.fixture
def changed(archive: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(archive, tmp_path / "changed"))


@pytest.fixture
def changed_tables(archive: Path, tmp_path: Path) -> Path:
    """A copy with the whole tables, and with the grids of the short periods alone."""
    short = [f"*_{month}.h5" for month in (200311, 200312, 200401, 200402)]

    def others(folder: str, names: list[str]) -> list[str]:
        kept = {name for pattern in short for name in fnmatch.filter(names, pattern)}
        return [name for name in names if name.endswith(".h5") and name not in kept]

    return Path(shutil.copytree(archive, tmp_path / "changed", ignore=others))


def test_the_months_become_the_same_data(archive: Path, tmp_path: Path, tiny: WaterData) -> None:
    report = read(archive, tmp_path / "merged", **PERIODS)
    data = open_data(tmp_path, "merged", KNOBS)
    assert data.fingerprint == tiny.fingerprint
    assert "precipitation_train_2001_2003.h5: 1095 days of 36 files; gaps: none" in report
    assert "land_mask_40x40" not in report
    assert "gb_valid_mask_40x40.pt: written" in report
    assert len(report.splitlines()) == 9


def test_merging_twice_gives_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        read(archive, tmp_path / name, **SHORT)
    files = sorted(path.name for path in (tmp_path / "first").glob("*.h5"))
    assert len(files) == 6
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_test_split_is_merged_too(archive: Path, tmp_path: Path) -> None:
    periods = SHORT | {"test": "2004-03-01:2004-04-15"}
    read(archive, tmp_path / "merged", **periods)
    data = open_data(tmp_path, "merged", KNOBS)
    assert (data.num_samples("val"), data.num_samples("test")) == ((60 - 30) // 20 + 1, (46 - 30) // 20 + 1)


def test_discharge_in_cubic_metres_becomes_millimetres(
    archive: Path, changed_tables: Path, tmp_path: Path
) -> None:
    read(archive, tmp_path / "plain", **SHORT)
    expected = open_data(tmp_path, "plain", KNOBS)
    (series,) = changed_tables.glob("*.parquet")
    table = pd.read_parquet(series)
    areas = pd.read_csv(_attributes(changed_tables)).set_index("id")
    metres = table.pop("riverflow") * 1e-3 / 86400 * table["ID"].map(areas["catchment-area"]) * 1e6
    table.assign(discharge_vol=metres.astype(np.float64)).to_parquet(series)
    report = read(changed_tables, tmp_path / "merged", **SHORT)
    assert "discharge in m3/s became mm/day" in report
    data = open_data(tmp_path, "merged", KNOBS)
    np.testing.assert_allclose(data.vectors, expected.vectors, atol=1e-4)


def _attributes(archive: Path) -> Path:
    return archive / "Catchment_attributes" / "Catchment_attributes_nrfa.csv"


def _rewrite(path: Path, encoding: str = "utf-8", **options: str) -> None:
    table = pd.read_csv(path)
    table.insert(1, "name", "B\u00eate")
    table.to_csv(path, index=False, encoding=encoding, **options)  # type: ignore[call-overload]


def _change_series(archive: Path, change: Callable[[pd.DataFrame], pd.DataFrame], flow: str) -> None:
    """Changes the series, whose river flow is then given in mm/day or in m3/s."""
    (path,) = archive.glob("*.parquet")
    table = pd.read_parquet(path)
    if flow == "discharge_vol":
        areas = pd.read_csv(_attributes(archive)).set_index("id")["catchment-area"]
        table["discharge_vol"] = table.pop("riverflow").astype(float) / 86.4 * table["ID"].map(areas)
    change(table).to_parquet(path)


PLAIN: dict[str, Callable[[Path, str], object]] = {
    "semicolons": lambda folder, flow: _rewrite(_attributes(folder), sep=";", decimal=","),
    "UTF-16": lambda folder, flow: _rewrite(_attributes(folder), "utf-16", sep="\t"),
    "Latin-1": lambda folder, flow: _rewrite(_attributes(folder), "latin-1"),
    "a time zone": lambda folder, flow: _change_series(
        folder, lambda table: table.assign(date=table["date"].dt.tz_localize("+03:00")), flow
    ),
    "summer time": lambda folder, flow: _change_series(
        folder, lambda table: table.assign(date=table["date"].dt.tz_localize("Europe/London")), flow
    ),
    "date as index": lambda folder, flow: _change_series(folder, lambda table: table.set_index("date"), flow),
    "dd/mm/yyyy": lambda folder, flow: _change_series(
        folder, lambda table: table.assign(date=table["date"].dt.strftime("%d/%m/%Y")), flow
    ),
    "yyyymmdd": lambda folder, flow: _change_series(
        folder, lambda table: table.assign(date=table["date"].dt.strftime("%Y%m%d").astype(int)), flow
    ),
}


@pytest.mark.parametrize("flow", ["riverflow", "discharge_vol"])
@pytest.mark.parametrize("case", PLAIN)
def test_tables_of_real_archives_give_the_same_series(
    archive: Path, changed_tables: Path, tmp_path: Path, case: str, flow: str
) -> None:
    if case in ("semicolons", "UTF-16", "Latin-1"):
        _change_series(changed_tables, lambda table: table, flow)
    PLAIN[case](changed_tables, flow)
    report = read(changed_tables, tmp_path / "merged", **FORTNIGHT)
    (path,) = (tmp_path / "merged").glob("*.parquet")
    assert f"{path.name}: written" in report
    assert path.name == "riverflow_evaporation_48catchments_2001_2004.parquet"
    written = read_series(path, ("evaporation", "riverflow"))
    (original,) = archive.glob("*.parquet")
    expected = pd.read_parquet(original)
    np.testing.assert_array_equal(written.days, expected["date"].to_numpy().astype("datetime64[D]"))
    np.testing.assert_array_equal(written.gauges, expected["ID"])
    for name, values in written.columns.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-6)
    copied = read_attributes(tmp_path / "merged" / _attributes(archive).name, NRFA_ATTRIBUTES)
    pd.testing.assert_frame_equal(copied, read_attributes(_attributes(archive), NRFA_ATTRIBUTES))


def test_attributes_with_leading_zeros_fit_series_of_numbers(
    archive: Path, changed_tables: Path, tmp_path: Path
) -> None:
    """Areas turn m3/s into mm/day, so that each row must be found."""
    _change_series(changed_tables, lambda table: table, "discharge_vol")
    table = pd.read_csv(_attributes(changed_tables), dtype={"id": str})
    table.assign(id="0" + table["id"]).to_csv(_attributes(changed_tables), index=False)
    read(changed_tables, tmp_path / "merged", **FORTNIGHT)
    written = read_series(next((tmp_path / "merged").glob("*.parquet")), ("riverflow",))
    (original,) = archive.glob("*.parquet")
    np.testing.assert_allclose(
        written.columns["riverflow"], pd.read_parquet(original)["riverflow"], rtol=1e-6
    )


FAULTY: dict[str, tuple[Callable[[Path, str], object], str]] = {
    "empty attributes": (lambda folder, flow: _attributes(folder).write_bytes(b""), "got an empty file"),
    "no identifier": (
        lambda folder, flow: _attributes(folder).write_text("river,propwet\n1,2\n"), "must have the column id, got"
    ),
    "text in the area": (
        lambda folder, flow: _attributes(folder).write_text(
            _attributes(folder).read_text().replace("\n1001,", "\n1001,north", 1)
        ),
        "latitude in .* must be numbers, got 'north",
    ),
    "a day twice, and words": (
        lambda folder, flow: _change_series(
            folder, lambda table: pd.concat([table, table.iloc[[1100]]]).assign(evaporation="dry"), flow
        ),
        "evaporation in .* must be numbers, got 'dry'",
    ),
    "a day twice, and a catchment without flow": (
        lambda folder, flow: _change_series(
            folder,
            lambda table: pd.concat([table, table.iloc[[1100]]]).assign(**{
                flow: lambda all_rows: all_rows[flow].where(all_rows["ID"] != 1015)
            }),
            flow,
        ),
        "(?s)got 2 faults.*one row per date and ID, got 2 for 2004-01-06 and 1001.*some (riverflow|disch).* for 1015",
    ),
    "negative flow": (
        lambda folder, flow: _change_series(folder, lambda table: table.assign(**{flow: -table[flow]}), flow),
        "(riverflow|discharge_vol) in .* must lie within 0 and ",
    ),
    "days missing": (
        lambda folder, flow: _change_series(folder, lambda table: table[table["date"] < "2004-01-04"], flow),
        "must cover every day of the splits, got no rows on 4 days, first 2004-01-04",
    ),
    "a catchment without attributes": (
        lambda folder, flow: _change_series(
            folder, lambda table: pd.concat([table, table[table["ID"] == 1008].assign(ID=9)]), flow
        ),
        "got none for 9; ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("flow", ["riverflow", "discharge_vol"])
@pytest.mark.parametrize("case", FAULTY)
def test_faulty_tables_are_refused_at_the_import(
    changed_tables: Path, tmp_path: Path, case: str, flow: str
) -> None:
    damage, message = FAULTY[case]
    if case in ("empty attributes", "no identifier", "text in the area"):
        _change_series(changed_tables, lambda table: table, flow)
    damage(changed_tables, flow)
    with pytest.raises(DataError, match=message):
        read(changed_tables, tmp_path / "merged", **FORTNIGHT)
    assert not (tmp_path / "merged").exists()


def test_a_missing_day_is_refused_or_interpolated(changed: Path, tmp_path: Path) -> None:
    """One day lies in the second year of its file; the other is a leap day, whose neighbours lie in two months."""
    periods = {"train": "2001-12-01:2002-06-30", "val": "2004-02-01:2004-03-31"}
    with h5py.File(changed / "temperature_processed" / "temperature_200205.h5", "a") as file:
        del file["2002-05-17"]
    with pytest.raises(DataError, match="got none for 2002-05-17 to 2002-05-17"):
        read(changed, tmp_path / "merged", **periods)
    assert not (tmp_path / "merged").exists()
    with h5py.File(changed / "temperature_processed" / "temperature_200402.h5", "a") as file:
        del file["2004-02-29"]
    report = read(changed, tmp_path / "merged", **periods, missing_days="interpolate")
    assert "temperature_train_2001_2002.h5: 212 days of 7 files; gaps: 2002-05-17" in report
    assert "temperature_val_2004_2004.h5: 60 days of 2 files; gaps: 2004-02-29" in report
    data = open_data(tmp_path, "merged", KNOBS)
    for split, years, date, first in (
        ("train", "2001_2002", "2002-05-17", 160),
        ("val", "2004_2004", "2004-02-29", 212),
    ):
        with h5py.File(tmp_path / "merged" / f"temperature_{split}_{years}.h5") as file:
            place = file["dates"][:].tolist().index(date.encode())
            before, day, after = file["data"][place - 1 : place + 2]
            around = [np.datetime64(file["dates"][number].decode()) for number in (place - 1, place + 1)]
        assert around == [np.datetime64(date) - 1, np.datetime64(date) + 1]
        np.testing.assert_allclose(day, (before + after) / 2, rtol=1e-5)
        number = int(np.flatnonzero(data.starts[split] == first)[0])  # type: ignore[index]
        step = int(np.datetime64(date).astype(int) - data.epoch_day[first])
        observed = data.observed(split, np.array([number]))["image_observed"][0]  # type: ignore[arg-type]
        assert not observed[PUBLISHED_SET.fields.index("temperature"), step].any()
        observed[PUBLISHED_SET.fields.index("temperature"), step] = data.geometry.pixel_valid
        assert (observed == data.geometry.pixel_valid).all()


def test_a_catchment_without_area_keeps_its_cubic_metres_out(changed_tables: Path, tmp_path: Path) -> None:
    (series,) = changed_tables.glob("*.parquet")
    pd.read_parquet(series).rename(columns={"riverflow": "discharge_vol"}).to_parquet(series)
    path = changed_tables / "Catchment_attributes" / "Catchment_attributes_nrfa.csv"
    table = pd.read_csv(path)
    table.loc[table["id"] == 1008, "catchment-area"] = np.nan
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match=r"catchment-area of every catchment .* got none for 1008"):
        read(changed_tables, tmp_path / "merged", **FORTNIGHT)


@pytest.mark.parametrize(
    ("gone", "match"),
    [
        ("temperature_processed", "must hold HDF5 files with 'temp' in their path"),
        ("gb_valid_mask_40x40.pt", r"must hold one file \*mask_\*x\*.npy or \*mask_\*x\*.pt, got none"),
        ("Catchment_attributes", "must hold one file Catchment_attributes_nrfa.csv, got none"),
    ],
)
def test_what_is_missing_is_named(changed_tables: Path, tmp_path: Path, gone: str, match: str) -> None:
    path = changed_tables / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match=match):
        read(changed_tables, tmp_path / "merged", **FORTNIGHT)


def test_options_and_targets_are_checked(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing_days must be refuse or interpolate, got 'skip'"):
        read(archive, tmp_path / "merged", **PERIODS, missing_days="skip")
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "mine").write_text("x")
    with pytest.raises(OutputError, match="must be new, empty, or made by the same import"):
        read(archive, tmp_path / "merged", **PERIODS)


def _import(archive: Path, root: Path, periods: dict[str, str]) -> list[str]:
    """Runs the command; returns its report."""
    options = [word for name, text in periods.items() for word in ("--option", f"{name}={text}")]
    command = ["data", "import", "monthly-hydrology", str(archive), *options, "--as", "mine"]
    result = CliRunner().invoke(app, [*command, "--data", str(root)], env={"COLUMNS": "400"})
    assert result.exit_code == 0, result.output
    return list(result.output.splitlines())


def _is_as_if_imported_at_once(folder: Path, archive: Path, periods: dict[str, str], beside: Path) -> bool:
    read(archive, beside, **periods)
    names = [path.name for path in beside.iterdir() if path.is_file()]
    assert len(names) == 9
    return set(names) == set(_inodes(folder)) and all(
        (folder / name).read_bytes() == (beside / name).read_bytes() for name in names
    )


def _inodes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.iterdir() if path.is_file()}


def test_the_command_line_imports_an_archive_and_twice_finds_everything_there(
    archive: Path, tmp_path: Path
) -> None:
    assert "gaps: none" in _import(archive, tmp_path, SHORT)[0]
    folder = tmp_path / "water_mae" / "mine"
    assert open_data(folder.parent, "mine", KNOBS).num_samples("val") == 2
    before = _inodes(folder)
    report = _import(archive, tmp_path, SHORT)
    assert sum("there already" in line for line in report) == len(before) == 9
    assert _inodes(folder) == before


def test_a_month_that_is_added_is_merged_into_what_is_there(archive: Path, tmp_path: Path) -> None:
    _import(archive, tmp_path, SHORT | {"val": "2004-01-01:2004-01-31"})
    folder = tmp_path / "water_mae" / "mine"
    before = _inodes(folder)
    report = _import(archive, tmp_path, SHORT)
    after = _inodes(folder)
    assert {name for name in after if after[name] != before[name]} == {
        f"{name}_val_2004_2004.h5" for name in FOLDERS
    }
    assert sum("there already" in line for line in report) == 6
    assert _is_as_if_imported_at_once(folder, archive, SHORT, tmp_path / "at_once")


def test_a_period_in_other_years_leaves_no_file_of_the_old_one(archive: Path, tmp_path: Path) -> None:
    _import(archive, tmp_path, SHORT | {"train": "2002-12-01:2003-01-31"})
    folder = tmp_path / "water_mae" / "mine"
    report = read(archive, folder, **SHORT)
    assert [line for line in report.splitlines() if "removed" in line] == [
        f"{name}_train_2002_2003.h5: removed, of an earlier import" for name in FOLDERS
    ]
    assert _is_as_if_imported_at_once(folder, archive, SHORT, tmp_path / "at_once")


def test_a_changed_month_is_merged_again_and_a_gap_reported_again(changed: Path, tmp_path: Path) -> None:
    options = SHORT | {"missing_days": "interpolate"}
    month = changed / "temperature_processed" / "temperature_200311.h5"
    with h5py.File(month, "a") as file:
        del file["2003-11-17"]
    for state in ("", ", there already"):
        assert f"gaps: 2003-11-17{state}" in read(changed, tmp_path / "merged", **options)
    with h5py.File(month, "a") as file:
        file["2003-11-17"] = file["2003-11-16"][:]
    before = _inodes(tmp_path / "merged")
    report = read(changed, tmp_path / "merged", **options)
    after = _inodes(tmp_path / "merged")
    assert [name for name in after if after[name] != before[name]] == ["temperature_train_2003_2003.h5"]
    assert "temperature_train_2003_2003.h5: 61 days of 2 files; gaps: none" in report


_DIE = """
import os, sys
from pathlib import Path
from thalweg.data import merging
from trainables.water_mae.knobs import NRFA_ATTRIBUTES
from trainables.water_mae.importing.monthly import read
from trainables.water_mae.data.tables import read_attributes, read_series

pieces = merging._pieces

def die(days, *others):
    for number, piece in enumerate(pieces(days, *others)):
        if "soil" in str(days._path) and number == 1:
            os.kill(os.getpid(), 9)
        yield piece

merging._pieces = die
read(Path(sys.argv[1]), Path(sys.argv[2]), train=sys.argv[3], val=sys.argv[4])
"""


def _killed(archive: Path, target: Path) -> bool:
    command = [sys.executable, "-c", _DIE, str(archive), str(target), *SHORT.values()]
    return subprocess.run(command, check=False).returncode == -9


def test_an_import_that_was_killed_goes_on(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "water_mae" / "mine"
    target.parent.mkdir()
    assert _killed(archive, target)
    assert not target.exists()
    report = _import(archive, tmp_path, SHORT)
    there = [line.partition(":")[0] for line in report if "there already" in line]
    assert there == ["precipitation_train_2003_2003.h5", "precipitation_val_2004_2004.h5"]
    assert [path.name for path in target.parent.iterdir()] == ["mine"]
    assert _is_as_if_imported_at_once(target, archive, SHORT, tmp_path / "at_once")


def test_an_update_that_was_killed_goes_on(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "water_mae" / "mine"
    _import(archive, tmp_path, SHORT | {"val": "2004-01-01:2004-01-31"})
    assert _killed(archive, target)
    _import(archive, tmp_path, SHORT)
    assert _is_as_if_imported_at_once(target, archive, SHORT, tmp_path / "at_once")


def test_a_data_set_of_another_origin_is_not_updated(archive: Path, tiny_copy: Path) -> None:
    before = _inodes(tiny_copy)
    with pytest.raises(OutputError, match="made by the same import, got"):
        read(archive, tiny_copy, **PERIODS)
    assert _inodes(tiny_copy) == before
