"""Reads and writes GeoTIFF through rasterio: nodata and masks, scale and offset, names of bands, where it lies.

Other formats are not opened: a file that only names others, such as a VRT, would change without its fingerprint.

rasterio is imported when a file is opened, for most data sets need none.
"""

import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int16, Shaped

from thalweg.errors import DataError

NO_CODE = 256
"""Code of a pixel without a class; no file holds it, for codes are from 0 to 255."""
_MAX_VALUES = 1 << 28
_MAX_STEP = 0.1  # of a pixel, by which corners of one grid may differ: warping rounds


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
class Ground:
    """The ground that a raster shows, exactly.

    Attributes:
        crs: Coordinate reference system as rasterio has it; None if there is none.
        corners: Positions of the upper left, upper right and lower left corner in it.
        pixel: Side of a pixel in it, the longer one.
        shape: Its rows and columns.
    """

    crs: Any
    corners: Float64[np.ndarray, "corner axis"]
    pixel: float
    shape: tuple[int, int]

    def is_that_of(self, other: "Ground") -> bool:
        """Returns whether both show the same ground to a pixel, the same way up; True if one does not say."""
        return self.crs is None or other.crs is None or self._is_within(1, other)

    def has_pixels_of(self, other: "Ground") -> bool:
        """Returns whether both have the same pixels; of rasters without coordinates only their number tells."""
        if self.crs is None or other.crs is None:
            return self.crs is other.crs and self.shape == other.shape
        return self.shape == other.shape and self._is_within(_MAX_STEP, other)

    def _is_within(self, pixels: float, other: "Ground") -> bool:
        """Returns whether no corner is elsewhere by more than so many pixels, the larger ones, in one system."""
        apart = np.abs(self.corners - other.corners).max()
        return bool(self.crs == other.crs and apart <= pixels * max(self.pixel, other.pixel))

    def require_upright(self, path: Path) -> None:
        """Checks that rows run from west to east, the first in the north, as what only names its bounds must.

        Raises:
            DataError: The raster, of this path, is turned or mirrored.
        """
        across, down = self.corners[1] - self.corners[0], self.corners[2] - self.corners[0]
        if self.crs is not None and (across[1] or down[0] or not across[0] > 0 > down[1]):
            raise DataError(
                f"rows of a raster must run from west to east, the first in the north, got the upper left, upper right "
                f"and lower left corners {self} in {path}; warp it, such as by `rio warp {_quoted(path)} NEW.tif "
                f"--dst-crs {_quoted(self.crs.to_string())}`"
            )

    def __str__(self) -> str:
        """Returns system and corners, for a message."""
        if self.crs is None:
            return "no coordinates"
        return (
            f"{self.crs.to_string()[:60]} {', '.join(f'({x:.9g} {y:.9g})' for x, y in self.corners.tolist())}"
        )


@dataclass(frozen=True)
class Raster:
    """A raster that was read.

    Attributes:
        values: Its values, scaled by the file's own scale and offset; NaN where there are no data.
        zero: Where the number in the file is 0, before any scale.
        names: Descriptions of the bands; empty texts where they have none.
        dtype: Type of the numbers in the file.
        has_scale: Whether the file says what its numbers are multiplied with.
        has_offset: Whether it says what is added to them.
        tags: Tags of the file.
        footprint: Where it lies.
        ground: The same, with all corners.
    """

    values: Float32[np.ndarray, "band row col"]
    zero: Bool[np.ndarray, "band row col"]
    names: tuple[str, ...]
    dtype: np.dtype[Any]
    has_scale: bool
    has_offset: bool
    tags: Mapping[str, str]
    footprint: Footprint
    ground: Ground


def read_raster(path: Path) -> Raster:
    """Reads all bands of a raster.

    Raises:
        DataError: The file cannot be read.
    """
    with _opened(path) as file:
        _require_moderate(path, file)
        flags = [{flag.name for flag in band} for band in file.mask_flag_enums]
        values = file.read()
        hidden = None if all("all_valid" in band for band in flags) else file.read_masks() == 0
        names = tuple(name or "" for name in file.descriptions)
        scales, offsets = (np.array(each, float)[:, None, None] for each in (file.scales, file.offsets))
        tags, ground = dict(file.tags()), _ground(file)
        footprint = _footprint(file, ground)
    _require_real(path, values)
    has_scale, has_offset = bool((scales != 1).any()), bool((offsets != 0).any())
    image = values.astype(np.float32)
    if has_scale or has_offset:
        image = (values.astype(np.float64) * scales + offsets).astype(np.float32)
    if values.dtype.kind == "f":
        image[~np.isfinite(image)] = np.nan
    if hidden is not None:
        image[hidden] = np.nan
    return Raster(
        values=image,
        zero=values == 0,
        names=names,
        dtype=values.dtype,
        has_scale=has_scale,
        has_offset=has_offset,
        tags=tags,
        footprint=footprint,
        ground=ground,
    )


Located: TypeAlias = tuple[Path, Ground]
"""A file, and the ground that it shows."""


