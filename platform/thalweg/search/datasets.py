"""The data sets of all families: made, imported, listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thalweg import discovery
from thalweg.discovery import Family
from thalweg.errors import ConfigError, DiscoveryError, OutputError
from thalweg.search.prepare import data_root, make_world

Origin = Literal["make", "import", "own"]


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set that a family has, or could have.

    Attributes:
        family: Name of the family.
        name: Folder below the family's data folder.
        origin: ``thalweg data make``, ``thalweg data import``, or somebody's own files.
        meaning: One sentence; empty for somebody's own files.
        folder: Where it lies or would lie.
        num_bytes: Its size; None where it does not exist.
    """

    family: str
    name: str
    origin: Origin
    meaning: str
    folder: Path
    num_bytes: int | None


def make(
    family_name: str,
    world: str | None = None,
    root: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Makes one synthetic data set of a family, or all; leaves those that exist alone.

    Raises:
        DiscoveryError: The family has no such world, or none at all.
        OutputError: The data folder cannot be written.
    """
    family = discovery.load_family(family_name)
    if not family.worlds:
        raise DiscoveryError(f"a family must have synthetic data sets to make one, got none in {family.name}")
    if world is not None and world not in family.worlds:
        raise DiscoveryError(f"no world {world!r} in {family.name} (found: {', '.join(family.worlds)})")
    folder = data_root(family, root)
    return [make_world(family, folder, name, tell) for name in ([world] if world else family.worlds)]


def import_source(
    source: str, folder: Path, *, name: str | None = None, options: Mapping[str, str] | None = None,
    root: Path | None = None,
) -> tuple[Path, str]:  # fmt: skip
    """Reads a public data set into its family's layout.

    Args:
        source: Name of the source; it finds the family.
        folder: What was downloaded.
        name: Name of the new data set; None takes the source's.
        options: What the source's reader takes.
        root: Folder of all data.

    Returns:
        The data set's folder and the reader's report.

    Raises:
        DiscoveryError: No family has such a source.
        ConfigError: The reader has no such option, or the folder does not exist.
        OutputError: A data set of this name exists.
    """
    family = family_of_source(source)
    reader = family.sources[source]
    unknown = sorted(set(options or {}) - set(reader.options))
    if unknown:
        known = ", ".join(reader.options) or "none"
        raise ConfigError(f"{source} has no option {', '.join(unknown)} (found: {known})")
    if not folder.is_dir():
        raise ConfigError(
            f"the folder of the source must exist, got {folder}; name the one that holds its files"
        )
    target = data_root(family, root) / (name or source)
    if target.exists():
        raise OutputError(
            f"a data set must be new, got {target}, which exists; choose another name with --as, or delete it"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the data folder must be writable, got {error}; choose another with --data"
        ) from None
    return target, reader.read(folder, target, **(options or {}))


def family_of_source(source: str) -> Family:
    """Finds the family that can import a source.

    Raises:
        DiscoveryError: There is none; the message names all sources.
    """
    families = [discovery.load_family(name) for name in discovery.names("trainables")]
    for family in families:
        if source in family.sources:
            return family
    known = ", ".join(sorted(name for family in families for name in family.sources)) or "none"
    raise DiscoveryError(f"no family can import {source!r} (found: {known})")


def data_sets(root: Path | None = None) -> list[DataSet]:
    """Lists the data sets that exist and those that could be made or imported, family by family."""
    return [
        found
        for name in discovery.names("trainables")
        for found in _of_family(discovery.load_family(name), root)
    ]


def _of_family(family: Family, root: Path | None) -> list[DataSet]:
    folder = data_root(family, root)
    known: list[tuple[str, Origin, str]] = [
        *((name, "make", world.meaning) for name, world in family.worlds.items()),
        *((name, "import", source.meaning) for name, source in family.sources.items()),
    ]
    names = {name for name, *_ in known}
    own = [path.name for path in sorted(folder.glob("[!.]*")) if path.is_dir() and path.name not in names]
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


def _size(folder: Path) -> int | None:
    if not folder.exists():
        return None
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
