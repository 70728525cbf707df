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
from thalweg.errors import ConfigError, DataError, DiscoveryError, FamilyError, OutputError, nothing
from thalweg.wording import as_seen, some

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
    """Returns the folder of a family's data sets: its whole name, below ``root``, ``THALWEG_DATA`` or ``data/``."""
    base = root or Path(os.environ.get(DATA_VARIABLE, "data"))
    return base.absolute() / family.name


def check_moved(family: Family, root: Path | None, dataset: str) -> None:
    """Refuses a data set that lies where data of a family outside ``trainables/`` were once: by its last name alone.

    Raises:
        DataError: The data set is missing, and one of its name lies there.
    """
    folder = data_root(family, root)
    earlier = folder.with_name(family.name.rpartition(".")[2]) / dataset
    if dataset not in family.worlds and not (folder / dataset).exists() and earlier.is_dir():
        raise DataError(
            f"data of {family.name} must lie in a folder of its whole name, got {as_seen(earlier)}; if they are its "
            f"own, mkdir -p {as_seen(folder)} && mv {as_seen(earlier)} {as_seen(folder)}"
        )


def data_sets(root: Path | None = None, only: str | None = None) -> list[DataSet]:
    """Lists the data sets that exist and those that could be made or imported, family by family.

    Args:
        root: Folder of all data.
        only: Name of the only family whose data sets are listed; None lists those of all that are found.
    """
    found = [discovery.load_family(only)] if only else families()
    return [data_set for family in found for data_set in of_family(family, root)]


def families() -> list[Family]:
    """Loads all families: those in ``trainables/``, and those in packages of the working directory.

    Any package may lie in the working directory: what looks like a family and cannot be loaded is left out there, and
    `thalweg families` says what is wrong with it.
    """
    return _families()[0]


def _families() -> tuple[list[Family], list[str]]:
    """Returns all families that can be loaded, and the names of one's own that cannot."""
    found = [discovery.load_family(name) for name in discovery.names("trainables")]
    broken = []
    for name in discovery.own_families():
        try:
            found.append(discovery.load_family(name))
        except (DiscoveryError, FamilyError):
            broken.append(name)
    return found, broken


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


def family_of_source(source: str, only: str | None = None) -> Family:
    """Returns the family that can import a public data set.

    Args:
        source: Name of the public data set.
        only: Name of the family, if it is known or lies elsewhere.

    Raises:
        DiscoveryError: There is none; the message names all public data sets.
        ConfigError: There are several.
    """
    known, broken = ([discovery.load_family(only)], []) if only else _families()
    found = [family for family in known if source in family.sources]
    if not found:
        where = only or "any family"
        known_names = {name for each in known for name in each.sources}
        hint = f"; {some(broken)} cannot be loaded, see `thalweg families`" if broken else ""
        raise DiscoveryError(nothing(f"public data set {source!r}", where, source, known_names) + hint)
    if len(found) > 1:
        names = [family.name for family in found]
        raise ConfigError(
            f"a public data set is imported into one family, got {', '.join(names)} for {source!r}; add --family "
            f"{names[0]}"
        )
    return found[0]


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
