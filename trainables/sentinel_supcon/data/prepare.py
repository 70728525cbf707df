"""Prepares a data set once: reads and checks every scene, harmonises units, and computes statistics of training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from thalweg.data.store import StoreWriter, release
from thalweg.errors import DataError
from thalweg.wording import some
from trainables.sentinel_supcon.data.contents import Contents, Scene
from trainables.sentinel_supcon.data.kept import MAX_MISSING, Kept, read_scenes
from trainables.sentinel_supcon.data.labels import IGNORED, classes_of_maps
from trainables.sentinel_supcon.data.splits import SPLITS, assign
from trainables.sentinel_supcon.data.units import (
    OFFSET_TAG,
    REFLECTANCE,
    SHIFT,
    WaysOut,
    group_of_shift,
    shows_shift,
)

FORMAT = 6
MAX_LEFT_OUT = 0.1
"""Largest share of a data set's scenes that may be left out."""
_CHUNK = 16
_NOTED = 40  # scenes that a note names
_WAYS_OUT = WaysOut(
    power='convert it by 10 log10, or, if it is power in all scenes, say "unit": "linear" in scenes.json',
    dim="write the scale of the files, or import them by `thalweg data import geotiff-pairs --option reflectance=1` if "
    "they are reflectance itself",
)


def prepare(contents: Contents, writer: StoreWriter) -> dict[str, Any]:
    """Writes the arrays of a data set and returns its metadata; see `scenes.PatchData`.

    Raises:
        DataError: A file is broken or in the wrong unit, or too many scenes are left out.
    """
    read, (s1, s2, maps) = read_scenes(contents, writer)
    _require_enough(contents, read)
    _require_units(contents, read)
    labels, multi = _labels(contents, read.scenes, maps[: len(read.scenes)])
    place_names = sorted(set(read.places))
    numbers = {name: number for number, name in enumerate(place_names)}
    places = np.array([numbers[name] for name in read.places], np.int64)
    rows, told = assign([scene.split for scene in read.scenes], places, labels, place_names)
    mean, std, fitted = _statistics(s1, s2, rows["train"])
    for name, values in {
        "labels": labels,
        "multi": multi,
        "places": places,
        "mean": mean,
        "std": std,
        "fitted": fitted,
    }.items():
        writer.put(name, values)
    for split in SPLITS:
        writer.put(f"rows_{split}", rows[split])
    writer.put("names", np.array([scene.name for scene in read.scenes]))
    writer.put("dates", np.array([scene.date for scene in read.scenes]))
    writer.put("crs", np.array([each.crs for each in read.footprints]))
    writer.put("footprints", np.array([each.bounds for each in read.footprints], np.float64))
    return {
        "place_names": place_names,
        "left_out": read.left_out,
        "notes": [*_notes(contents, read, labels), *told],
    }


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
) -> tuple[Float64[np.ndarray, " band"], Float64[np.ndarray, " band"], Int64[np.ndarray, " scene"]]:
    """Returns mean and standard deviation of each band over the pixels of scenes, in dB or counts and reflectance.

    Last the rows of the scenes that were read, so that a store tells what its statistics were computed from.
    """
    means, stds, read = [], [], set()
    for images, unit in ((s1, 1.0), (s2, REFLECTANCE)):
        shift = images[rows[0]].mean((1, 2), dtype=np.float64)[:, None, None]
        total, squares = np.zeros(images.shape[1]), np.zeros(images.shape[1])
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            read.update(chunk.tolist())
            around = images[chunk] - shift
            total += around.sum((0, 2, 3))
            squares += np.square(around).sum((0, 2, 3))
        release(images)
        count = len(rows) * images.shape[2] * images.shape[3]
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
        means.append((mean + shift[:, 0, 0]) / unit)
        stds.append(np.where(spread > 0, spread, 1.0) / unit)
    return np.concatenate(means), np.concatenate(stds), np.array(sorted(read), np.int64)


def _require_enough(contents: Contents, read: Kept) -> None:
    total = len(read.scenes) + len(read.left_out)
    if len(read.left_out) > MAX_LEFT_OUT * total:
        told = some((f"{name}: {why}" for name, why in sorted(read.left_out.items())), separator="; ")
        raise DataError(
            f"at most {MAX_LEFT_OUT:.0%} of the scenes may be left out, got {len(read.left_out)} of {total} in "
            f"{contents.folder} ({told}); copy them again, or remove "
            "them from the data set"
        )


def _require_units(contents: Contents, read: Kept) -> None:
    read.seen.require(contents.folder, contents.unit, _WAYS_OUT)
    unknown: dict[str, list[float]] = {}
    for place, shift, number in read.seen.offsets:
        if shift is None:
            unknown.setdefault(group_of_shift(place, contents.bands), []).append(number)
    shifted = sorted(place for place, numbers in unknown.items() if shows_shift(numbers))
    if shifted:
        raise DataError(
            f"reflectance must be known from its numbers, got scenes of {len(shifted)} places in {contents.folder} "
            f"with no pixel below {-SHIFT:.0f}, as since processing baseline 04.00, and nothing that names it: "
            f"{some(shifted)}; write the tag PROCESSING_BASELINE into these files, or the tag {OFFSET_TAG}: "
            f"{SHIFT:.0f} for these numbers, 0 if the ground is bright; import what earlier versions imported again"
        )


def _notes(contents: Contents, read: Kept, labels: Any) -> list[str]:
    name, notes = contents.folder.name, []
    if read.left_out:
        told = [f"{scene} ({why})" for scene, why in sorted(read.left_out.items())]
        notes.append(f"{len(told)} scenes of {name} are left out: {some(told, _NOTED)}")
    if read.num_filled:
        notes.append(
            f"{read.num_filled} scenes of {name} have pixels without data, at most {MAX_MISSING:.0%} of each, which "
            "hold the median of their band"
        )
    if unlabelled := int((labels == IGNORED).sum()):
        why = "most of their pixels have no valid class" if contents.has_maps else "no class is named"
        notes.append(f"{unlabelled} scenes of {name} have no label: {why}; losses and metrics ignore them")
    if read.alone:
        notes.append(
            f"{read.alone} scenes of {name} have neither a place nor coordinates: each is a place of its own, so that "
            "neighbours may be in different splits unless these are official"
        )
    if shifted := sum(bool(shift) for _, shift, _ in read.seen.offsets):
        notes.append(
            f"the offset of processing baseline 04.00 is taken off {shifted} optical images of {name}"
        )
    return notes
