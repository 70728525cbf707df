"""What a data set's folder holds, whatever its layout: scenes that both sensors saw, and how to read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from thalweg.errors import DataError
from thalweg.wording import some

Unit = Literal["dB", "linear", "counts"]
"""Of backscatter. Counts are numbers without a published unit, which are standardised only."""

MAKE = "`thalweg data make sentinel_supcon` writes a synthetic one"


@dataclass(frozen=True)
class Scene:
    """A scene that both sensors saw.

    Attributes:
        name: Its name, unique in the data set.
        s1: Path of its radar image below the data set's folder.
        s2: Path of its optical image.
        labels: Path of its map of classes; empty if there is none.
        classes: Numbers of its classes if there is no map, the label first; empty if it has none.
        place: Name of the place where it lies; empty if the footprint of its files tells.
        fallback: Place if its files have no footprint.
        split: Official split; empty if there is none.
        baseline: Processing baseline of its optical image, such as ``04.00``; empty if it is not known here.
        date: Day on which it was seen, such as ``2021-06-30``; empty if it is not known.
    """

    name: str
    s1: str
    s2: str
    labels: str = ""
    classes: tuple[int, ...] = ()
    place: str = ""
    fallback: str = ""
    split: str = ""
    baseline: str = ""
    date: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of its files."""
        return tuple(filter(None, (self.s1, self.s2, self.labels)))


@dataclass(frozen=True)
class Contents:
    """What a folder holds.

    Attributes:
        folder: The folder.
        layout: Name of the layout.
        scenes: Scenes that both sensors saw, by name.
        classes: Names of all classes, in order.
        codes: Class of each code in maps of classes.
        bands: Bands of the optical images, in the order of the files.
        unit: Unit of the radar images.
        left_out: Why a scene was left out, by its name.
        tables: Paths of files that describe the scenes.
    """

    folder: Path
    layout: str
    scenes: tuple[Scene, ...]
    classes: tuple[str, ...]
    bands: tuple[str, ...]
    unit: Unit = "dB"
    codes: Mapping[int, int] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[str, ...] = ()

    @property
    def has_maps(self) -> bool:
        """Whether scenes have maps of classes."""
        return any(scene.labels for scene in self.scenes)

    def paths(self) -> Mapping[str, Path]:
        """Returns all files by their path below the folder."""
        names = [*self.tables, *(name for scene in self.scenes for name in scene.files)]
        return {name: self.folder / name for name in names}


def is_file_name(name: str, most: int) -> bool:
    """Returns whether a name can be that of a file or folder, in a folder that is given.

    Args:
        name: The name.
        most: Bytes that it may have.
    """
    return (
        name not in ("", ".", "..") and "/" not in name and name.isprintable() and len(name.encode()) <= most
    )


def require_some(contents: Contents) -> Contents:
    """Returns the contents, which must hold a scene.

    Raises:
        DataError: There is none.
    """
    if not contents.scenes:
        told = some((f"{name}: {why}" for name, why in sorted(contents.left_out.items())), separator="; ")
        raise DataError(
            f"{contents.folder} must hold scenes that both sensors saw, got none"
            f"{f' ({told})' if told else ''}; copy the missing files there, or {MAKE}"
        )
    return contents
