"""Names of the classes of one's own scenes: those that a table names, or those of codes in maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from thalweg.errors import ConfigError, DataError
from trainables.sentinel_supcon.data.pairs import MAX_CLASSES
from trainables.sentinel_supcon.data.rasters import NO_CODE, read_codes
from trainables.sentinel_supcon.importing.listing import Listed


@dataclass(frozen=True)
class Naming:
    """Names of classes.

    Attributes:
        classes: The names, in order.
        codes: Class of each code in maps; empty if scenes have none.
    """

    classes: tuple[str, ...]
    codes: Mapping[int, int] = field(default_factory=dict)

    @property
    def has_maps(self) -> bool:
        """Whether classes come from maps."""
        return bool(self.codes)

    @classmethod
    def of(cls, text: str, source: Path, scenes: Sequence[Listed]) -> Self:
        """Returns what the option ``classes`` says of scenes, or what they name.

        Args:
            text: ``Water;Trees``, or ``1:Water;2:Trees`` for codes of maps; empty takes all names that scenes have.
            source: Where scenes are named.
            scenes: The scenes.

        Raises:
            ConfigError: The option does not fit the scenes.
            DataError: Scenes have neither maps nor classes, or both.
        """
        mapped = [scene for scene in scenes if "labels" in scene.files]
        named = [scene for scene in scenes if scene.classes]
        if mapped and (named or len(mapped) < len(scenes)):
            other = next(scene for scene in scenes if scene.classes or scene not in mapped)
            raise DataError(
                f"all scenes of {source} must have maps of classes and none names, or none maps, got maps for "
                f"{mapped[0].name} and none or names for {other.name}; leave one of both out"
            )
        items = [item.strip() for item in text.split(";") if item.strip()]
        found = (
            cls._of_maps(items, mapped[0].files["labels"]) if mapped else cls._of_names(items, source, named)
        )
        if len(found.classes) < 2:
            raise DataError(
                f"scenes of {source} must be of at least 2 classes, got {', '.join(found.classes) or 'none'}; name the "
                "classes of each in the column or field classes, between semicolons, or add maps of classes"
            )
        return found

    @classmethod
    def _of_maps(cls, items: Sequence[str], first: Path) -> Self:
        pairs = [(code.strip(), name.strip()) for code, _, name in (item.partition(":") for item in items)]
        codes = [code for code, name in pairs if name and code.isascii() and code.isdecimal()]
        if (
            not pairs
            or len(codes) < len(pairs)
            or len(set(map(int, codes))) < len(codes)
            or int(max(codes, key=int)) >= NO_CODE
        ):
            seen = sorted(set(np.unique(read_codes(first)[0]).tolist()) - {NO_CODE})
            raise ConfigError(
                f"classes must name codes of maps from 0 to {NO_CODE - 1}, each once, like 1:Water;2:Trees, got "
                f"{';'.join(items) or 'nothing'}; {first} holds {', '.join(map(str, seen)) or 'none'}"
            )
        classes = tuple(dict.fromkeys(name for _, name in pairs))
        if len(classes) > MAX_CLASSES:
            raise ConfigError(
                f"classes of maps must be at most {MAX_CLASSES}, got {len(classes)}; leave some out, or give codes the "
                "same name"
            )
        return cls(classes, {int(code): classes.index(name) for code, name in pairs})

    @classmethod
    def _of_names(cls, items: Sequence[str], source: Path, named: Sequence[Listed]) -> Self:
        there = sorted({name for scene in named for name in _split(scene.classes)})
        classes = tuple(dict.fromkeys(items)) or tuple(there)
        if unknown := [name for name in there if name not in classes]:
            raise ConfigError(
                f"classes must name all classes of {source}, {';'.join(there)}, got no {unknown[0]!r}; add it, or "
                "leave the option out"
            )
        return cls(classes)

    def of_scene(self, text: str) -> tuple[str, ...]:
        """Returns the classes that a scene names."""
        return tuple(_split(text))


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(";") if name.strip()]
