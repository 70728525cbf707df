"""Prepares a data set once: reads and checks every scene, harmonises units, and computes statistics of training."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, UInt8

from thalweg.data.store import StoreWriter, release
from thalweg.errors import DataError
from trainables.sentinel_supcon.data.contents import Contents, Scene
from trainables.sentinel_supcon.data.labels import IGNORED, classes_of_maps
from trainables.sentinel_supcon.data.rasters import Footprint
from trainables.sentinel_supcon.data.reading import (
    Images,
    filled,
    read_map,
    read_scene,
    share_missing,
    side_of,
)
from trainables.sentinel_supcon.data.splits import SPLITS, assign
from trainables.sentinel_supcon.data.units import REFLECTANCE, SHIFT, TELLING_BANDS, darkest, shows_shift

FORMAT = 1
MAX_MISSING = 0.1
"""Largest share of a scene's pixels without data; a scene with more is left out."""
MAX_LEFT_OUT = 0.1
"""Largest share of a data set's scenes that may be left out."""
_CHUNK = 16
_NAMED = 5
_INT16 = np.iinfo(np.int16)


@dataclass
class _Kept:
    """What was read of all scenes that are kept.

    Attributes:
        scenes: The scenes.
        places: Name of the place of each.
        footprints: Where each lies.
        shifts: What was added to the numbers of each optical image; None if nothing told.
        darkest: What `units.darkest` returned for each.
        left_out: Why a scene was left out, by its name.
        num_filled: Scenes with pixels without data that were filled.
        any_negative: Whether any backscatter is below 0.
    """

    scenes: list[Scene] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list)
    shifts: list[float | None] = field(default_factory=list)
    darkest: list[float] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    num_filled: int = 0
    any_negative: bool = False


def prepare(contents: Contents, writer: StoreWriter) -> dict[str, Any]:
    """Writes the arrays of a data set and returns its metadata; see `scenes.PatchData`.

    Raises:
        DataError: A file is broken or in the wrong unit, or too many scenes are left out.
    """
    side = side_of(contents)
    count, bands = len(contents.scenes), len(contents.bands)
    s1 = writer.create("s1", (count, 2, side, side), np.float32)
    s2 = writer.create("s2", (count, bands, side, side), np.int16)
    maps = writer.create("maps", (count if contents.has_maps else 0, side, side), np.uint8)
    read = _Kept(left_out=dict(contents.left_out))
    for scene in contents.scenes:
        row = len(read.scenes)
        kept = _take(contents, scene, side, read)
        if kept is None:
            continue
        s1[row] = kept.s1
        s2[row] = np.clip(np.round(kept.s2), _INT16.min, _INT16.max)
        if contents.has_maps:
            maps[row] = read_map(contents, scene, side)
    _require_enough(contents, read)
    _require_units(contents, read)
    kept_rows = len(read.scenes)
    labels, multi = _labels(contents, read.scenes, maps[:kept_rows])
    place_names = sorted(set(read.places))
    numbers = {name: number for number, name in enumerate(place_names)}
    places = np.array([numbers[name] for name in read.places], np.int64)
    rows, told = assign([scene.split for scene in read.scenes], places, labels, place_names)
    mean, std = _statistics(s1, s2, rows["train"])
    for name, values in {
        "labels": labels,
        "multi": multi,
        "places": places,
        "mean": mean,
        "std": std,
    }.items():
        writer.put(name, values)
    for split in SPLITS:
        writer.put(f"rows_{split}", rows[split])
    writer.put("names", np.array([scene.name for scene in read.scenes]))
    writer.put("crs", np.array([each.crs for each in read.footprints]))
    writer.put("footprints", np.array([each.bounds for each in read.footprints], np.float64))
    return {
        "place_names": place_names,
        "left_out": read.left_out,
        "notes": [*_notes(contents, read, labels), *told],
    }


def _take(contents: Contents, scene: Scene, side: int, read: _Kept) -> Images | None:
    """Reads a scene, fills its pixels without data, and notes what is known of it; None if it is left out."""
    images = read_scene(contents, scene)
    for name, image in (("s1", images.s1), ("s2", images.s2)):
        if image.shape[1:] != (side, side):
            raise DataError(
                f"all scenes must be squares of {side} pixels, as the first one, got {image.shape[1]} x "
                f"{image.shape[2]} in {contents.folder / getattr(scene, name)}; cut or resample it"
            )
    shares = {name: share_missing(image) for name, image in (("radar", images.s1), ("optical", images.s2))}
    worst = max(shares, key=shares.__getitem__)
    if shares[worst] > MAX_MISSING:
        read.left_out[scene.name] = f"{shares[worst]:.0%} of its {worst} pixels have no data"
        return None
    read.num_filled += max(shares.values()) > 0
    read.any_negative |= bool(np.nanmin(images.s1) < 0)
    read.scenes.append(scene)
    read.places.append(scene.place or images.footprint.place or scene.fallback)
    read.footprints.append(images.footprint)
    read.shifts.append(images.shift)
    read.darkest.append(darkest(images.s2))
    shifted = images.s2 + np.float32(images.shift or 0)
    return Images(filled(images.s1), filled(shifted), images.footprint, images.shift)


