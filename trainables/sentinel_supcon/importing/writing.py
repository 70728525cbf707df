"""Writes scenes in the family's own layout."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int16, Real

from trainables.sentinel_supcon.data.rasters import NO_CODE, Footprint, write_raster
from trainables.sentinel_supcon.data.reading import RADAR
from trainables.sentinel_supcon.data.units import OFFSET_TAG, REFLECTANCE

_INT16 = np.iinfo(np.int16)
_NO_DATA = _INT16.min


def write_scene(
    folder: Path,
    name: str,
    s1: Float32[np.ndarray, "2 side side"],
    s2: Real[np.ndarray, "band side side"],
    *,
    bands: Sequence[str],
    shift: float,
    footprint: Footprint,
    codes: Int16[np.ndarray, "side side"] | None = None,
) -> None:
    """Writes both images of a scene, and its map of classes if it has one.

    Args:
        folder: The data set.
        name: Name of the scene.
        s1: VV and VH in dB.
        s2: Optical numbers; NaN where there are no data.
        bands: Names of their bands.
        shift: What is added to the optical numbers, so that 10,000 is a reflectance of 1.
        footprint: Where the scene lies.
        codes: Code of each pixel's class, `rasters.NO_CODE` where it has none.
    """
    write = partial(write_raster, crs=footprint.crs, bounds=footprint.bounds)
    shifted = np.clip(np.round(s2.astype(np.float64) + shift), _NO_DATA + 1, _INT16.max)
    numbers = np.where(np.isnan(shifted), _NO_DATA, shifted).astype(np.int16)
    write(folder / "s1" / f"{name}.tif", s1, names=RADAR, nodata=float("nan"))
    told: dict[str, Any] = {"scale": 1 / REFLECTANCE, "tags": {OFFSET_TAG: "0"}}
    write(folder / "s2" / f"{name}.tif", numbers, names=bands, nodata=_NO_DATA, **told)
    if codes is not None:
        write(folder / "labels" / f"{name}.tif", codes[None], names=("class",), nodata=NO_CODE)
