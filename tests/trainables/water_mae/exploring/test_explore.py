"""The files of a look at a data set, read back, beside sums over the raw files."""

import csv
import shutil
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from thalweg.dataset_contract import Exploration
from thalweg.errors import DataError
from trainables.water_mae.data.grids import Inputs, inspect
from trainables.water_mae.data.layout import Period, find_files
from trainables.water_mae.explore import explore
from trainables.water_mae.exploring import modalities
from trainables.water_mae.exploring.modalities import Modality, read_all_series, read_modalities
from trainables.water_mae.exploring.tables import catchment_table, gap_table
from trainables.water_mae.knobs import PUBLISHED_SET
from trainables.water_mae.worlds.synthetic import Island, write_island

TRAIN = Period(np.datetime64("2001-01-01"), np.datetime64("2001-03-31"))
VAL = Period(np.datetime64("2001-04-03"), np.datetime64("2001-04-30"))
GAP = slice(4, 7)  # days of temperature that no cell has
MARKED = 20  # a day of temperature that was interpolated
LONELY = 30  # a day on which one cell has no temperature


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small island with gaps in time, a day that was interpolated, and two days between the splits."""
    target = tmp_path_factory.mktemp("data") / "gaps <b>"
    write_island(Island(rows=16, cols=12, num_catchments=9, train=TRAIN, val=VAL), target)
    (path,) = target.glob("temperature_train_*.h5")
    land = np.load(next(target.glob("*mask*.npy"))).astype(bool)
    row, column = np.argwhere(land)[5]
    with h5py.File(path, "a") as file:
        file["data"][GAP] = np.nan
        file["data"][LONELY, row, column] = np.nan
        marks = np.zeros(len(TRAIN.dates), bool)
        marks[MARKED] = True
        file["interpolated"] = marks
    return target


@pytest.fixture(scope="module")
def inputs(folder: Path) -> Inputs:
    return inspect(find_files(folder, PUBLISHED_SET))


@pytest.fixture(scope="module")
def read(folder: Path, inputs: Inputs) -> dict[str, Modality]:
    files = find_files(folder, PUBLISHED_SET)
    series = read_all_series(files, inputs.dates, PUBLISHED_SET)
    return read_modalities(inputs, series, PUBLISHED_SET)[0]


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the look lies."""
    return tmp_path_factory.mktemp("look")


@pytest.fixture(scope="module")
def found(folder: Path, look: Path) -> Exploration:
    """The look."""
    return explore(folder, look)


