"""Reads arrays of tiles from an HDF5 file of somebody else's; what is not as expected is refused by name."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Shaped

from thalweg.errors import DataError
from trainables.sentinel_supcon.data.contents import is_file_name
from trainables.sentinel_supcon.data.rasters import Footprint
from trainables.sentinel_supcon.importing.cutting import MAX_NAME

_MAX_VALUES = 1 << 32


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Opens a file.

    Raises:
        DataError: It is broken.
    """
    try:
        with h5py.File(path) as file:
            yield file
    except OSError as error:
        raise DataError(f"{path} must be a complete HDF5 file, got {error}; copy it again") from None


def images(file: Any, name: str, num_bands: int) -> Shaped[np.ndarray, "tile band side side"]:
    """Returns images of all tiles; an array of one tile may lack the first axis.

    Raises:
        DataError: They are no numbers of such a shape.
    """
    array = _array(file, name)
    shape = tuple(array.shape)
    whole = (1, *shape) if len(shape) == 3 else shape
    if array.dtype.kind not in "fiu" or len(whole) != 4 or whole[1] != num_bands or whole[2] != whole[3]:
        raise _unfit(file, name, array, f"numbers of shape (tile, {num_bands}, side, side)")
    if not 0 < np.prod(whole, dtype=float) <= _MAX_VALUES:
        raise _unfit(file, name, array, f"at least one number, and at most {_MAX_VALUES:,}")
    return np.asarray(array[()]).reshape(whole)


def require_shape(file: Any, name: str, values: Shaped[np.ndarray, "..."], shape: Sequence[int]) -> None:
    """Checks that an array is of the tiles and pixels of another one.

    Raises:
        DataError: It is not.
    """
    if values.shape != tuple(shape):
        raise _unfit(file, name, values, f"the tiles and pixels of the radar images, {tuple(shape)}")


def texts(file: Any, name: str, count: int) -> list[str]:
    """Returns a text for each tile.

    Raises:
        DataError: They are no texts, or of another number.
    """
    array = _array(file, name)
    values = np.atleast_1d(np.asarray(array[()]))
    if values.shape != (count,) or values.dtype.kind not in "SO":
        raise _unfit(file, name, array, f"{count} texts, one for each tile")
    try:
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()]
    except UnicodeDecodeError:
        raise _unfit(file, name, array, "texts in UTF-8") from None


def file_names(file: Any, name: str, count: int) -> list[str]:
    """Returns a name for each tile, of which files can be named.

    Raises:
        DataError: A name is empty, too long, there twice, or one of a file in another folder.
    """
    found = texts(file, name, count)
    seen: set[str] = set()
    for each in found:
        if not is_file_name(each, MAX_NAME) or each in seen:
            raise DataError(
                f"{name} of {file.filename} must name each tile once, without a slash, in at most {MAX_NAME} bytes, "
                f"got {each[:MAX_NAME]!r}; correct it"
            )
        seen.add(each)
    return found


def footprints(file: Any, count: int) -> list[Footprint]:
    """Returns where each tile lies: by the arrays, or attributes, ``crs`` and ``bounds``.

    Raises:
        DataError: One of both is missing or of another shape.
    """
    holder = file if "crs" in file else file.attrs
    if "crs" not in holder:
        return [Footprint()] * count
    if "bounds" not in holder:
        raise DataError(f"{file.filename} must hold bounds beside crs, got crs alone; add them")
    if holder is file:
        systems, bounds = texts(file, "crs", count), np.asarray(_array(file, "bounds")[()])
    else:
        systems, bounds = [str(holder["crs"])] * count, np.asarray(holder["bounds"])[None].repeat(count, 0)
    if bounds.shape != (count, 4) or bounds.dtype.kind not in "fiu" or not np.isfinite(bounds).all():
        raise DataError(
            f"bounds of {file.filename} must be left, bottom, right and top of each of {count} tiles, got "
            f"{bounds.dtype} of shape {bounds.shape}; correct them"
        )
    edges = bounds.astype(float).tolist()
    return [
        Footprint(crs, (left, bottom, right, top))
        for crs, (left, bottom, right, top) in zip(systems, edges, strict=True)
    ]


def _array(file: Any, name: str) -> Any:
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.dtype is None or found.shape is None:
        raise DataError(
            f"{name} of {file.filename} must be an array, got {type(found).__name__}; choose another file"
        )
    return found


def _unfit(file: Any, name: str, array: Any, wanted: str) -> DataError:
    return DataError(
        f"{name} of {file.filename} must hold {wanted}, got {array.dtype} of shape {tuple(array.shape)}; convert it"
    )
