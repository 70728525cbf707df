"""Reads and writes GeoTIFF through rasterio: nodata and masks, scale and offset, names of bands, where it lies.

rasterio is imported when a file is opened, for most data sets need none.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from thalweg.errors import DataError

_MAX_VALUES = 1 << 28
_MAX_STEP = 0.1  # of a pixel, by which edges of one grid may differ: warping rounds


@dataclass(frozen=True)
class Footprint:
    """Where a raster lies.

    Attributes:
        crs: Name of its coordinate reference system, such as ``EPSG:32630``; empty if it has none.
        bounds: Left, bottom, right and top in it; NaN if it has none.
        geographic: Whether these are degrees.
    """

    crs: str = ""
    bounds: tuple[float, float, float, float] = (float("nan"),) * 4
    geographic: bool = False

    @property
    def place(self) -> str:
        """The square of 50 km, or half a degree, in which its middle lies; empty if it has no coordinates."""
        if not self.crs:
            return ""
        step = 0.5 if self.geographic else 50_000.0
        left, bottom, right, top = self.bounds
        return f"{self.crs} {(left + right) / 2 // step:.0f} {(bottom + top) / 2 // step:.0f}"


@dataclass(frozen=True)
class Raster:
    """A raster that was read.

    Attributes:
        values: Its values, scaled by the file's own scale and offset; NaN where there are no data.
        names: Descriptions of the bands; empty texts where they have none.
        scaled: Whether the file says how its numbers are scaled.
        tags: Tags of the file.
        footprint: Where it lies.
    """

    values: Float32[np.ndarray, "band row col"]
    names: tuple[str, ...]
    scaled: bool
    tags: Mapping[str, str]
    footprint: Footprint


def read_raster(path: Path) -> Raster:
    """Reads all bands of a raster.

    Raises:
        DataError: The file cannot be read, or its rows do not run from north to south.
    """
    with _opened(path) as file:
        _require_moderate(path, file)
        flags = [{flag.name for flag in band} for band in file.mask_flag_enums]
        values = file.read()
        hidden = None if all("all_valid" in band for band in flags) else file.read_masks() == 0
        scaled = any(scale != 1 for scale in file.scales) or any(offset != 0 for offset in file.offsets)
        names = tuple(name or "" for name in file.descriptions)
        scales, offsets = (np.array(each, float)[:, None, None] for each in (file.scales, file.offsets))
        tags, footprint = dict(file.tags()), _footprint(path, file)
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path} must hold real numbers, got {values.dtype}; convert it")
    image = values.astype(np.float64)
    if scaled:
        image = image * scales + offsets
    gone = ~np.isfinite(image) if hidden is None else ~np.isfinite(image) | hidden
    image[gone] = np.nan
    return Raster(image.astype(np.float32), names, scaled, tags, footprint)


def read_codes(path: Path) -> Shaped[np.ndarray, "row col"]:
    """Reads the first band of a map of classes as codes from 0 to 255; 255 where it has no data or another code.

    Raises:
        DataError: The file cannot be read, or holds fractions.
    """
    with _opened(path) as file:
        _require_moderate(path, file)
        values, mask = file.read(1), file.read_masks(1)
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values), equal_nan=True):
        raise DataError(f"{path} must hold codes of classes, got fractions; write whole numbers")
    known = (mask != 0) & (values >= 0) & (values <= 255)  # False for NaN
    return np.where(known, values, 255).astype(np.uint8)


def require_same_grid(paths: Sequence[Path]) -> None:
    """Checks that rasters have the same pixels: their number, their ground and its coordinate reference system.

    Raises:
        DataError: Two differ, or a file cannot be read.
    """
    first, *others = [_grid(path) for path in paths]
    for path, grid in zip(paths[1:], others, strict=True):
        same = grid.shape == first.shape and same_crs(grid.footprint, first.footprint)
        if not (same and (not grid.footprint.crs or grid.pixels_from(first) <= _MAX_STEP)):
            raise DataError(
                f"images of a scene must share one grid, got {first} in {paths[0]} and {grid} in {path}; warp one of "
                f"them, such as by `rio warp {path.name} NEW.tif --like {paths[0].name}`, or correct what it says of "
                "its ground"
            )


def same_crs(one: Footprint, other: Footprint) -> bool:
    """Returns whether two rasters have the same coordinate reference system, or none, however it is spelled."""
    if not (one.crs and other.crs) or one.crs == other.crs:
        return one.crs == other.crs
    parse = _rasterio().CRS.from_user_input
    return bool(parse(one.crs) == parse(other.crs))


@dataclass(frozen=True)
class _Grid:
    """Pixels of a raster: rows and columns, and where it lies."""

    shape: tuple[int, int]
    footprint: Footprint

    def pixels_from(self, other: "_Grid") -> float:
        """Returns by how many pixels an edge of another grid is elsewhere, at most."""
        left, bottom, right, top = other.footprint.bounds
        steps = np.array([right - left, top - bottom] * 2) / (other.shape[::-1] * 2)
        return float(np.abs(np.subtract(self.footprint.bounds, other.footprint.bounds) / steps).max())

    def __str__(self) -> str:
        where = f"{self.footprint.crs} {self.footprint.bounds}" if self.footprint.crs else "no CRS"
        return f"{self.shape[0]} x {self.shape[1]} pixels, {where}"


def _grid(path: Path) -> _Grid:
    with _opened(path) as file:
        return _Grid((file.height, file.width), _footprint(path, file))


def write_raster(
    path: Path,
    values: Shaped[np.ndarray, "band row col"],
    *,
    names: Sequence[str] = (),
    nodata: float | None = None,
    scale: float = 1.0,
    crs: str = "",
    bounds: Sequence[float] = (),
) -> None:
    """Writes a compressed GeoTIFF.

    Args:
        path: The file; its folder is made.
        values: The bands.
        names: Descriptions of the bands.
        nodata: Value that stands for no data.
        scale: What a number is multiplied with to give the quantity.
        crs: Coordinate reference system; empty if there is none.
        bounds: Left, bottom, right and top in it.
    """
    rasterio = _rasterio()
    bands, rows, columns = values.shape
    profile: dict[str, Any] = {"driver": "GTiff", "count": bands, "height": rows, "width": columns}
    profile |= {"dtype": values.dtype.name, "compress": "deflate", "nodata": nodata}
    if crs:
        left, bottom, right, top = bounds
        # Written out: rasterio's from_bounds multiplies in a way that affine 3 deprecates.
        transform = rasterio.Affine((right - left) / columns, 0, left, 0, (bottom - top) / rows, top)
        profile |= {"crs": rasterio.CRS.from_user_input(crs), "transform": transform}
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as file:
            file.write(values)
            if scale != 1:
                file.scales = (scale,) * bands
            for number, name in enumerate(names, 1):
                file.set_band_description(number, name)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    rasterio = _rasterio()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                yield file
    except rasterio.errors.RasterioError as error:
        raise DataError(f"a raster must be a complete GeoTIFF, got {path}: {error}; copy it again") from None


def _require_moderate(path: Path, file: Any) -> None:
    """Refuses what could not be a scene, before any memory is asked for."""
    if file.count * file.height * file.width > _MAX_VALUES:
        raise DataError(
            f"a scene must have at most {_MAX_VALUES:,} values, got {file.count} bands of {file.height} x {file.width} "
            f"in {path}; cut it into patches, or copy it again"
        )


def _footprint(path: Path, file: Any) -> Footprint:
    if file.crs is None:
        return Footprint()
    grid = file.transform
    if grid.b or grid.d or not (grid.a > 0 > grid.e):
        raise DataError(
            f"rows of a raster must run from west to east, the first in the north, got the transform {tuple(grid)[:6]} "
            f"in {path}; warp it, such as by `rio warp {path.name} NEW.tif --dst-crs {file.crs.to_string()}`"
        )
    left, bottom, right, top = map(float, file.bounds)
    return Footprint(file.crs.to_string(), (left, bottom, right, top), bool(file.crs.is_geographic))


def _rasterio() -> Any:
    import rasterio

    return rasterio
