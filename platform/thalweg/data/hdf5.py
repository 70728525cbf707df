"""Daily HDF5 grids, written and read with checks: ``data`` float32 (days, rows, cols), ``dates`` YYYY-MM-DD.

A file may mark days that are interpolated from their neighbours: ``interpolated`` bool (days). These leak later days,
so a reader must neither treat them as data nor show them to a model that predicts their neighbours.
Attributes of ``data`` define its encoding, by the CF conventions. Integers are accepted if the attributes say how they
are packed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Bool, Float32, Shaped

from thalweg.data.encoding import Encoding
from thalweg.errors import DataError

CHUNK_DAYS = 30
"""Days in an HDF5 chunk that we write; about as many are read at a time."""


@dataclass(frozen=True)
class DailyGrid:
    """A daily HDF5 file whose header has been checked.

    Attributes:
        path: The file.
        dates: Consecutive days, shape (day,), dtype datetime64[D].
        rows: Rows of the grid.
        cols: Columns of the grid.
        interpolated: True on interpolated days.
        encoding: Encoding of the stored numbers.
    """

    path: Path
    dates: Shaped[np.ndarray, " day"]
    rows: int
    cols: int
    interpolated: Bool[np.ndarray, " day"]
    encoding: Encoding


def open_daily(path: Path) -> DailyGrid:
    """Checks the header of a daily HDF5 file; reads dates, not grids.

    Raises:
        DataError: The file cannot be read, lacks a dataset, or shape, dtype, attributes or dates are wrong.
    """
    try:
        with h5py.File(path, "r") as file:
            data, dates = (_dataset(path, file, name) for name in ("data", "dates"))
            encoding = Encoding.of_dataset(data, f"data in {path}")
            is_packed = encoding.is_packed and data.dtype.kind in "iu"
            if data.ndim != 3 or not (data.dtype == np.float32 or is_packed) or not data.size:
                raise DataError(
                    f"data in {path} must be float32 of shape (days, rows, cols), or whole numbers with "
                    f"scale_factor or add_offset, got {data.dtype} {data.shape}; write the file again"
                )
            if dates.shape != data.shape[:1]:
                raise DataError(
                    f"dates in {path} must hold one date per day of data, "
                    f"got {dates.shape} for {data.shape[0]} days; write the file again"
                )
            days = _parse_dates(path, dates[:])
            marks = _interpolated(path, file, len(days))
            return DailyGrid(
                path, days, rows=data.shape[1], cols=data.shape[2], interpolated=marks, encoding=encoding
            )
    except (OSError, RuntimeError) as error:
        raise unreadable(path, error) from None


def read_days(grid: DailyGrid) -> Iterator[tuple[int, Float32[np.ndarray, "day row col"]]]:
    """Yields pieces of a few days in physical values, NaN for missing data, each with the position of its first day.

    Pieces are whole HDF5 chunks, so that no chunk is decompressed twice.

    Raises:
        DataError: A chunk is damaged.
    """
    try:
        with h5py.File(grid.path, "r") as file:
            data = file["data"]
            chunk = data.chunks[0] if data.chunks else 1
            step = chunk * max(1, CHUNK_DAYS // chunk)
            for first in range(0, len(grid.dates), step):
                yield first, grid.encoding.decode(data[first : first + step])
    except (OSError, RuntimeError) as error:
        raise unreadable(grid.path, error) from None


def _dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    item = file.get(name)
    if not isinstance(item, h5py.Dataset):
        raise DataError(
            f"{path} must hold the datasets 'data' and 'dates', got {sorted(file)}; write the file again"
        )
    return item


def _interpolated(path: Path, file: h5py.File, num_days: int) -> Bool[np.ndarray, " day"]:
    if "interpolated" not in file:
        return np.zeros(num_days, bool)
    marks = _dataset(path, file, "interpolated")
    if marks.shape != (num_days,) or marks.dtype != np.bool_:
        raise DataError(
            f"interpolated in {path} must hold true or false for each of {num_days} days, "
            f"got {marks.dtype} {marks.shape}; write the file again"
        )
    days: Bool[np.ndarray, " day"] = marks[:]
    return days


def _parse_dates(path: Path, raw: Shaped[np.ndarray, " day"]) -> Shaped[np.ndarray, " day"]:
    text = [item.decode("ascii", "replace") if isinstance(item, bytes) else str(item) for item in raw]
    try:
        days = np.array(text, dtype="datetime64[D]")
    except ValueError as error:
        raise DataError(
            f"dates in {path} must be YYYY-MM-DD, got {text[0]!r} first ({error}); write the file again"
        ) from None
    breaks = np.flatnonzero(np.diff(days) != np.timedelta64(1, "D"))
    if np.isnat(days).any() or breaks.size:
        where = int(breaks[0]) if breaks.size else 0
        raise DataError(
            f"dates in {path} must be consecutive days, got {text[where : where + 2]} "
            f"at days {where} and {where + 1}; write the missing days"
        )
    return days


def write_daily(
    path: Path,
    dates: Shaped[np.ndarray, " day"],
    shape: tuple[int, ...],
    pieces: Iterable[Float32[np.ndarray, "piece row col"]],
    attributes: Callable[[], Mapping[str, str]] = dict,
    interpolated: Bool[np.ndarray, " day"] | None = None,
    units: str = "",
) -> None:
    """Writes a daily HDF5 file, chunked by `CHUNK_DAYS` days and compressed; the same days give the same bytes.

    Args:
        path: The file.
        dates: Consecutive days, dtype datetime64[D].
        shape: Rows and columns.
        pieces: The grids, in pieces of `CHUNK_DAYS` days (the last may be shorter).
        attributes: Returns further attributes as text; called once all data are written.
        interpolated: True on interpolated days; None if there are none.
        units: Unit of the values, empty if it is not known.
    """
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "data",
            (len(dates), *shape),
            np.float32,
            chunks=(min(CHUNK_DAYS, len(dates)), *shape),
            compression="gzip",
            compression_opts=4,
            shuffle=True,
        )
        file.create_dataset("dates", data=dates.astype("S10"))
        if interpolated is not None:
            file.create_dataset("interpolated", data=interpolated)
        if units:
            data.attrs["units"] = units
        first = 0
        for piece in pieces:
            data[first : first + len(piece)] = piece
            first += len(piece)
        file.attrs.update(attributes())
    if first != len(dates):
        raise ValueError(f"pieces of {path.name} must cover {len(dates)} days, got {first}")


def unreadable(path: Path, error: Exception) -> DataError:
    """Returns the error for a file that h5py cannot read."""
    return DataError(
        f"{path} must be a complete HDF5 file, got {type(error).__name__}: {error}; "
        "copy or write the file again"
    )
