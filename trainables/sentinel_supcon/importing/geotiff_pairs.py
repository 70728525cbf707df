"""Imports one's own GeoTIFF pairs: a folder, or a table (CSV or GeoJSON) that names the files of each scene.

Both images of a scene, and its map of classes, must share one grid. Scenes are kept whole, or cut if they have maps.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int16

from thalweg.data.store import staged
from thalweg.errors import ConfigError, DataError
from thalweg.wording import some
from trainables.sentinel_supcon.data import units
from trainables.sentinel_supcon.data.contents import Unit
from trainables.sentinel_supcon.data.kept import MAX_MISSING
from trainables.sentinel_supcon.data.pairs import MAX_NAME, Described, check_scenes, write_tables
from trainables.sentinel_supcon.data.rasters import (
    Footprint,
    read_codes,
    read_raster,
    require_same_grid,
)
from trainables.sentinel_supcon.data.reading import RADAR, in_numbers, share_missing
from trainables.sentinel_supcon.importing import cutting
from trainables.sentinel_supcon.importing.bands import Chosen
from trainables.sentinel_supcon.importing.cutting import Cut, Patch, part_of
from trainables.sentinel_supcon.importing.listing import Listed, find_listed
from trainables.sentinel_supcon.importing.naming import Naming
from trainables.sentinel_supcon.importing.options import one_of
from trainables.sentinel_supcon.importing.shifts import Shifts
from trainables.sentinel_supcon.importing.writing import write_scene
from trainables.sentinel_supcon.knobs import BANDS

_UNITS: tuple[Unit, ...] = ("dB", "linear", "counts")
_WAYS_OUT = units.WaysOut(
    power="say --option backscatter=linear, or counts for numbers without a unit",
    dim="say --option reflectance=1 if they are reflectance itself, or write the files' scale",
    taken_off=", or leave their baselines out of a table",
)


@dataclass(frozen=True)
class _Ways:
    """How files are read and cut.

    Attributes:
        radar: Bands of the radar images.
        optical: Bands of the optical images.
        unit: Unit of the radar images.
        full: Number for a reflectance of 1 where files give no scale; None tells it from the numbers.
        naming: Names of classes.
        cut: How scenes are cut; None if they are kept whole.
    """

    radar: Chosen
    optical: Chosen
    unit: Unit
    full: float | None
    naming: Naming
    cut: Cut | None


@dataclass(frozen=True)
class _Read:
    """A scene that was read; the codes are None if it has no map."""

    s1: Float32[np.ndarray, "2 row col"]
    s2: Float32[np.ndarray, "band row col"]
    codes: Int16[np.ndarray, "row col"] | None
    footprint: Footprint
    shift: float | None
    is_offset_told: bool


@dataclass
class _Written:
    """What was written.

    Attributes:
        lines: Columns of each scene in the data set's table.
        left_out: Why scenes were left out, by name.
        num_left_out: Patches that were left out, beside whole scenes.
        seen: What scenes, or their patches, show of their units.
        num_offsets_told: Whole scenes whose files, or whose table, tell an offset of optical numbers.
    """

    lines: list[dict[str, str]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    num_left_out: int = 0
    seen: units.Seen = field(default_factory=units.Seen)
    num_offsets_told: int = 0


def read(
    source: Path,
    target: Path,
    *,
    s1: str = "",
    s2: str = "",
    labels: str = "",
    bands: str = "",
    radar: str = "",
    classes: str = "",
    backscatter: str = "dB",
    reflectance: str = "",
    size: str = "",
    stride: str = "",
    block: str = "0",
    offset: str = "auto",
) -> str:
    """Writes pairs in the family's own layout; see `options.GEOTIFF_PAIRS`.

    Returns:
        A report.

    Raises:
        ConfigError: An option is none of those that there are.
        DataError: A file or a table is missing or broken, images do not fit, or their units are not known.
    """
    shifts = Shifts(offset)
    full = float(one_of("reflectance", reflectance, ("1", "10000"))) if reflectance else None
    listed = find_listed(source, {"s1": s1, "s2": s2, "labels": labels})
    whole, left_out = _whole(source, listed, max_name=cutting.MAX_NAME if size else MAX_NAME)
    naming = Naming.of(classes, source, whole)
    first = whole[0].files
    ways = _Ways(
        radar=_chosen("radar", radar, RADAR, first["s1"]),
        optical=_chosen("bands", bands, BANDS["l1c"], first["s2"]),
        unit=one_of("backscatter", backscatter, _UNITS),
        full=full,
        naming=naming,
        cut=_cut(size, stride, block, naming),
    )
    ways.radar.require(RADAR, first["s1"])
    written = _Written(left_out=left_out)
    with staged(target) as folder:
        _write_all(folder, ways, whole, shifts, written)
        _require_some(source, ways, written)
        written.seen.require(source, ways.unit, _WAYS_OUT)
        described = Described(
            classes=ways.naming.classes,
            bands=ways.optical.names,
            unit="counts" if ways.unit == "counts" else "dB",
            codes=ways.naming.codes,
            origin=f"GeoTIFF pairs of {source.name}",
        )
        write_tables(folder, described, written.lines)
    return _report(whole, ways, written, shifts)


def _cut(size: str, stride: str, block: str, naming: Naming) -> Cut | None:
    if not size and (stride or block != "0"):
        raise ConfigError(
            "stride and block must be left out without size, which cuts scenes, got one; say size"
        )
    if size and not naming.has_maps:
        raise ConfigError(
            f"size must be left out where scenes have no maps of classes, got {size}: names of classes say nothing of "
            "parts; leave it out, or add maps"
        )
    return Cut.of(size, stride, block) if size else None


def _chosen(option: str, text: str, known: Sequence[str], path: Path) -> Chosen:
    return Chosen.of(option, text, known, path, read_raster(path))


def _whole(source: Path, listed: Sequence[Listed], *, max_name: int) -> tuple[list[Listed], dict[str, str]]:
    """Returns the scenes that have all files, and why others are left out."""
    told = [{"name": each.name, "split": each.split, "date": each.date} for each in listed]
    check_scenes(source, told, max_name=max_name)
    left_out = {each.name: each.missing for each in listed if each.missing}
    whole = [each for each in listed if not each.missing]
    if not whole:
        such = next((f", such as {name}: {why}" for name, why in left_out.items()), "")
        raise DataError(
            f"{source} must hold or name scenes that both sensors saw, got none{such}; correct paths, or the options "
            "s1 and s2, patterns of the paths below a folder"
        )
    return whole, left_out


def _write_all(
    folder: Path, ways: _Ways, scenes: Sequence[Listed], shifts: Shifts, written: _Written
) -> None:
    """Writes all scenes; those whose offset only shows when all of their place are read are written twice."""
    unknown: dict[str, list[tuple[Listed, float]]] = {}
    side = 0
    for scene in scenes:
        found = _read(ways, scene)
        side = side or found.s1.shape[1]
        if not ways.cut:
            _require_side(scene, found, side)
        place = scene.place or found.footprint.place or scene.fallback
        _write(folder, ways, scene, found, place, found.shift or 0.0, written)
        darkest = written.seen.add_offset(place, found.shift, found.s2)
        written.num_offsets_told += found.is_offset_told
        if found.shift is None:
            group = units.group_of_shift(place, ways.optical.names)
            unknown.setdefault(group, []).append((scene, darkest))
    for group, members in unknown.items():
        if shift := shifts.of(group, [number for _, number in members]):
            for scene, _ in members:
                _write(folder, ways, scene, _read(ways, scene), "", shift, _Written())
    shifts.require_known()


def _read(ways: _Ways, scene: Listed) -> _Read:
    paths = scene.files
    radar, optical = read_raster(paths["s1"]), read_raster(paths["s2"])
    files = [(paths["s1"], radar.ground), (paths["s2"], optical.ground)]
    codes: Int16[np.ndarray, "row col"] | None = None
    if "labels" in paths:
        codes, ground = read_codes(paths["labels"])
        files.append((paths["labels"], ground))
    require_same_grid(files)
    bands = [ways.radar.names.index(band) for band in RADAR]
    s1 = units.backscatter(ways.radar.values(radar, paths["s1"])[bands], ways.unit, paths["s1"])
    values = ways.optical.values(optical, paths["s2"])
    s2, shift = in_numbers(values, optical, paths["s2"], scene.baseline, full=ways.full)
    return _Read(s1, s2, codes, optical.footprint, shift, optical.has_offset or bool(shift))


def _require_side(scene: Listed, found: _Read, side: int) -> None:
    if found.s1.shape[1:] != (side, side):
        rows, columns = found.s1.shape[1:]
        raise DataError(
            f"scenes must be squares of one size, {side} pixels as the first one, got {rows} x {columns} in "
            f"{scene.files['s1']}; cut them, or say --option size= where they have maps of classes"
        )


def _write(
    folder: Path, ways: _Ways, scene: Listed, found: _Read, place: str, shift: float, written: _Written
) -> None:
    """Writes a scene or its patches, and notes them."""
    for patch in _patches(ways, scene, found, place):
        here = (slice(None), patch.rows, patch.columns)
        images = {"radar": found.s1[here], "optical": found.s2[here]}
        if why := _lacking(images):
            written.num_left_out += bool(ways.cut)
            if not ways.cut:
                written.left_out[patch.name] = why
            continue
        write_scene(
            folder,
            patch.name,
            images["radar"],
            images["optical"],
            bands=ways.optical.names,
            shift=shift,
            footprint=part_of(found.footprint, found.s1.shape[1:], patch),
            codes=None if found.codes is None else found.codes[patch.rows, patch.columns],
        )
        written.seen.add_images(patch.name, images["radar"], images["optical"])
        line = {"name": patch.name, "place": patch.place, "split": scene.split, "date": scene.date}
        written.lines.append(line | {"classes": ";".join(ways.naming.of_scene(scene.classes))})


def _patches(ways: _Ways, scene: Listed, found: _Read, place: str) -> Iterator[Patch]:
    height, width = found.s1.shape[1:]
    if ways.cut:
        yield from ways.cut.patches(scene.name, place, height, width)
    else:
        yield Patch(scene.name, place, slice(0, height), slice(0, width))


def _lacking(images: Mapping[str, Float32[np.ndarray, "band row col"]]) -> str:
    """Returns why images cannot be kept; empty if they can."""
    for sensor, image in images.items():
        if (share := share_missing(image)) > MAX_MISSING:
            return f"{share:.0%} of its {sensor} pixels have no data"
    return ""


def _require_some(source: Path, ways: _Ways, written: _Written) -> None:
    if not written.lines:
        told = next((f"{name}: {why}" for name, why in written.left_out.items()), "")
        side = f"patches of {ways.cut.size} pixels" if ways.cut else told
        raise DataError(
            f"{source} must hold scenes of which at most {MAX_MISSING:.0%} of the pixels lack data, got none ({side}); "
            "add scenes, or lower size"
        )


def _report(whole: Sequence[Listed], ways: _Ways, written: _Written, shifts: Shifts) -> str:
    places = len({line["place"] for line in written.lines})
    cut = f", cut from {len(whole)} of {ways.cut.size} pixels," if ways.cut else ""
    told = [
        f"{len(written.lines):,} scenes{cut} in {places:,} places, with the bands {', '.join(ways.optical.names)} and "
        f"the classes {', '.join(ways.naming.classes)}."
    ]
    if written.num_left_out:
        told.append(f"{written.num_left_out:,} patches are left out, of which too many pixels have no data.")
    if written.left_out:
        named = [f"{name} ({why})" for name, why in sorted(written.left_out.items())]
        told.append(f"{len(named)} scenes are left out: {some(named)}.")
    return " ".join([*told, shifts.report(written.num_offsets_told)])
