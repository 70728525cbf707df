"""Imports tiles of both sensors from one HDF5 file: TerraMesh, Sen1Floods11, BigEarthNet.

Tiles with a map of classes are cut into patches. The place of a patch is its tile, or a block of it: neighbouring
patches are alike, so that they must not be in two splits. Patches never cross the edge of a block.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float32, Integer, UInt8

from thalweg.data.store import staged
from thalweg.errors import ConfigError, DataError
from trainables.sentinel_supcon.data.labels import classes_of_maps, numbers_of
from trainables.sentinel_supcon.data.pairs import Described, write_tables
from trainables.sentinel_supcon.data.rasters import Footprint
from trainables.sentinel_supcon.data.units import darkest
from trainables.sentinel_supcon.importing import corine
from trainables.sentinel_supcon.importing.options import product, whole
from trainables.sentinel_supcon.importing.shifts import Shifts
from trainables.sentinel_supcon.importing.writing import write_scene
from trainables.sentinel_supcon.knobs import BANDS, Optical

_PRODUCTS: Mapping[Optical, str] = {"l2a": "S2L2A", "l1c": "S2L1C"}


@dataclass(frozen=True)
class _Kind:
    """A kind of file.

    Attributes:
        name: Its name.
        radar: Array of backscatter.
        labels: Array of maps, or of lists of classes.
        classes: Name of each code; empty if each tile is one scene with a list of classes.
    """

    name: str
    radar: str
    labels: str
    classes: Mapping[int, str]


_KINDS = (
    _Kind(
        "TerraMesh",
        "S1RTC",
        "LULC",
        {1: "Water", 2: "Trees", 3: "Flooded vegetation", 4: "Crops", 5: "Built", 6: "Bare", 7: "Snow",
         9: "Rangeland"},
    ),
    _Kind("Sen1Floods11", "S1", "label", {0: "Dry", 1: "Water"}),
    _Kind("BigEarthNet", "S1", "labels", {}),
)  # fmt: skip


@dataclass(frozen=True)
class _Tile:
    """A tile; the codes are empty if it has no map."""

    name: str
    s1: Float32[np.ndarray, "2 side side"]
    s2: Integer[np.ndarray, "band side side"]
    codes: UInt8[np.ndarray, "..."]
    classes: tuple[str, ...]
    footprint: Footprint


@dataclass(frozen=True)
class _Cut:
    """How tiles are cut; all in pixels."""

    size: int
    stride: int
    block: int


def read(
    source: Path,
    target: Path,
    *,
    size: str = "64",
    stride: str = "",
    block: str = "0",
    optical: str = "",
    min_scenes: str = "1",
    val: str = "",
    test: str = "",
    offset: str = "auto",
) -> str:
    """Cuts the tiles of a file into patches and writes them as GeoTIFF pairs; see `options.PATCHES`.

    Returns:
        A report.

    Raises:
        ConfigError: An option is out of its bounds.
        DataError: The file is of no known kind, or its reflectance is not known.
    """
    side = whole("size", size, low=16, high=4096)
    cut = _Cut(side, whole("stride", stride or size, low=1, high=side), whole("block", block, low=0))
    if cut.block and cut.block < side:
        raise ConfigError(f"block must be 0 or at least the size, {side}, got {cut.block}; raise it")
    shifts, least = Shifts(offset), whole("min_scenes", min_scenes, low=1)
    path = _file(source)
    with h5py.File(path) as file:
        kind = _kind(file, path)
        bands = BANDS[_product(file, path, optical)]
        tiles = list(_tiles(file, kind, bands))
    splits = _splits(tiles, {"val": val, "test": test})
    classes = _classes(kind, tiles, cut, least)
    lines = []
    with staged(target) as folder:
        for tile in tiles:
            shift = shifts.of(tile.name, [darkest(tile.s2.astype(np.float32))])
            for name, place, rows, columns in _windows(tile, kind, cut):
                write_scene(
                    folder,
                    name,
                    tile.s1[:, rows, columns],
                    tile.s2[:, rows, columns],
                    bands=bands,
                    shift=shift,
                    footprint=_part(tile, rows, columns),
                    codes=tile.codes[rows, columns] if kind.classes else None,
                )
                line = {"name": name, "place": place, "split": splits[tile.name]}
                lines.append(line | {"classes": ";".join(tile.classes)})
        shifts.require_known()
        codes = {code: classes.index(name) for code, name in kind.classes.items() if name in classes}
        origin = f"{kind.name}, {path.name}, cut into {cut.size} pixels at a stride of {cut.stride}"
        write_tables(folder, Described(classes=classes, bands=bands, codes=codes, origin=origin), lines)
    places = len({line["place"] for line in lines})
    return (
        f"{len(lines)} scenes in {places} places from {len(tiles)} tiles of {kind.name}, with the classes "
        f"{', '.join(classes)}. {shifts.report}"
    )


def _file(source: Path) -> Path:
    if source.is_file():
        return source
    found = sorted(source.glob("*.h5"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(f"{source} must be one HDF5 file, or a folder with one, got {names}; name the file")
    return found[0]


def _kind(file: Any, path: Path) -> _Kind:
    for kind in _KINDS:
        if kind.radar in file and kind.labels in file:
            return kind
    raise DataError(
        f"{path} must hold backscatter and labels of {' or '.join(kind.name for kind in _KINDS)}, got "
        f"{', '.join(sorted(file))}; choose another file"
    )


def _product(file: Any, path: Path, optical: str) -> Optical:
    there: list[Optical] = [name for name, array in _PRODUCTS.items() if array in file]
    chosen = product(optical) if optical else next(iter(there), "l2a")
    if chosen not in there:
        raise ConfigError(
            f"optical must be a product that {path.name} holds, got {chosen!r}; take {' or '.join(there) or 'none'}"
        )
    return chosen


def _tiles(file: Any, kind: _Kind, bands: tuple[str, ...]) -> Iterator[_Tile]:
    optical = next(array for name, array in _PRODUCTS.items() if BANDS[name] == bands)
    radar, numbers = (np.asarray(file[name][()]) for name in (kind.radar, optical))
    maps = np.asarray(file[kind.labels][()])
    if radar.ndim == 3:  # one tile
        radar, numbers, maps = radar[None], numbers[None], maps[None]
    named = next((name for name in ("tile", "patch") if name in file), "")
    for row in range(len(radar)):
        name = file[named][row].decode() if named else f"{kind.name}_{row}"
        codes = np.zeros(0, np.uint8)
        classes: tuple[str, ...] = ()
        if kind.classes:
            known = np.isin(maps[row, 0], list(kind.classes))
            codes = np.where(known, maps[row, 0], 255).astype(np.uint8)
        else:
            classes = corine.classes_of(json.loads(maps[row].decode()))
        footprint = _footprint(file, row)
        yield _Tile(name, radar[row].astype(np.float32), numbers[row], codes, classes, footprint)


def _footprint(file: Any, row: int) -> Footprint:
    if "crs" in file:
        crs, bounds = file["crs"][row].decode(), file["bounds"][row]
    elif "crs" in file.attrs:
        crs, bounds = str(file.attrs["crs"]), file.attrs["bounds"]
    else:
        return Footprint()
    left, bottom, right, top = (float(edge) for edge in bounds)
    return Footprint(crs, (left, bottom, right, top))


def _windows(tile: _Tile, kind: _Kind, cut: _Cut) -> Iterator[tuple[str, str, slice, slice]]:
    """Yields name, place, rows and columns of each patch of a tile."""
    side = tile.s1.shape[1]
    if not kind.classes:  # classes of a whole tile say nothing of its parts
        yield tile.name, tile.name.rsplit("_", 2)[0], slice(0, side), slice(0, side)
        return
    block = cut.block or side
    for top in range(0, side, block):
        for left in range(0, side, block):
            place = f"{tile.name} block {top} {left}" if cut.block else tile.name
            for row in range(top, min(top + block, side) - cut.size + 1, cut.stride):
                for column in range(left, min(left + block, side) - cut.size + 1, cut.stride):
                    name = f"{tile.name}_r{row:04d}_c{column:04d}"
                    yield name, place, slice(row, row + cut.size), slice(column, column + cut.size)


def _part(tile: _Tile, rows: slice, columns: slice) -> Footprint:
    """Returns where a part of a tile lies."""
    if not tile.footprint.crs:
        return tile.footprint
    side = tile.s1.shape[1]
    left, bottom, right, top = tile.footprint.bounds
    width, height = (right - left) / side, (top - bottom) / side
    bounds = (
        left + columns.start * width,
        top - rows.stop * height,
        left + columns.stop * width,
        top - rows.start * height,
    )
    return Footprint(tile.footprint.crs, bounds, tile.footprint.geographic)


def _splits(tiles: list[_Tile], held_out: Mapping[str, str]) -> dict[str, str]:
    """Returns the split of each tile; nothing if no tile is held out, so that splits follow from places.

    Args:
        tiles: The tiles.
        held_out: Names of the tiles of each split, separated by commas.

    Raises:
        ConfigError: A name is of no tile or is named twice, or no tile is left to train on.
    """
    named: dict[str, str] = {}
    there = [tile.name for tile in tiles]
    for split, text in held_out.items():
        for name in filter(None, (part.strip() for part in text.split(","))):
            if name not in there:
                raise ConfigError(
                    f"{split} must name tiles of the file, got {name!r}; take of {', '.join(there[:12])}"
                )
            if name in named:
                raise ConfigError(f"each tile must be held out once, got {name} twice; leave it out once")
            named[name] = split
    if len(named) == len(set(there)):
        raise ConfigError(
            f"some tile must be left to train on, got all {len(named)} held out by val and test; hold out fewer"
        )
    return {name: named.get(name, "train") if named else "" for name in there}


def _classes(kind: _Kind, tiles: list[_Tile], cut: _Cut, least: int) -> tuple[str, ...]:
    """Returns the classes that are the main one of enough patches; of lists of classes, all."""
    if not kind.classes:
        return tuple(corine.CLASSES)
    names = tuple(kind.classes.values())
    numbers = numbers_of({code: number for number, code in enumerate(kind.classes)})
    counts = np.zeros(len(names), np.int64)
    for tile in tiles:
        for _, _, rows, columns in _windows(tile, kind, cut):
            main = classes_of_maps(numbers[tile.codes[rows, columns]][None], len(names))[0][0]
            counts[main] += main >= 0
    kept = tuple(name for name, count in zip(names, counts, strict=True) if count >= least)
    if len(kept) < 2:
        told = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
        raise DataError(
            f"at least 2 classes must be the main one of {least} patches, got {told}; lower min_scenes or size"
        )
    return kept
