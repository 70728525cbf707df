"""Reads all scenes into the store, in steps that a killed process need not repeat, and keeps what is known of each."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Int16, UInt8

from thalweg.data.store import StoreWriter
from thalweg.errors import DataError
from trainables.sentinel_supcon.data.contents import Contents, Scene
from trainables.sentinel_supcon.data.rasters import Footprint
from trainables.sentinel_supcon.data.reading import (
    Images,
    filled,
    read_map,
    read_scene,
    share_missing,
    side_of,
)
from trainables.sentinel_supcon.data.units import Seen

MAX_MISSING = 0.1
"""Largest share of a scene's pixels without data; a scene with more is left out."""
STEP = 2000
"""Scenes that are read between two entries of the journal."""
_INT16 = np.iinfo(np.int16)

Arrays: TypeAlias = "tuple[Float32[np.ndarray, '...'], Int16[np.ndarray, '...'], UInt8[np.ndarray, '...']]"


@dataclass
class Kept:
    """What is known of the scenes that are kept, in the order of their rows in the store.

    Attributes:
        scenes: The scenes.
        places: Name of the place of each.
        footprints: Where each lies.
        left_out: Why a scene was left out, by its name.
        num_filled: Scenes with pixels without data that were filled.
        seen: What they show of their units.
        alone: Scenes with neither a place nor coordinates, each of which counts as a place.
    """

    scenes: list[Scene] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    num_filled: int = 0
    seen: Seen = field(default_factory=Seen)
    alone: int = 0

    def add(self, scene: Scene, images: Images, *, has_gaps: bool) -> None:
        """Keeps a scene."""
        self.scenes.append(scene)
        self.places.append(scene.place or images.footprint.place or scene.fallback)
        self.footprints.append(images.footprint)
        self.num_filled += has_gaps
        self.seen.add_images(scene.name, images.s1, images.s2)
        self.seen.add_offset(self.places[-1], images.shift, images.s2)
        self.alone += not scene.place and not images.footprint.place and scene.fallback in ("", scene.name)

    def as_json(self) -> dict[str, Any]:
        """Returns all of it as JSON values; scenes by name."""
        return {
            "scenes": [scene.name for scene in self.scenes],
            "places": self.places,
            "footprints": [[each.crs, list(each.bounds), each.geographic] for each in self.footprints],
            "shifts": [shift for _, shift, _ in self.seen.offsets],
            "darkest": [dark for _, _, dark in self.seen.offsets],
            "left_out": self.left_out,
            "num_filled": self.num_filled,
            "never_negative": self.seen.never_negative,
            "any_bright": self.seen.any_bright,
            "alone": self.alone,
        }

    def extend(self, contents: Contents, told: dict[str, Any]) -> None:
        """Appends what `as_json` returned for further scenes."""
        by_name = {scene.name: scene for scene in contents.scenes}
        self.scenes += [by_name[name] for name in told["scenes"]]
        self.places += told["places"]
        self.footprints += [
            Footprint(crs, (left, bottom, right, top), geographic)
            for crs, (left, bottom, right, top), geographic in told["footprints"]
        ]
        self.seen.offsets += zip(told["places"], told["shifts"], told["darkest"], strict=True)
        self.left_out |= told["left_out"]
        self.num_filled += told["num_filled"]
        self.seen.never_negative += told["never_negative"]
        self.seen.any_bright |= told["any_bright"]
        self.alone += told["alone"]


def read_scenes(contents: Contents, writer: StoreWriter) -> tuple[Kept, Arrays]:
    """Writes the arrays ``s1``, ``s2`` and ``maps``, of which the first rows are the scenes that are kept.

    Returns:
        What is known of the scenes, and the arrays.

    Raises:
        DataError: A file is broken or of another size than the first.
    """
    side = side_of(contents)
    kept = Kept(left_out=dict(contents.left_out))
    for start in range(0, len(contents.scenes), STEP):
        work = partial(_read_some, contents, writer, side, start, len(kept.scenes))
        kept.extend(contents, writer.step(f"scenes from {start}", work))
    return kept, _arrays(contents, writer, side)


def _arrays(contents: Contents, writer: StoreWriter, side: int) -> Arrays:
    count = len(contents.scenes)
    return (
        writer.create("s1", (count, 2, side, side), np.float32),
        writer.create("s2", (count, len(contents.bands), side, side), np.int16),
        writer.create("maps", (count if contents.has_maps else 0, side, side), np.uint8),
    )


def _read_some(
    contents: Contents, writer: StoreWriter, side: int, start: int, first_row: int
) -> dict[str, Any]:
    s1, s2, maps = _arrays(contents, writer, side)
    kept = Kept()
    for scene in contents.scenes[start : start + STEP]:
        row = first_row + len(kept.scenes)
        images = _read_one(contents, scene, side, kept)
        if images is None:
            continue
        s1[row] = filled(images.s1)
        shifted = filled(images.s2 + np.float32(images.shift or 0))
        s2[row] = np.clip(np.round(shifted), _INT16.min, _INT16.max)
        if contents.has_maps:
            maps[row] = read_map(contents, scene, images)
    return kept.as_json()


def _read_one(contents: Contents, scene: Scene, side: int, kept: Kept) -> Images | None:
    """Reads a scene and notes what is known of it; None if it is left out."""
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
        kept.left_out[scene.name] = f"{shares[worst]:.0%} of its {worst} pixels have no data"
        return None
    kept.add(scene, images, has_gaps=shares[worst] > 0)
    return images
