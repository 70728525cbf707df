import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio

from thalweg.errors import ConfigError, DataError
from trainables.sentinel_supcon.data.rasters import read_raster, write_raster
from trainables.sentinel_supcon.data.scenes import PatchData, open_patches
from trainables.sentinel_supcon.importing import corine
from trainables.sentinel_supcon.importing.bigearthnet import read
from trainables.sentinel_supcon.knobs import BANDS, DataKnobs

KNOBS = DataKnobs(optical="l2a", size=16)
SIDES = {"B01": 20, "B09": 20, **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 60)}
TILES = ("T33UUP", "T29SND", "T34WFU", "T33UUP", "T29SND")
LABELS = (
    ["Pastures", "Sea and ocean"],
    ["Rice fields", "Airports"],
    ["Peatbogs"],
    ["Mixed forest"],
    ["Urban fabric"],
)


def patch(number: int) -> str:
    return f"S2A_MSIL2A_20170613T101031_N9999_R022_{TILES[number]}_26_{number}"


def radar(number: int) -> str:
    return f"S1A_IW_GRDH_1SDV_20170613T165043_{TILES[number][1:]}_26_{number}"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five scenes of three tiles; the last one is under snow."""
    folder = tmp_path_factory.mktemp("written") / "BigEarthNet-V2"
    rng = np.random.default_rng(1)
    for number in range(5):
        home = folder / "BigEarthNet-S2" / patch(number).rsplit("_", 2)[0] / patch(number)
        place: Any = {"crs": "EPSG:32633", "bounds": (0, 1200 * number, 1200, 1200 * number + 1200)}
        for band in BANDS["l2a"]:
            side = SIDES.get(band, 120)
            values = rng.integers(1, 4000, (1, side, side)).astype(np.uint16)
            write_raster(home / f"{patch(number)}_{band}.tif", values, **place)
        home = folder / "BigEarthNet-S1" / radar(number).rsplit("_", 3)[0] / radar(number)
        for band in ("VV", "VH"):
            values = rng.normal(-12.5, 2, (1, 120, 120)).astype(np.float32)
            write_raster(home / f"{radar(number)}_{band}.tif", values, **place)
    table = pd.DataFrame(
        {
            "patch_id": [patch(number) for number in range(5)],
            "s1_name": [radar(number) for number in range(5)],
            "labels": LABELS,
            "split": ["train", "validation", "test", "train", "train"],
            "country": ["Austria", "Portugal", "Finland", "Austria", "Portugal"],
            "contains_seasonal_snow": [False] * 4 + [True],
            "contains_cloud_or_shadow": [False] * 5,
        }
    )
    table.to_parquet(folder / "metadata.parquet")
    return folder


@pytest.fixture
def source(written: Path, tmp_path: Path) -> Path:
    """A copy of the scenes, to change."""
    return Path(shutil.copytree(written, tmp_path / "BigEarthNet-V2"))


def opened(tmp_path: Path) -> PatchData:
    return open_patches(tmp_path, "own", KNOBS)


def test_scenes_have_both_sensors_at_10_m_with_fractions_of_db(source: Path, tmp_path: Path) -> None:
    report = read(source, tmp_path / "own")
    assert report.startswith("4 scenes of 3 tiles with the 19 classes")
    data = opened(tmp_path)
    row = data.names.index(patch(1))
    for number, band in enumerate(data.bands):
        folder = source / "BigEarthNet-S2" / patch(1).rsplit("_", 2)[0] / patch(1)
        with rasterio.open(folder / f"{patch(1)}_{band}.tif") as file:
            values = file.read(1)
        times = 120 // len(values)
        np.testing.assert_array_equal(data.s2[row, number], np.kron(values, np.ones((times, times), int)))
    folder = source / "BigEarthNet-S1" / radar(1).rsplit("_", 3)[0] / radar(1)
    for number, band in enumerate(("VV", "VH")):
        with rasterio.open(folder / f"{radar(1)}_{band}.tif") as file:
            np.testing.assert_array_equal(data.s1[row, number], file.read(1))
    assert data.footprints[row].tolist() == [0, 1200, 1200, 2400]


def test_labels_become_the_19_classes_in_official_splits(source: Path, tmp_path: Path) -> None:
    read(source, tmp_path / "own")
    data = opened(tmp_path)
    named = {
        name: {data.classes[number] for number in np.flatnonzero(multi)}
        for name, multi in zip(data.names, data.multi, strict=True)
    }
    assert named[patch(0)] == {"Pastures", "Marine waters"}
    assert named[patch(1)] == {"Arable land"}  # airports are no class
    assert named[patch(2)] == {"Inland wetlands"}
    assert patch(4) not in named  # snow
    held = {split: [data.names[row] for row in rows] for split, rows in data.rows.items()}
    assert held == {"train": [patch(3), patch(0)][::-1], "val": [patch(1)], "test": [patch(2)]}


def test_places_are_tiles_and_may_give_the_splits(source: Path, tmp_path: Path) -> None:
    read(source, tmp_path / "own", split="tile", snow_and_clouds="keep")
    data = opened(tmp_path)
    assert set(data.place_names) == set(TILES)
    held = [set(data.places[rows].tolist()) for rows in data.rows.values()]
    assert [len(each) for each in held] == [1, 1, 1]


def test_a_country_or_a_number_may_be_chosen(source: Path, tmp_path: Path) -> None:
    assert read(source, tmp_path / "own", country="Austria", split="tile").startswith("2 scenes of 1 tiles")
    assert read(source, tmp_path / "few", max_scenes="3").startswith("3 scenes")
    with pytest.raises(DataError, match="country must be one of Austria, Finland, Portugal, got 'France'"):
        read(source, tmp_path / "other", country="France")


def test_scenes_without_files_are_named(source: Path, tmp_path: Path) -> None:
    next(source.glob(f"*/*/{patch(0)}/*_B08.tif")).unlink()
    assert f"1 scene without all files: {patch(0)}." in read(source, tmp_path / "own")


def _column(name: str, change: Callable[[pd.DataFrame], Any]) -> Callable[[Path], None]:
    def damage(source: Path) -> None:
        table = pd.read_parquet(source / "metadata.parquet")
        table[name] = change(table)
        table.to_parquet(source / "metadata.parquet")

    return damage


def _band(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Changes a file of the band, which keeps its ground if it keeps its size."""

    def damage(source: Path) -> None:
        path = min(source.glob(f"*/*/*/*_{name}.tif"))
        raster = read_raster(path)
        values, place = change(raster.values), raster.footprint
        write_raster(path, values, crs=place.crs, bounds=place.bounds)

    return damage


