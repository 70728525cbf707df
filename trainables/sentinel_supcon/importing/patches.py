"""Imports tiles of both sensors from one HDF5 file: TerraMesh, Sen1Floods11, BigEarthNet.

Tiles with a map of classes are cut into patches. The place of a patch is its tile, or a block of it: neighbouring
patches are alike, so that they must not be in two splits. Patches never cross the edge of a block.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int16, Real

from thalweg.data.store import staged
from thalweg.errors import ConfigError, DataError
from thalweg.wording import counted, some
from trainables.sentinel_supcon.data import units
from trainables.sentinel_supcon.data.labels import classes_of_maps, numbers_of
from trainables.sentinel_supcon.data.pairs import Described, write_tables
from trainables.sentinel_supcon.data.rasters import NO_CODE, Footprint
from trainables.sentinel_supcon.data.reading import without_blanks
from trainables.sentinel_supcon.importing import corine
from trainables.sentinel_supcon.importing.cutting import Cut, Patch, part_of
from trainables.sentinel_supcon.importing.hdf5 import (
    file_names,
    footprints,
    images,
    opened,
    require_shape,
    texts,
)
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
    """A tile, whose images hold the numbers of the file; the codes are empty if it has no map."""

    name: str
    s1: Real[np.ndarray, "2 side side"]
    s2: Real[np.ndarray, "band side side"]
    codes: Int16[np.ndarray, "..."]
    classes: tuple[str, ...]
    footprint: Footprint

    def images(
        self, path: Path
    ) -> tuple[Float32[np.ndarray, "2 side side"], Float32[np.ndarray, "band side side"]]:
        """Returns backscatter in dB and optical numbers, NaN where there are no data.

        Raises:
            DataError: The file, of this path, holds what these cannot be.
        """
        s1, s2 = (without_blanks(image.astype(np.float32)) for image in (self.s1, self.s2))
        numbers = units.numbers(s2, path, dtype=self.s2.dtype, has_scale=False)
        return units.backscatter(s1, "dB", path), numbers


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
    cut = Cut.of(size, stride, block)
    shifts, least = Shifts(offset), whole("min_scenes", min_scenes, low=1)
    path = _file(source)
    with opened(path) as file:
        kind = _kind(file, path)
        bands = BANDS[_product(file, path, optical)]
        tiles = list(_tiles(file, kind, bands, path))
    splits = _splits(tiles, {"val": val, "test": test})
    classes = _classes(kind, tiles, cut, least)
    lines: list[dict[str, str]] = []
    with staged(target) as folder:
        for tile in tiles:
            s1, s2 = tile.images(path)
            shift = shifts.of(tile.name, [units.darkest(s2)])
            write = partial(_write, folder, tile, s1, s2, bands, shift, splits[tile.name])
            lines += [write(patch) for patch in _patches(tile, kind, cut)]
        shifts.require_known()
        codes = {code: classes.index(name) for code, name in kind.classes.items() if name in classes}
        origin = f"{kind.name}, {path.name}, cut into {cut.size} pixels at a stride of {cut.stride}"
        write_tables(folder, Described(classes=classes, bands=bands, codes=codes, origin=origin), lines)
    places = len({line["place"] for line in lines})
    return (
        f"{counted(len(lines), 'scene')} in {counted(places, 'place')} from {counted(len(tiles), 'tile')} of "
        f"{kind.name}, with the classes {', '.join(classes)}. {shifts.report()}"
    )


def _write(
    folder: Path,
    tile: _Tile,
    s1: Float32[np.ndarray, "2 side side"],
    s2: Float32[np.ndarray, "band side side"],
    bands: Sequence[str],
    shift: float,
    split: str,
    patch: Patch,
) -> dict[str, str]:
    """Writes a patch of a tile, whose images are given, and returns its columns in the table of scenes."""
    rows, columns = patch.rows, patch.columns
    write_scene(
        folder,
        patch.name,
        s1[:, rows, columns],
        s2[:, rows, columns],
        bands=bands,
        shift=shift,
        footprint=part_of(tile.footprint, s1.shape[1:], patch),
        codes=tile.codes[rows, columns] if tile.codes.size else None,
    )
    return {"name": patch.name, "place": patch.place, "split": split, "classes": ";".join(tile.classes)}


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


def _tiles(file: Any, kind: _Kind, bands: tuple[str, ...], path: Path) -> Iterator[_Tile]:
    optical = next(array for name, array in _PRODUCTS.items() if BANDS[name] == bands)
    radar = images(file, kind.radar, 2)
    numbers = images(file, optical, len(bands))
    count, side = len(radar), radar.shape[-1]
    require_shape(file, optical, numbers, (count, len(bands), side, side))
    maps = images(file, kind.labels, 1) if kind.classes else None
    if maps is not None:
        require_shape(file, kind.labels, maps, (count, 1, side, side))
    lists = [] if kind.classes else texts(file, kind.labels, count)
    named = next((name for name in ("tile", "patch") if name in file), "")
    names = file_names(file, named, count) if named else [f"{kind.name}_{row}" for row in range(count)]
    places = footprints(file, count)
    for row, name in enumerate(names):
        codes = np.zeros(0, np.int16)
        if maps is not None:
            known = np.isin(maps[row, 0], list(kind.classes))
            codes = np.where(known, maps[row, 0].astype(np.float64), NO_CODE).astype(np.int16)
        yield _Tile(
            name=name,
            s1=radar[row],
            s2=numbers[row],
            codes=codes,
            classes=_list(lists[row], name, path) if lists else (),
            footprint=places[row],
        )


def _list(text: str, name: str, path: Path) -> tuple[str, ...]:
    """Returns which of the 19 classes a JSON list of labels names."""
    try:
        return corine.classes_of([str(label) for label in json.loads(text)])
    except (ValueError, TypeError, LookupError, RecursionError):
        raise DataError(
            f"labels of {path} must be lists of CORINE classes as JSON, got {text[:80]!r} of {name}; correct them"
        ) from None


def _patches(tile: _Tile, kind: _Kind, cut: Cut) -> Iterator[Patch]:
    """Yields the patches of a tile, which is whole if its classes say nothing of its parts."""
    height, width = tile.s1.shape[1:]
    if kind.classes:
        yield from cut.patches(tile.name, tile.name, height, width)
    else:
        yield Patch(tile.name, tile.name.rsplit("_", 2)[0], slice(0, height), slice(0, width))


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
                    f"{split} must name tiles of the file, got {name!r}; take of {some(there, 12)}"
                )
            if name in named:
                raise ConfigError(f"each tile must be held out once, got {name} twice; leave it out once")
            named[name] = split
    if len(named) == len(set(there)):
        raise ConfigError(
            f"some tile must be left to train on, got all {len(named)} held out by val and test; hold out fewer"
        )
    return {name: named.get(name, "train") if named else "" for name in there}


def _classes(kind: _Kind, tiles: list[_Tile], cut: Cut, least: int) -> tuple[str, ...]:
    """Returns the classes that are the main one of enough patches; of lists of classes, all."""
    if not kind.classes:
        return tuple(corine.CLASSES)
    names = tuple(kind.classes.values())
    numbers = numbers_of({code: number for number, code in enumerate(kind.classes)})
    counts = np.zeros(len(names), np.int64)
    for tile in tiles:
        for patch in _patches(tile, kind, cut):
            codes = tile.codes[patch.rows, patch.columns]
            main = classes_of_maps(numbers[codes][None], len(names))[0][0]
            counts[main] += main >= 0
    kept = tuple(name for name, count in zip(names, counts, strict=True) if count >= least)
    if len(kept) < 2:
        told = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
        raise DataError(
            f"at least 2 classes must be the main one of {least} patches, got {told}; lower min_scenes or size"
        )
    return kept
