"""Files that are not what their names say are refused, and what is not searched is told."""

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

from tests.trainables.geo_contrastive.importing.conftest import Bring
from thalweg.errors import DataError


@pytest.fixture
def source(make: Callable[..., xr.Dataset], tmp_path: Path) -> Path:
    """A folder with one good file."""
    folder = tmp_path / "source"
    folder.mkdir()
    make(range(0, 24 * 12, 24)).to_netcdf(folder / "2001.nc", engine="h5netcdf")
    return folder


def test_a_download_that_is_no_data_is_refused_beside_good_files(source: Path, bring: Bring) -> None:
    with zipfile.ZipFile(source / "2002.nc", "w") as archive:
        archive.writestr("data_stream-oper.nc", "")
    (source / "2003.grib").write_text("<html>403 Forbidden</html>")
    (source / "2004.nc").touch()
    (source / "2005.zarr").mkdir()
    with pytest.raises(DataError) as caught:
        bring(source)
    text = str(caught.value)
    assert "4 faults" in text
    for fault in (
        "2002.nc must be netCDF, Zarr or GRIB, got a ZIP archive, as the Climate Data Store sends several files; ",
        "2003.grib must be netCDF, Zarr or GRIB, got a file that begins with b'<htm'; download it again",
        "2004.nc must be netCDF, Zarr or GRIB, got an empty file; download it again, or move it away",
        "2005.zarr must be netCDF, Zarr or GRIB, got a folder without the tables of Zarr; copy it again",
    ):
        assert fault in text
    for name in ("2002.nc", "2003.grib", "2004.nc"):
        (source / name).rename(source / f".{name}")
    (source / "2005.zarr").rmdir()
    assert "from 1 file (netCDF-4)" in bring(source)[0]


def test_archives_and_folders_beside_files_are_told(source: Path, bring: Bring) -> None:
    (source / "2002.nc.gz").write_bytes(gzip.compress(b"anything"))
    (source / "2003").mkdir()
    (source / "2003" / "a.nc").write_bytes((source / "2001.nc").read_bytes())
    (source / "plots").mkdir()
    report, _ = bring(source)
    assert "left out, for archives and folders in a folder are not searched: 2002.nc.gz, 2003/" in report
    (source / "2001.nc").unlink()
    with pytest.raises(DataError, match=r"got none of them at .* itself but in 2003; pass one of these"):
        bring(source)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"PK\x03\x04", "a ZIP archive, as .*; unpack it"),
        (b"\x1f\x8b\x08\x00", "a gzip archive; unpack it"),
        (b"CDF\x05", "netCDF-3 with 64-bit data; convert it: nccopy -k nc4"),
        (b"\x0e\x03\x13\x01", "HDF4; convert it to netCDF"),
        (b"", "an empty file; download it again"),
    ],
)
def test_a_file_of_another_kind_is_named(bring: Bring, tmp_path: Path, head: bytes, message: str) -> None:
    (tmp_path / "a.nc").write_bytes(head)
    with pytest.raises(DataError, match=rf"must be or hold netCDF, Zarr or GRIB, got at .*a\.nc {message}"):
        bring(tmp_path / "a.nc")
