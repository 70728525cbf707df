"""One's own GeoTIFF pairs, which rasterio writes here."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from trainables.sentinel_supcon.data.rasters import write_raster
from trainables.sentinel_supcon.data.scenes import PatchData, open_patches
from trainables.sentinel_supcon.knobs import DataKnobs

KNOBS = DataKnobs(classes=("Trees", "Water"), optical="rgbn", size=16)
BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
SIDE = 16
NAMES = tuple("abcdef")


def bounds(number: int, side: int = SIDE) -> tuple[float, float, float, float]:
    return (100_000.0 * number, 0, 100_000 * number + 10 * side, 10 * side)


def write_pair(folder: Path, number: int, *, side: int = SIDE, shift: int = 0, **odd: Any) -> None:
    """Writes ``s1/NAME.tif`` and ``s2/NAME.tif``, each 100 km from the next."""
    rng = np.random.default_rng(number)
    name = NAMES[number]
    place: dict[str, Any] = {"crs": "EPSG:32630", "bounds": bounds(number, side)}
    radar = rng.normal(-12, 3, (2, side, side)).astype(np.float32)
    optical = rng.integers(1, 3000, (len(BANDS), side, side)).astype(np.uint16) + np.uint16(shift)
    radar, optical = odd.get("radar", radar), odd.get("optical", optical)
    write_raster(folder / f"s1/{name}.tif", radar, names=odd.get("polarisations", ("VH", "VV")), **place)
    write_raster(
        folder / f"s2/{name}.tif",
        optical,
        names=odd.get("bands", ("B2", *BANDS[1:])),
        **place,
    )


def write_table(folder: Path, **changed: Mapping[str, str]) -> Path:
    """Writes ``scenes.csv``; changed ones are the cells of a column by the name of a scene."""
    rows = []
    for number, name in enumerate(NAMES):
        row = {"s1": f"s1/{name}.tif", "s2": f"s2/{name}.tif", "note": "no column of ours"}
        row |= {"classes": "Water;Trees" if number % 2 else "Trees", "date": f"2021-06-0{number + 1}"}
        rows.append(row | {column: cells.get(name, row.get(column, "")) for column, cells in changed.items()})
    path = folder / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(column for row in rows for column in row))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_maps(folder: Path) -> None:
    """Writes a map for each pair: mostly code 5, and 9, of which one pixel has no data."""
    for path in (folder / "s2").glob("*.tif"):
        with rasterio.open(path) as file:
            place: dict[str, Any] = {"crs": str(file.crs), "bounds": tuple(file.bounds)}
            codes = np.full((1, file.height, file.width), 5, np.uint8)
        codes[0, : codes.shape[1] // 4] = 9
        codes[0, -1, -1] = 255
        write_raster(folder / f"labels/{path.name}", codes, nodata=255, **place)


def contents(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return np.asarray(file.read())


def opened(tmp_path: Path, name: str = "own") -> PatchData:
    return open_patches(tmp_path, name, KNOBS)