def quick_look(folder: Path, target: Path) -> Exploration:
    """Looks without drawing, which takes seconds."""
    names = ("coverage", "missing", "catchments", "hydrographs", *PUBLISHED_SET.names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainables.water_mae.explore._draw", lambda *_: dict.fromkeys(names, b""))
        return explore(folder, target)


def raw(folder: Path, name: str) -> np.ndarray:
    """Returns a modality as (day, place) from its raw files, NaN without data."""
    if name not in PUBLISHED_SET.fields:
        table = pd.read_parquet(next(folder.glob("*.parquet")))
        wide = table.pivot(index="date", columns="ID", values=name.replace("_", ""))
        days = np.concatenate([TRAIN.dates, VAL.dates])
        return wide.loc[pd.to_datetime(days).astype(wide.index.dtype)].to_numpy(np.float64)
    land = np.load(next(folder.glob("*mask*.npy"))).astype(bool)
    pieces = []
    for split in ("train", "val"):
        pattern = f"{'soil' if name == 'soil_moisture' else name}*_{split}_*.h5"
        with h5py.File(next(folder.glob(pattern))) as file:
            piece = file["data"][:][:, land].astype(np.float64)
            if "interpolated" in file:
                piece[file["interpolated"][:]] = np.nan
        pieces.append(piece)
    return np.concatenate(pieces)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", PUBLISHED_SET.names)
def test_sums_are_those_of_a_slow_twin(name: str, folder: Path, read: dict[str, Modality]) -> None:
    values, each = raw(folder, name), read[name]
    known = np.isfinite(values)
    for place in range(values.shape[1]):
        assert each.mean[place] == pytest.approx(values[known[:, place], place].mean(), rel=1e-6)
        assert each.missing[place] == pytest.approx(1 - known[:, place].mean())
    for day in range(len(values)):
        assert each.covered[day] == pytest.approx(known[day].mean())
        expected = values[day, known[day]].mean() if known[day].any() else np.nan
        assert each.series[day] == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert each.moments.mean == pytest.approx(values[known].mean(), rel=1e-6)
    assert each.moments.std == pytest.approx(values[known].std(), rel=1e-6)
    assert (each.extremes.low, each.extremes.high) == pytest.approx(
        (values[known].min(), values[known].max())
    )
    assert (each.extremes.num_values, each.extremes.num_missing) == (known.size, (~known).sum())
    assert {split: len(sample) for split, sample in each.sampled.items()} == {
        "train": known[: len(TRAIN.dates)].sum(),
        "val": known[len(TRAIN.dates) :].sum(),
    }


def test_a_sample_holds_values_of_all_places(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modalities, "MAX_SAMPLED", 2000)
    each, _ = modalities._read_image(PUBLISHED_SET["soil_moisture"], inputs)
    num_cells = len(each.mean)
    stride = modalities._stride(len(TRAIN.dates), num_cells)
    assert stride > 1
    assert len(np.unique(np.arange(0, num_cells * stride, stride) % num_cells)) == num_cells
    assert 0.6 * 2000 < len(each.sampled["train"]) <= 2000 + 3  # each piece of days begins anew


def test_gaps_are_runs_of_days_that_no_place_has_and_days_of_no_split(
    inputs: Inputs, read: dict[str, Modality]
) -> None:
    table = gap_table(inputs, read)
    days = (
        table[["first", "last"]].astype("datetime64[s]").apply(lambda column: column.dt.strftime("%Y-%m-%d"))
    )
    rows = [tuple(map(str, row)) for row in table.assign(**days).to_numpy().tolist()]
    temperature = [row for row in rows if row[0] == "temperature"]
    assert temperature == [
        ("temperature", "train", "2001-01-05", "2001-01-07", "3"),
        ("temperature", "train", "2001-01-21", "2001-01-21", "1"),
    ]
    assert rows[-1] == ("all", "no split", "2001-04-01", "2001-04-02", "2")
    flow = np.flatnonzero(read["river_flow"].covered == 0)
    assert sum(int(row[4]) for row in rows if row[0] == "river_flow") == len(flow) > 0


def test_catchments_have_their_longest_gap_and_missing_shares(folder: Path, inputs: Inputs) -> None:
    series = read_all_series(find_files(folder, PUBLISHED_SET), inputs.dates, PUBLISHED_SET)
    series.values[10:15, 1, 2] = np.nan
    series.values[40:42, 1, 2] = np.nan
    table = catchment_table(inputs, series).set_index("id")
    missing = np.isnan(series.values[:, 1, 2])
    row = table.loc[series.ids[2]]
    longest = max(len(run) for run in "".join("x" if gone else " " for gone in missing).split())
    assert row["longest gap river_flow"] == longest >= 5
    assert row["missing river_flow train"] == pytest.approx(missing[: len(TRAIN.dates)].mean())
    assert row["mean river_flow"] == pytest.approx(np.nanmean(series.values[:, 1, 2]), rel=1e-6)
    assert row["longest gap evaporation"] == 0


@pytest.mark.slow
def test_every_modality_has_a_row_and_a_picture_and_is_on_the_page(
    found: Exploration, look: Path, folder: Path, read: dict[str, Modality]
) -> None:
    rows = {row["modality"]: row for row in rows_of(look / "modalities.csv")}
    text = (look / found.page).read_text()
    assert list(rows) == list(PUBLISHED_SET.names)
    for name in PUBLISHED_SET.names:
        values = raw(folder, name)
        assert int(rows[name]["missing"]) == np.isnan(values).sum()
        assert int(rows[name]["places"]) == values.shape[1]
        assert rows[name]["unit"] == read[name].extremes.unit
        picture = image.imread(look / "modalities" / f"{name}.png")
        assert picture.shape[1] > 1200 and picture[..., :3].std() > 0.01
        assert f'id="{name}"' in text
        assert found.statistics[f"mean/{name}"] == pytest.approx(np.nanmean(values), rel=1e-6)
        assert found.statistics[f"missing/{name}"] == pytest.approx(np.isnan(values).mean())
    for name in ("coverage", "missing", "catchments", "hydrographs"):
        assert image.imread(look / f"{name}.png")[..., :3].std() > 0.01
    assert len(rows_of(look / "catchments.csv")) == 9


@pytest.mark.slow
def test_the_page_needs_no_other_file_and_no_network(found: Exploration, look: Path) -> None:
    sources: list[str] = []
    tags: list[str] = []

    class Sources(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            sources.extend(value or "" for name, value in attrs if name in ("src", "href"))

    Sources().feed((look / found.page).read_text())
    assert len(sources) == 4 + len(PUBLISHED_SET.names)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "b" not in tags  # the name of the folder cannot write the page


def test_what_is_missing_is_told(folder: Path, tmp_path: Path) -> None:
    found = quick_look(folder, tmp_path)
    splits = {row["split"]: row for row in rows_of(tmp_path / "splits.csv")}
    assert {split: int(row["days"]) for split, row in splits.items()} == {"train": 90, "val": 28}
    assert float(splits["train"]["missing temperature"]) == pytest.approx(4 / 90, rel=0.01)
    assert "2 days lie between the splits and in none of them." in found.report
    assert "temperature: 1 days were interpolated at the import and count as missing" in found.report
    assert found.fingerprint in found.report


def test_the_fingerprint_follows_the_content(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns(".store"))
    (tmp_path / "look").mkdir()
    found, again = (quick_look(each, tmp_path / "look") for each in (folder, tmp_path / "copy"))
    assert (again.fingerprint, again.statistics) == (found.fingerprint, found.statistics)
    with h5py.File(next((tmp_path / "copy").glob("temperature_val_*.h5")), "a") as file:
        file["data"][3] += 0.5
    other = quick_look(tmp_path / "copy", tmp_path / "look")
    assert other.fingerprint != found.fingerprint


def test_implausible_values_are_refused_by_name(tmp_path: Path) -> None:
    write_island(Island(rows=16, cols=12, num_catchments=9, train=TRAIN, val=VAL), tmp_path / "wrong")
    for name in ("precipitation", "temperature"):
        with h5py.File(next((tmp_path / "wrong").glob(f"{name}_val_*.h5")), "a") as file:
            file["data"][3] = 1e7
    (tmp_path / "look").mkdir()
    with pytest.raises(DataError, match=r"(?s)precipitation in .*_val_.*temperature in .*_val_"):
        explore(tmp_path / "wrong", tmp_path / "look")
