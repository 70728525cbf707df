"""What numbers, codes, bands and names of one's own GeoTIFF pairs mean when they are imported."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from tests.trainables.sentinel_supcon.importing.own_pairs import (
    NAMES,
    SIDE,
    contents,
    opened,
    write_maps,
    write_pair,
    write_table,
)
from thalweg.errors import ConfigError, DataError
from trainables.sentinel_supcon.data.rasters import write_raster
from trainables.sentinel_supcon.importing.geotiff_pairs import read


def test_255_may_be_a_class_of_maps_beside_pixels_without_one(folder: Path, tmp_path: Path) -> None:
    for name in NAMES:
        codes = np.full((1, SIDE, SIDE), 255, np.uint8)
        codes[0, 0], codes[0, 1] = 0, 9
        with rasterio.open(folder / f"s2/{name}.tif") as file:
            place: dict[str, Any] = {"crs": str(file.crs), "bounds": tuple(file.bounds)}
        write_raster(folder / f"labels/{name}.tif", codes, nodata=9, **place)
    read(folder, tmp_path / "own", classes="0:Trees;255:Water")
    data = opened(tmp_path)
    assert data.labels.tolist() == [1] * 6
    assert data.maps[3, :3, 0].tolist() == [0, 255, 1]


def test_pixels_that_are_0_in_all_bands_have_no_data(folder: Path, tmp_path: Path) -> None:
    for kind in ("s1", "s2"):
        with rasterio.open(folder / f"{kind}/b.tif", "r+") as file:
            values = file.read()
            values[:, 0] = 0
            file.write(values)
    read(folder / "table.csv", tmp_path / "own")
    assert np.isnan(contents(tmp_path / "own/s1/b.tif")[:, 0]).all()
    assert (contents(tmp_path / "own/s2/b.tif")[:, 0] == -32768).all()


def test_bands_are_found_by_words_of_their_descriptions(folder: Path, tmp_path: Path) -> None:
    write_pair(folder, 3, polarisations=("Sigma0_VH_db", "Sigma0_VV_db"), bands=(
        "b2_10m", "green", "red", "NIR", "B11, 1610 nm", "B12"))  # fmt: skip
    read(folder / "table.csv", tmp_path / "own")
    data = opened(tmp_path)
    np.testing.assert_array_equal(data.s2[3], contents(folder / "s2/d.tif"))
    np.testing.assert_array_equal(data.s1[3], contents(folder / "s1/d.tif")[::-1])


def test_each_file_keeps_to_the_order_that_an_option_names(folder: Path, tmp_path: Path) -> None:
    for number in range(6):
        write_pair(folder, number, polarisations=() if number < 4 else ("VV", "VH"))
    with pytest.raises(ConfigError, match=r"must not contradict .*, got VH,VV for VV,VH of .*s1/e.tif"):
        read(folder / "table.csv", tmp_path / "own", radar="VH,VV")


def test_a_band_that_is_described_twice_is_refused(folder: Path, tmp_path: Path) -> None:
    write_pair(folder, 0, bands=("B02", "B03", "red", "B4", "B11", "B12"))
    with pytest.raises(
        DataError, match=r"must name each once, .* in .*s2/a.tif, B04 2 times; say --option bands="
    ):
        read(folder / "table.csv", tmp_path / "own")


def test_an_offset_is_not_taken_off_twice(folder: Path, tmp_path: Path) -> None:
    write_table(folder, baseline=dict.fromkeys(NAMES, "05.00"))
    with pytest.raises(
        DataError, match=r"must hold their offset of 1000, got scenes of 6 places .*out of a table"
    ):
        read(folder / "table.csv", tmp_path / "own")


def test_names_of_patches_may_be_those_of_files(folder: Path, tmp_path: Path) -> None:
    write_maps(folder)
    write_table(
        folder,
        name={"a": "a" * 220},
        labels={name: f"labels/{name}.tif" for name in NAMES},
        classes=dict.fromkeys(NAMES, ""),
    )
    options = {"classes": "5:Trees;9:Water"}
    with pytest.raises(DataError, match="of at most 200 bytes, got 'aaa"):
        read(folder / "table.csv", tmp_path / "other", size="16", **options)
    read(folder / "table.csv", tmp_path / "own", **options)
    assert opened(tmp_path).names[0] == "a" * 220
