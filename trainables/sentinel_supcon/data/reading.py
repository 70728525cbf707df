"""Reads the images of a scene: bands in order, units harmonised, NaN where there are no data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from thalweg.errors import DataError
from trainables.sentinel_supcon.data.contents import Contents, Scene, Unit
from trainables.sentinel_supcon.data.labels import numbers_of
from trainables.sentinel_supcon.data.meterml import read_array
from trainables.sentinel_supcon.data.rasters import Footprint, Raster, read_codes, read_raster, same_crs
from trainables.sentinel_supcon.data.units import (
    REFLECTANCE,
    decibels,
    known_shift,
    require_decibels,
    require_reflectance,
)

RADAR = ("VV", "VH")


@dataclass(frozen=True)
class Images:
    """The images of a scene; NaN where there are no data.

    Attributes:
        s1: VV and VH, in dB or counts.
        s2: Numbers of the optical bands, 10,000 for a reflectance of 1 once `shift` is added.
        footprint: Where the scene lies.
        shift: What is to be added to `s2`; None if nothing tells.
    """

    s1: Float32[np.ndarray, "2 row col"]
    s2: Float32[np.ndarray, "band height width"]
    footprint: Footprint
    shift: float | None


def side_of(contents: Contents) -> int:
    """Returns the side of the first scene, in pixels.

    Raises:
        DataError: It is no square.
    """
    first = read_scene(contents, contents.scenes[0]).s1
    if first.shape[1] != first.shape[2]:
        raise DataError(
            f"scenes must be squares, got {first.shape[1]} x {first.shape[2]} pixels in "
            f"{contents.folder / contents.scenes[0].s1}; cut them"
        )
    return int(first.shape[1])


def read_scene(contents: Contents, scene: Scene) -> Images:
    """Reads both images of a scene.

    Raises:
        DataError: A file is broken, lacks bands, or both do not show the same ground.
    """
    first, second = contents.folder / scene.s1, contents.folder / scene.s2
    if first.suffix == ".npy":
        return Images(read_array(first, 2), read_array(second, len(contents.bands)), Footprint(), None)
    radar, optical = read_raster(first), read_raster(second)
    _require_same_ground(contents, scene, radar.footprint, optical.footprint)
    s1 = in_decibels(_in_order(radar, RADAR, str(first)), contents.unit, first)
    values = _in_order(optical, contents.bands, str(second))
    s2, shift = in_numbers(values, optical, second, scene.baseline)
    return Images(s1, s2, radar.footprint, shift)


def in_decibels(
    values: Float32[np.ndarray, "2 row col"], unit: Unit, path: Path
) -> Float32[np.ndarray, "2 row col"]:
    """Returns backscatter in dB, or in counts if these are its unit.

    Raises:
        DataError: What should be dB cannot be.
    """
    if unit == "dB":
        require_decibels(values, path)
    return decibels(values) if unit == "linear" else values


def in_numbers(
    values: Float32[np.ndarray, "band row col"],
    raster: Raster,
    path: Path,
    baseline: str,
    *,
    fractions: bool = False,
) -> tuple[Float32[np.ndarray, "band row col"], float | None]:
    """Returns numbers of which 10,000 are a reflectance of 1, and what is to be added to them; None if nothing tells.

    Args:
        values: Bands of an optical image.
        raster: The file that holds them.
        path: Its path.
        baseline: What the data set's table says of it; empty if it says nothing.
        fractions: Whether numbers are reflectance itself even if the file gives no scale.

    Raises:
        DataError: What should be reflectance cannot be.
    """
    if raster.scaled or fractions:
        require_reflectance(values, path)
        return values * np.float32(REFLECTANCE), 0.0
    return values, known_shift(path.name, raster.tags, baseline)


def read_map(contents: Contents, scene: Scene, side: int) -> UInt8[np.ndarray, "row col"]:
    """Reads the class of each pixel of a scene, 255 if it has none.

    Raises:
        DataError: The file is broken, or of another size than the scene.
    """
    path = contents.folder / scene.labels
    codes = read_codes(path)
    if codes.shape != (side, side):
        raise DataError(
            f"a map of classes must have the {side} x {side} pixels of its scene, got {codes.shape[0]} x "
            f"{codes.shape[1]} in {path}; resample it to the nearest"
        )
    numbers: UInt8[np.ndarray, "row col"] = numbers_of(contents.codes)[codes]
    return numbers


def bands_called(names: Sequence[str]) -> list[str]:
    """Returns descriptions of bands in the spelling of `knobs.BANDS` and `RADAR`: in capitals, with two digits."""
    called = [name.upper() for name in names]
    return [f"B0{name[1:]}" if len(name) == 2 and name[0] == "B" else name for name in called]


def share_missing(image: Float32[np.ndarray, "band row col"]) -> float:
    """Returns the share of pixels that lack data in any band."""
    return float(np.isnan(image).any(0).mean())


def filled(image: Float32[np.ndarray, "band row col"]) -> Float32[np.ndarray, "band row col"]:
    """Returns an image in which pixels without data have the median of their band."""
    gone = np.isnan(image)
    if not gone.any():
        return image
    medians = np.nanmedian(image, axis=(1, 2), keepdims=True)
    return np.where(gone, medians, image).astype(np.float32)


def _in_order(raster: Raster, bands: Sequence[str], path: str) -> Float32[np.ndarray, "band row col"]:
    """Returns the bands in the expected order, by their descriptions if these name all of them."""
    called = bands_called(raster.names)
    if set(bands) <= set(called):
        return raster.values[[called.index(band) for band in bands]]
    if len(raster.values) != len(bands):
        found = f": {', '.join(called)}" if any(called) else " without descriptions"
        raise DataError(
            f"{path} must have the bands {', '.join(bands)}, got {len(raster.values)}{found}; write these"
        )
    return raster.values


def _require_same_ground(contents: Contents, scene: Scene, one: Footprint, other: Footprint) -> None:
    if not (one.crs and other.crs):
        return
    width = one.bounds[2] - one.bounds[0]
    far = np.abs(np.subtract(one.bounds, other.bounds)).max() > width / 50
    if far or not same_crs(one, other):
        raise DataError(
            f"both images of a scene must show the same ground, got {scene.name} of {contents.folder} with the "
            f"bounds {one.crs} {one.bounds} in {scene.s1} and {other.crs} {other.bounds} in {scene.s2}; pair or warp "
            "them again"
        )
