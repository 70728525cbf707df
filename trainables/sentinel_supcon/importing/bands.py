"""Which bands of one's own files are which, as an option says or as the files describe them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Float32

from thalweg.errors import ConfigError, DataError
from trainables.sentinel_supcon.data.rasters import Raster
from trainables.sentinel_supcon.data.reading import band_of, bands_at


@dataclass(frozen=True)
class Chosen:
    """Bands, and where they are in files.

    Attributes:
        option: Name of the option that says so.
        names: Their names.
        keys: Number, from 1, or description of each in files.
        all_told: Whether files must have no others.
    """

    option: str
    names: tuple[str, ...]
    keys: tuple[str, ...]
    all_told: bool = False

    @classmethod
    def of(cls, option: str, text: str, known: Sequence[str], first: Path, raster: Raster) -> Self:
        """Returns what an option says, or, if it says nothing, what the first file describes.

        Args:
            option: Name of the option.
            text: ``B04,B03`` names all bands of a file in their order; ``B04:3,B03:red`` some by number or description.
            known: Names that there are.
            first: Path of the first file.
            raster: What it holds.

        Raises:
            ConfigError: The option names bands that there are not.
            DataError: It says nothing, and the file describes no bands either, or one twice.
        """
        if not text:
            names = cls._told(option, known, first, raster)
            return cls(option, names, names)
        items = [item.strip() for item in text.split(",")]
        pairs = [(name.strip(), key.strip()) for name, _, key in (item.partition(":") for item in items)]
        names = tuple(name for name, _ in pairs)
        mixed = len({bool(key) for _, key in pairs}) > 1
        if mixed or len(set(names)) < len(names) or not set(names) <= set(known):
            raise ConfigError(
                f"{option} must name bands of {', '.join(known)}, each once, all of them or none with a number or a "
                f"description, got {text!r}; write it like {known[0]},{known[1]} or {known[0]}:2,{known[1]}:1"
            )
        all_told = not pairs[0][1]
        keys = tuple(str(number) for number in range(1, len(names) + 1))
        return cls(option, names, keys if all_told else tuple(key for _, key in pairs), all_told)

    @staticmethod
    def _told(option: str, known: Sequence[str], first: Path, raster: Raster) -> tuple[str, ...]:
        """Returns the bands that a file describes."""
        called = [band_of(name) for name in raster.names]
        names = tuple(band for band in known if band in called)
        if not names:
            raise DataError(
                f"bands must be known from their descriptions or an option, got {len(called)} without descriptions "
                f"of {', '.join(known)} in {first}; say --option {option}={','.join(known[: len(called)])} if "
                "these are they in their order"
            )
        if twice := [band for band in names if called.count(band) > 1]:
            raise DataError(
                f"descriptions of bands must name each once, got {', '.join(raster.names)} in {first}, {twice[0]} "
                f"{called.count(twice[0])} times; say --option {option}={twice[0]}:{called.index(twice[0]) + 1} and so "
                "on for all"
            )
        return names

    def require(self, needed: Sequence[str], path: Path) -> None:
        """Checks that some bands are chosen.

        Raises:
            DataError: One is not.
        """
        if lacking := [name for name in needed if name not in self.names]:
            raise DataError(
                f"{path} must have the bands {', '.join(needed)}, got no {lacking[0]}; say --option {self.option}= "
                "which band is which, or leave such scenes out"
            )

    def values(self, raster: Raster, path: Path) -> Float32[np.ndarray, "band row col"]:
        """Returns the chosen bands of a file.

        Raises:
            DataError: It lacks one, or has others.
            ConfigError: Its descriptions contradict the option, or two bands would be the same one.
        """
        called = [band_of(name) for name in raster.names]
        rows: list[int] = []
        for name, key in zip(self.names, self.keys, strict=True):
            at = int(key) - 1 if key.isascii() and key.isdecimal() else self._described(key, raster, called)
            if not 0 <= at < len(called) or (self.all_told and len(called) != len(self.names)):
                told = f": {', '.join(raster.names)}" if any(raster.names) else " without descriptions"
                raise DataError(
                    f"{path} must have the bands of --option {self.option}, {name} as {key}, got {len(called)}{told}; "
                    "correct the option, or write the file again"
                )
            if at in rows:
                raise ConfigError(
                    f"{self.option} must take each band from another one of a file, got {self.names[rows.index(at)]} "
                    f"and {name} both from band {at + 1} of {path}; correct their numbers or descriptions"
                )
            rows.append(at)
        if self.all_told and any(
            band not in ("", name) for band, name in zip(called, self.names, strict=True)
        ):
            raise ConfigError(
                f"{self.option} must not contradict what files describe, got {','.join(self.names)} for "
                f"{','.join(raster.names)} of {path}; leave it out, or write {self.names[0]}:1 and so on if the "
                "descriptions are wrong"
            )
        return bands_at(raster, rows)

    @staticmethod
    def _described(key: str, raster: Raster, called: Sequence[str]) -> int:
        """Returns the position of a band by its description; -1 if it is not there, or twice."""
        for wanted, names in ((key, raster.names), (band_of(key), called)):
            if wanted and list(names).count(wanted) == 1:
                return list(names).index(wanted)
        return -1
