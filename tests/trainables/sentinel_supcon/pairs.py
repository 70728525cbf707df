"""Small data sets in the family's own layout, for tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainables.sentinel_supcon.data.pairs import Described, write_tables
from trainables.sentinel_supcon.data.rasters import write_raster
from trainables.sentinel_supcon.knobs import BANDS

L2A = BANDS["l2a"]


def write_pairs(
    folder: Path,
    *,
    offset: int = 0,
    s1: Mapping[str, Any] | None = None,
    s2: Mapping[str, Any] | None = None,
    file: str = "{}",
    unit: Any = "dB",
    baseline: str = "",
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Writes six scenes of 16 x 16 pixels in six places; returns their dB and reflectance numbers by name.

    Args:
        folder: The data set.
        offset: Added to the optical numbers that are written.
        s1: What `write_raster` is told of radar images.
        s2: What it is told of optical ones.
        file: Pattern of a scene's name.
        unit: Unit of backscatter, in which it is written.
        baseline: Processing baseline in the table.
    """
    rng = np.random.default_rng(3)
    made, lines = {}, []
    for number in range(6):
        name = file.format(f"scene{number}")
        radar = rng.normal(-12, 3, (2, 16, 16)).astype(np.float32)
        optical = rng.integers(1, 3000, (12, 16, 16)).astype(np.uint16)
        written = 10 ** (radar / 10) if unit == "linear" else radar
        place: Any = {"crs": "EPSG:32630", "bounds": (160 * number, 0, 160 * number + 160, 160)}
        write_raster(folder / f"s1/{name}.tif", written.astype(np.float32), **place, **(s1 or {}))
        write_raster(folder / f"s2/{name}.tif", optical + np.uint16(offset), **place, **(s2 or {}))
        made[name] = (radar, optical)
        classes = "water;trees" if number % 2 else "trees"
        lines.append({"name": name, "place": f"tile{number}", "classes": classes, "baseline": baseline})
    write_tables(folder, Described(classes=("water", "trees"), bands=L2A, unit=unit), lines)
    return made