def _labels(
    contents: Contents, scenes: Sequence[Scene], maps: UInt8[np.ndarray, "mapped row col"]
) -> tuple[Any, Bool[np.ndarray, "scene class"]]:
    count = len(contents.classes)
    labels, multi = np.full(len(scenes), IGNORED, np.int64), np.zeros((len(scenes), count), bool)
    if contents.has_maps:
        for start in range(0, len(scenes), _CHUNK):
            part = slice(start, start + _CHUNK)
            labels[part], multi[part] = classes_of_maps(maps[part], count)
        return labels, multi
    for row, scene in enumerate(scenes):
        if scene.classes:
            labels[row] = scene.classes[0]
            multi[row, list(scene.classes)] = True
    return labels, multi


def _statistics(
    s1: Any, s2: Any, rows: Any
) -> tuple[Float64[np.ndarray, " band"], Float64[np.ndarray, " band"]]:
    """Returns mean and standard deviation of each band over the pixels of scenes, in dB or counts and reflectance."""
    means, stds = [], []
    for images, unit in ((s1, 1.0), (s2, REFLECTANCE)):
        shift = images[rows[0]].mean((1, 2), dtype=np.float64)[:, None, None]
        total, squares = np.zeros(images.shape[1]), np.zeros(images.shape[1])
        for start in range(0, len(rows), _CHUNK):
            around = images[rows[start : start + _CHUNK]] - shift
            total += around.sum((0, 2, 3))
            squares += np.square(around).sum((0, 2, 3))
        release(images)
        count = len(rows) * images.shape[2] * images.shape[3]
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
        means.append((mean + shift[:, 0, 0]) / unit)
        stds.append(np.where(spread > 0, spread, 1.0) / unit)
    return np.concatenate(means), np.concatenate(stds)


def _require_enough(contents: Contents, read: _Kept) -> None:
    total = len(read.scenes) + len(read.left_out)
    if len(read.left_out) > MAX_LEFT_OUT * total:
        told = "; ".join(f"{name}: {why}" for name, why in sorted(read.left_out.items())[:_NAMED])
        raise DataError(
            f"at most {MAX_LEFT_OUT:.0%} of the scenes may be left out, got {len(read.left_out)} of {total} in "
            f"{contents.folder} ({told}{' ...' if len(read.left_out) > _NAMED else ''}); copy them again, or remove "
            "them from the data set"
        )


def _require_units(contents: Contents, read: _Kept) -> None:
    if contents.unit == "dB" and not read.any_negative:
        raise DataError(
            f"backscatter in {contents.folder} must be in dB, some of it below 0, got none in {len(read.scenes)} "
            'scenes, as linear power is; convert it by 10 log10, or say "unit": "linear" in scenes.json'
        )
    unknown: dict[str, list[float]] = {}
    each_place_tells = set(contents.bands) >= TELLING_BANDS
    for place, shift, number in zip(read.places, read.shifts, read.darkest, strict=True):
        if shift is None:
            unknown.setdefault(place if each_place_tells else "all of them", []).append(number)
    shifted = sorted(place for place, numbers in unknown.items() if shows_shift(numbers))
    if shifted:
        raise DataError(
            f"reflectance must be known from its numbers, got scenes of {len(shifted)} places in {contents.folder} "
            f"with no pixel below {-SHIFT:.0f}, as since processing baseline 04.00, and nothing that names it: "
            f"{', '.join(shifted[:_NAMED])}{' ...' if len(shifted) > _NAMED else ''}; write the tag "
            "PROCESSING_BASELINE into these files, or a scale and an offset"
        )


def _notes(contents: Contents, read: _Kept, labels: Any) -> list[str]:
    name, notes = contents.folder.name, []
    if read.left_out:
        told = [f"{scene} ({why})" for scene, why in sorted(read.left_out.items())]
        more = f" and {len(told) - 40} more" if len(told) > 40 else ""
        notes.append(f"{len(told)} scenes of {name} are left out: {', '.join(told[:40])}{more}")
    if read.num_filled:
        notes.append(
            f"{read.num_filled} scenes of {name} have pixels without data, at most {MAX_MISSING:.0%} of each, which "
            "hold the median of their band"
        )
    if unlabelled := int((labels == IGNORED).sum()):
        why = "most of their pixels have no valid class" if contents.has_maps else "no class is named"
        notes.append(f"{unlabelled} scenes of {name} have no label: {why}; losses and metrics ignore them")
    if shifted := sum(bool(shift) for shift in read.shifts):
        notes.append(
            f"the offset of processing baseline 04.00 is taken off {shifted} optical images of {name}"
        )
    return notes
