"""A daily HDF5 file is read as written, or refused with a reason."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from thalweg.data.hdf5 import open_daily, read_days
from thalweg.errors import DataError


def _write(
    path: Path, num_days: int = 70, *, dates: Any = None, data: Any = None, **storage: Any
) -> np.ndarray:
    grid = (
        np.random.default_rng(0).standard_normal((num_days, 5, 4)).astype(np.float32)
        if data is None
        else data
    )
    days = _start(num_days) if dates is None else dates
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=grid, **storage)
        file.create_dataset("dates", data=days)
    return np.asarray(grid)


def _start(num_days: int) -> np.ndarray:
    return (np.datetime64("2001-01-01") + np.arange(num_days)).astype("S10")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "grid.h5"


@pytest.mark.parametrize("chunk_days", [None, 1, 7, 30, 70])
def test_pieces_together_are_the_file_whatever_its_chunks(path: Path, chunk_days: int | None) -> None:
    storage: dict[str, Any] = {}
    if chunk_days is not None:
        storage = {"chunks": (chunk_days, 5, 4), "compression": "gzip"}
    grid = _write(path, dates=_start(70), **storage)
    daily = open_daily(path)
    pieces = list(read_days(daily))
    assert [first for first, _ in pieces] == np.cumsum(
        [0, *[len(piece) for _, piece in pieces[:-1]]]
    ).tolist()
    assert np.array_equal(np.concatenate([piece for _, piece in pieces]), grid)
    assert (daily.rows, daily.cols, len(daily.dates)) == (5, 4, 70)
    assert str(daily.dates[0]) == "2001-01-01"


def test_a_missing_day_is_refused_with_its_place(path: Path) -> None:
    dates = np.delete(_start(71), 40)
    _write(path, dates=dates)
    with pytest.raises(DataError, match=r"consecutive days, got \['2001-02-09', '2001-02-11'\]"):
        open_daily(path)


def test_days_in_wrong_order_are_refused(path: Path) -> None:
    _write(path, dates=_start(70)[::-1].copy())
    with pytest.raises(DataError, match="consecutive days"):
        open_daily(path)


def test_dates_that_are_no_dates_are_refused(path: Path) -> None:
    _write(path, dates=np.array([b"day %02d" % day for day in range(70)]))
    with pytest.raises(DataError, match="must be YYYY-MM-DD, got 'day 00'"):
        open_daily(path)


def test_fewer_dates_than_days_are_refused(path: Path) -> None:
    _write(path, dates=_start(69))
    with pytest.raises(DataError, match="one date per day"):
        open_daily(path)


@pytest.mark.parametrize(
    "data", [np.zeros((70, 5, 4)), np.zeros((70, 20), np.float32), np.zeros((0, 5, 4), np.float32)]
)
def test_wrong_shape_or_dtype_is_refused(path: Path, data: np.ndarray) -> None:
    _write(path, dates=_start(len(data)), data=data)
    with pytest.raises(DataError, match=r"float32 of shape \(days, rows, cols\)"):
        open_daily(path)


@pytest.mark.parametrize("name", ["data", "dates"])
def test_a_missing_dataset_is_refused(path: Path, name: str) -> None:
    _write(path, dates=_start(70))
    with h5py.File(path, "a") as file:
        del file[name]
    with pytest.raises(DataError, match="must hold the datasets 'data' and 'dates'"):
        open_daily(path)


def test_a_truncated_file_is_refused(path: Path) -> None:
    _write(path, dates=_start(70))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match="must be a complete HDF5 file"):
        open_daily(path)


def test_a_file_of_another_kind_is_refused(path: Path) -> None:
    path.write_text("not an HDF5 file")
    with pytest.raises(DataError, match="must be a complete HDF5 file"):
        open_daily(path)


def test_a_damaged_chunk_is_refused_when_read(path: Path) -> None:
    _write(path, dates=_start(70), chunks=(10, 5, 4), compression="gzip")
    with h5py.File(path) as file:
        where = file["data"].id.get_chunk_info(3).byte_offset
    raw = bytearray(path.read_bytes())
    raw[where : where + 200] = b"\xff" * 200
    path.write_bytes(raw)
    daily = open_daily(path)
    with pytest.raises(DataError, match="copy or write the file again"):
        list(read_days(daily))
