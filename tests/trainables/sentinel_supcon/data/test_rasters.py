import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thalweg.errors import DataError
from trainables.sentinel_supcon.data import rasters
from trainables.sentinel_supcon.data.labels import numbers_of
from trainables.sentinel_supcon.data.rasters import (
    NO_CODE,
    Footprint,
    read_codes,
    read_raster,
    write_raster,
)

VALUES = np.arange(2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("raster") / "whole.tif"
    write_raster(path, VALUES, names=("VV", "VH"), nodata=7, crs="EPSG:32630", bounds=(0, 0, 80, 80))
    return path.read_bytes()


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, 600), content=st.binary(min_size=1, max_size=8), keep=st.sampled_from([1.0, 0.5, 0.1])
)
def test_whatever_is_damaged_is_read_or_refused(
    whole: bytes, tmp_path: Path, at: int, content: bytes, keep: float
) -> None:
    damaged = whole[:at] + content + whole[at + len(content) :]
    (tmp_path / "damaged.tif").write_bytes(damaged[: int(keep * len(damaged))])
    for read in (read_raster, read_codes):
        with suppress(DataError):
            read(tmp_path / "damaged.tif")


def test_what_is_written_is_read(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "one.tif").write_bytes(whole)
    raster = read_raster(tmp_path / "one.tif")
    np.testing.assert_array_equal(raster.values, np.where(VALUES == 7, np.nan, VALUES))
    assert raster.names == ("VV", "VH") and not raster.has_scale and not raster.has_offset
    assert raster.footprint == Footprint("EPSG:32630", (0, 0, 80, 80))


def test_places_are_squares_of_50_km_or_half_a_degree() -> None:
    assert Footprint("EPSG:32630", (49_990, 0, 50_030, 40)).place == "EPSG:32630 1 0"
    assert Footprint("EPSG:4326", (-0.3, 51.6, -0.1, 51.8), geographic=True).place == "EPSG:4326 -1 103"
    assert Footprint().place == ""


def test_a_raster_that_is_too_large_is_refused_before_it_is_read(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rasters, "_MAX_VALUES", 100)
    (tmp_path / "one.tif").write_bytes(whole)
    with pytest.raises(DataError, match=r"at most 100 values, got 2 bands of 8 x 8 in .*one.tif"):
        read_raster(tmp_path / "one.tif")


def test_a_file_that_only_names_others_is_not_opened(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "one.tif").write_bytes(whole)
    band = "<SimpleSource><SourceFilename relativeToVRT='1'>one.tif</SourceFilename></SimpleSource>"
    text = f"<VRTRasterBand dataType='Float32' band='1'>{band}</VRTRasterBand>"
    (tmp_path / "two.tif").write_text(f"<VRTDataset rasterXSize='8' rasterYSize='8'>{text}</VRTDataset>")
    for read in (read_raster, read_codes):
        with pytest.raises(DataError, match=r"must be a complete GeoTIFF, got .*two.tif"):
            read(tmp_path / "two.tif")


@pytest.mark.parametrize("kind", ["uint8", "int16", "float32"])
def test_255_may_be_the_code_of_a_class_and_no_data_are_none(tmp_path: Path, kind: str) -> None:
    row = [255, 0, 99, 99, 99] if kind == "uint8" else [255, 0, 99, 300, -1]
    values = np.array([row], kind).repeat(5, 0)
    write_raster(tmp_path / "map.tif", values[None], nodata=99)
    codes, _ = read_codes(tmp_path / "map.tif")
    assert codes[0].tolist() == [255, 0, NO_CODE, NO_CODE, NO_CODE]
    assert numbers_of({255: 0, 0: 1})[codes][0].tolist() == [0, 1, 255, 255, 255]


def test_a_map_of_complex_numbers_is_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "map.tif", np.ones((1, 8, 8), np.complex64))
    with pytest.raises(DataError, match=r"map.tif must hold real numbers, got complex64"):
        read_codes(tmp_path / "map.tif")


NORTH_UP = (10.0, 0.0, 500.0, 0.0, -10.0, 900.0)


@pytest.mark.parametrize(
    ("transform", "crs", "same"),
    [
        (NORTH_UP, "EPSG:32630", True),
        ((10.0, 0.0, 509.0, 0.0, -10.0, 900.0), "EPSG:32630", True),  # less than a pixel apart
        ((10.0, 0.0, 512.0, 0.0, -10.0, 900.0), "EPSG:32630", False),
        (NORTH_UP, "EPSG:32631", False),
        ((0.0, -10.0, 580.0, -10.0, 0.0, 900.0), "EPSG:32630", False),  # turned, with equal bounds
        ((10.0, 0.0, 500.0, 0.0, 10.0, 820.0), "EPSG:32630", False),  # south up
        ((-10.0, 0.0, 580.0, 0.0, -10.0, 900.0), "EPSG:32630", False),  # mirrored
        (NORTH_UP, None, True),
    ],
)
def test_the_same_ground_is_that_of_all_corners_in_one_system(
    tmp_path: Path, transform: tuple[float, ...], crs: str | None, same: bool
) -> None:
    grounds = []
    for name, where in (("one", (NORTH_UP, "EPSG:32630")), ("two", (transform, crs))):
        profile: dict[str, Any] = {"driver": "GTiff", "count": 1, "width": 8, "height": 8, "dtype": "uint8"}
        profile |= {"transform": rasterio.Affine(*where[0]), "crs": where[1]}
        with rasterio.open(tmp_path / name, "w", **profile) as file:
            file.write(np.ones((1, 8, 8), np.uint8))
        found = read_raster(tmp_path / name)
        with warnings.catch_warnings(), rasterio.open(tmp_path / name) as file:
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            expected = (*file.bounds,) if file.crs else (np.nan,) * 4
        np.testing.assert_array_equal(found.footprint.bounds, expected)
        grounds.append(found.ground)
    assert grounds[0].is_that_of(grounds[1]) == grounds[1].is_that_of(grounds[0]) == same


def test_an_unknown_coordinate_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must be like EPSG:32630, got 'nowhere' for one.tif"):
        write_raster(tmp_path / "one.tif", VALUES, crs="nowhere", bounds=(0, 0, 80, 80))
