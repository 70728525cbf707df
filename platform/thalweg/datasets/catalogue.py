"""The catalogue of all families' data sets: those that exist, and those that could be made or imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thalweg import discovery
from thalweg.dataset_contract import WEIGHTS
from thalweg.discovery import Family
from thalweg.errors import ConfigError, DiscoveryError, OutputError

DATA_VARIABLE = "THALWEG_DATA"
Origin = Literal["make", "import", "own"]


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set that a family has, or could have.

    Attributes:
        family: Name of the family.
        name: Folder below the family's data folder.
        origin: ``make`` for a synthetic one, ``import`` for a public one, ``own`` for somebody's own files.
        meaning: One sentence on it; empty for somebody's own files.
        folder: Its folder, which need not exist.
        num_bytes: Its size; None if it does not exist.
    """

    family: str
    name: str
    origin: Origin
    meaning: str
    folder: Path
    num_bytes: int | None


def data_root(family: discovery.Family, root: Path | None = None) -> Path:
    """Returns the folder of a family's data sets: below ``root``, ``THALWEG_DATA`` or ``data/``."""
    base = root or Path(os.environ.get(DATA_VARIABLE, "data"))
    return base.absolute() / family.name.rpartition(".")[2]


def data_sets(root: Path | None = None) -> list[DataSet]:
    """Lists the data sets that exist and those that could be made or imported, family by family."""
    return [
        found
        for name in discovery.names("trainables")
        for found in of_family(discovery.load_family(name), root)
    ]


def of_family(family: Family, root: Path | None = None) -> list[DataSet]:
    """Lists a family's data sets, those that exist and those that could be made or imported."""
    folder = data_root(family, root)
    known: list[tuple[str, Origin, str]] = [
        *((name, "make", world.meaning) for name, world in family.worlds.items()),
        *((name, "import", source.meaning) for name, source in family.sources.items()),
    ]
    names = {name for name, *_ in known}
    own = [
        path.name
        for path in sorted(folder.glob("[!.]*"))
        if path.is_dir() and path.name not in names | {WEIGHTS}
    ]
    return [
        DataSet(
            family=family.name,
            name=name,
            origin=origin,
            meaning=meaning,
            folder=folder / name,
            num_bytes=_size(folder / name),
        )
        for name, origin, meaning in [*known, *((name, "own", "") for name in own)]
    ]


def family_of_source(source: str) -> Family:
    """Returns the family that can import a public data set.

    Raises:
        DiscoveryError: There is none; the message names all public data sets.
    """
    families = [discovery.load_family(name) for name in discovery.names("trainables")]
    for family in families:
        if source in family.sources:
            return family
    known = ", ".join(sorted(name for family in families for name in family.sources)) or "none"
    raise DiscoveryError(f"no family can import {source!r} (found: {known})")


def folder_of(family: Family, root: Path | None, name: str) -> Path:
    """Returns the folder of a data set.

    Raises:
        ConfigError: The name cannot be that of a folder.
    """
    if name != Path(name).name or name.startswith("."):
        raise ConfigError(
            f"a data set's name must be that of a folder, got {name!r}; choose another with --as"
        )
    return data_root(family, root) / name


def new_folder(family: Family, root: Path | None, name: str) -> Path:
    """Returns the folder of a data set that does not exist yet.

    Raises:
        ConfigError: The name cannot be that of a folder.
        OutputError: There is such a data set.
    """
    target = folder_of(family, root, name)
    if target.exists():
        raise OutputError(
            f"a data set must be new, got {target}, which exists; choose another name with --as, or delete it"
        )
    return target


def check_options(what: str, known: Mapping[str, str], options: Mapping[str, str]) -> None:
    """Refuses unknown options of a synthetic or public data set.

    Args:
        what: What takes the options, for the message.
        known: Options that it takes, with their meanings.
        options: Options that were given.

    Raises:
        ConfigError: An option is unknown; the message names those that are known.
    """
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(f"{what} has no option {', '.join(unknown)} (found: {', '.join(known) or 'none'})")


def _size(folder: Path) -> int | None:
    if not folder.exists():
        return None
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