def require_same_grid(files: Sequence[Located]) -> None:
    """Checks that rasters have the same pixels, in rows from west to east, the first in the north.

    Raises:
        DataError: One is turned, or two differ.
    """
    first, pixels = files[0]
    for path, ground in files:
        ground.require_upright(path)
        if not ground.has_pixels_of(pixels):
            shapes = [f"{rows} x {columns} pixels" for rows, columns in (pixels.shape, ground.shape)]
            raise DataError(
                f"images of a scene must share one grid, got {shapes[0]}, {pixels} in {first} and {shapes[1]}, "
                f"{ground} in {path}; warp one of them, such as by `rio warp {_quoted(path)} NEW.tif --like "
                f"{_quoted(first)}`, or correct what it says of its ground"
            )


def require_same_ground(one: Located, other: Located, way_out: str) -> None:
    """Checks that two files of a scene show the same ground, whatever their pixels; see `Ground.is_that_of`.

    Args:
        one: A file.
        other: Another one.
        way_out: What the message says to do.

    Raises:
        DataError: They show different ground.
    """
    (first, ground), (second, found) = one, other
    if not ground.is_that_of(found):
        raise DataError(
            f"all files of a scene must show the same ground in the same way, got the upper left, upper right and "
            f"lower left corners {ground} in {first} and {found} in {second}; {way_out}"
        )


def read_codes(path: Path) -> tuple[Int16[np.ndarray, "row col"], Ground]:
    """Reads the first band of a map of classes as codes from 0 to 255, and the ground that it shows.

    Returns:
        The codes, `NO_CODE` where the map has no data or another code, and the ground.

    Raises:
        DataError: The file cannot be read, or holds fractions.
    """
    with _opened(path) as file:
        _require_moderate(path, file)
        values, mask, ground = file.read(1), file.read_masks(1), _ground(file)
    _require_real(path, values)
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values), equal_nan=True):
        raise DataError(f"{path} must hold codes of classes, got fractions; write whole numbers")
    known = (mask != 0) & (values >= 0) & (values <= 255)  # False for NaN
    # np.where would take NO_CODE as one of the map's own type, a byte of 0.
    return np.where(known, values.astype(np.float64), NO_CODE).astype(np.int16), ground


def write_raster(
    path: Path,
    values: Shaped[np.ndarray, "band row col"],
    *,
    names: Sequence[str] = (),
    nodata: float | None = None,
    scale: float = 1.0,
    tags: Mapping[str, str] | None = None,
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
        tags: Tags of the file.
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
        profile |= {"crs": _system(crs, path), "transform": transform}
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as file:
            file.write(values)
            if scale != 1:
                file.scales = (scale,) * bands
            file.update_tags(**(tags or {}))
            for number, name in enumerate(names, 1):
                file.set_band_description(number, name)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    rasterio = _rasterio()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, driver="GTiff") as file:
                yield file
    except (rasterio.errors.RasterioError, rasterio.errors.CRSError) as error:
        raise DataError(f"a raster must be a complete GeoTIFF, got {path}: {error}; copy it again") from None


def _require_moderate(path: Path, file: Any) -> None:
    """Refuses what could not be a scene, before any memory is asked for."""
    if file.count * file.height * file.width > _MAX_VALUES:
        raise DataError(
            f"a scene must have at most {_MAX_VALUES:,} values, got {file.count} bands of {file.height} x {file.width} "
            f"in {path}; cut it into patches, or copy it again"
        )


def _system(crs: str, path: Path) -> Any:
    rasterio = _rasterio()
    try:
        return rasterio.CRS.from_user_input(crs)
    except rasterio.errors.CRSError as error:
        raise DataError(
            f"a coordinate reference system must be like EPSG:32630, got {crs!r} for {path.name}: {error}; correct it"
        ) from None


def _require_real(path: Path, values: Shaped[np.ndarray, "..."]) -> None:
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path} must hold real numbers, got {values.dtype}; convert it")


def _quoted(value: object) -> str:
    """Returns a word of a command for a shell."""
    return shlex.quote(str(value))


def _ground(file: Any) -> Ground:
    ends = ((0, 0), (file.width, 0), (0, file.height))
    a, b, c, d, e, f = file.transform[:6]
    corners = np.array([(a * column + b * row + c, d * column + e * row + f) for column, row in ends], float)
    pixel = max(float(np.hypot(a, d)), float(np.hypot(b, e)))
    return Ground(file.crs, corners, pixel, (file.height, file.width))


def _footprint(file: Any, ground: Ground) -> Footprint:
    if file.crs is None:
        return Footprint()
    # Not file.bounds: of a turned raster it multiplies in a way that affine 3 deprecates.
    upper_left, upper_right, lower_left = ground.corners
    (left, top), right, bottom = upper_left, upper_right[0], lower_left[1]
    if upper_right[1] != top or lower_left[0] != left:
        corners = np.stack([*ground.corners, upper_right + lower_left - upper_left])
        (left, bottom), (right, top) = corners.min(0), corners.max(0)
    bounds = (float(left), float(bottom), float(right), float(top))
    return Footprint(file.crs.to_string(), bounds, bool(file.crs.is_geographic))


def _rasterio() -> Any:
    import rasterio

    return rasterio