def _drop_split(source: Path) -> None:
    path = source / "metadata.parquet"
    pd.read_parquet(path).drop(columns="split").to_parquet(path)


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no table": (lambda f: (f / "metadata.parquet").unlink(), "must hold metadata.parquet or metadata.csv"),
    "half a table": (lambda f: (f / "metadata.parquet").write_bytes(b"PAR1"), "must be a complete table"),
    "no split": (_drop_split, "must have the columns .*, got no split"),
    "an unknown label": (_column("labels", lambda table: "Lakes"), "must be CORINE classes, got 'Lakes'"),
    "an unknown split": (_column("split", lambda table: "dev"), "train, validation or test, got 'dev'"),
    "no labels": (
        _column("labels", lambda table: [None, *table["labels"][1:]]),
        "labels of .*metadata.parquet must be a list, or names between semicolons, got None",
    ),
    "a name twice": (_column("patch_id", lambda table: table["patch_id"][0]), "must be there once, got S2A"),
    "no name": (_column("s1_name", lambda table: None), "s1_name of .* must be names of folders, .*got None"),
    "numbers for names": (
        _column("patch_id", lambda table: table.index),
        "must be names of folders, .*got 0",
    ),
    "another folder": (
        _column("patch_id", lambda table: "../" + table["patch_id"]),
        r"must be names of folders, .*got '\.\./S2A",
    ),
    "pairs of other ground": (
        _column("s1_name", lambda table: table["s1_name"][::-1].tolist()),
        "must show the same ground in the same way, got .*; correct s1_name",
    ),
    "two bands in a file": (
        _band("B05", lambda values: values.repeat(2, 0)),
        "must hold it alone, .* with 2 bands",
    ),
    "a band of 50 pixels": (
        _band("B05", lambda values: values[:, :50, :50]),
        "a whole part of it, got 50 x 50",
    ),
    "fill": (_band("VV", lambda values: values * 0 - 9999), "from -100 to 60 dB, got -9999"),
    "no scene": (
        _column("patch_id", lambda table: "a_" + table["patch_id"]),
        "got none, 4 of the table lack files",
    ),
}


@pytest.mark.parametrize("case", sorted(BREAKS))
def test_broken_tables_are_refused_by_name(source: Path, tmp_path: Path, case: str) -> None:
    damage, message = BREAKS[case]
    damage(source)
    with pytest.raises(DataError, match=message):
        read(source, tmp_path / "own")
    assert not (tmp_path / "own").exists()


def test_a_country_that_is_not_said_is_none(source: Path, tmp_path: Path) -> None:
    _column("country", lambda table: [None, "Portugal", "Finland", "Austria", "Portugal"])(source)
    with pytest.raises(DataError, match="country must be one of Austria, Finland, Portugal, got 'France'"):
        read(source, tmp_path / "other", country="France")


@pytest.mark.slow
def test_scaled_bands_are_reflectance(source: Path, tmp_path: Path) -> None:
    read(source, tmp_path / "plain")
    for path in source.glob("BigEarthNet-S2/*/*/*.tif"):
        with rasterio.open(path, "r+") as file:
            file.scales = (1e-4,)
    read(source, tmp_path / "own")
    np.testing.assert_array_equal(opened(tmp_path).s2, open_patches(tmp_path, "plain", KNOBS).s2)


@pytest.mark.slow
def test_a_table_as_csv_is_read(source: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(source / "metadata.parquet")
    table["labels"] = [";".join(labels) for labels in table["labels"]]
    table.to_csv(source / "metadata.csv", index=False)
    read(source, tmp_path / "parquet")
    (source / "metadata.parquet").unlink()
    read(source, tmp_path / "own")
    assert (tmp_path / "own/scenes.csv").read_text() == (tmp_path / "parquet/scenes.csv").read_text()


def test_an_unknown_choice_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="split must be one of official, tile, got 'random'"):
        read(source, tmp_path / "own", split="random")


def test_all_43_corine_classes_are_in_one_class_or_dropped() -> None:
    parts = [part for name, members in corine.CLASSES.items() for part in members or (name,)]
    assert len(corine.CLASSES) == 19 and len(corine.DROPPED) == 11
    assert len(parts) == len(set(parts)) == 32  # 43 - 11
