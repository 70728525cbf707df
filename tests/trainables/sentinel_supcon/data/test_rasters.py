from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thalweg.errors import DataError
from trainables.sentinel_supcon.data import rasters
from trainables.sentinel_supcon.data.rasters import Footprint, read_codes, read_raster, write_raster

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
    assert raster.names == ("VV", "VH") and not raster.scaled
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
