"""The data sets of all families: made, imported, listed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thalweg import discovery
from thalweg.contract import World
from thalweg.discovery import Family
from thalweg.errors import ConfigError, DiscoveryError, OutputError
from thalweg.search.prepare import data_root, make_world, write_data_set

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
    if world is not None:
        _world(family, world)
    elif not family.worlds:
        raise DiscoveryError(f"a family must have synthetic data sets to make one, got none in {family.name}")
    folder = data_root(family, root)
    return [make_world(family, folder, name, tell) for name in ([world] if world else family.worlds)]


def make_variant(
    family_name: str,
    world: str,
    name: str,
    options: Mapping[str, str],
    root: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Path:
    """Makes a synthetic data set with options, under a name of its own.

    Args:
        family_name: Name of the family.
        world: The family's world that is varied.
        name: Name of the new data set; no world's, for a world means the same everywhere.
        options: What the world takes.
        root: Folder of all data.
        tell: Takes a sentence about what took a while.

    Returns:
        The data set's folder; its ``README.txt`` holds the command that makes it again.

    Raises:
        DiscoveryError: The family has no such world.
        ConfigError: The world has no such option or refuses its value, or the name is a world's or no name.
        OutputError: A data set of this name exists, or the data folder cannot be written.
    """
    family = discovery.load_family(family_name)
    maker = _world(family, world)
    _check_options(f"the world {world}", maker.options, options)
    if name in family.worlds:
        raise ConfigError(
            f"a varied world must have a name of its own, got {name!r}; choose another with --as"
        )
    target = _new_folder(family, root, name)
    words = [word for key, value in options.items() for word in ("--option", f"{key}={value}")]
    command = shlex.join(["thalweg", "data", "make", family.name, world, *words, "--as", name])

    def write(folder: Path) -> None:
        maker.make(folder, **options)
        (folder / "README.txt").write_text(
            f"A variant of the synthetic world {world}, made with\n{command}\n"
        )

    write_data_set(target, write, tell)
    return target


def import_source(
    source: str, folder: Path, *, name: str | None = None, options: Mapping[str, str] | None = None,
    root: Path | None = None,
) -> tuple[Path, str]:  # fmt: skip
    """Reads a public data set into its family's layout, or brings one up to date where the source can.

    Args:
        source: Name of the source; it finds the family.
        folder: What was downloaded.
        name: Name of the data set; None takes the source's.
        options: What the source's reader takes.
        root: Folder of all data.

    Returns:
        The data set's folder and the reader's report.

    Raises:
        DiscoveryError: No family has such a source.
        ConfigError: The reader has no such option, or the folder does not exist.
        OutputError: A data set of this name exists, and the source cannot update it.
    """
    family = family_of_source(source)
    reader = family.sources[source]
    _check_options(source, reader.options, options or {})
    if not folder.is_dir():
        raise ConfigError(
            f"the folder of the source must exist, got {folder}; name the one that holds its files"
        )
    target = (_folder if reader.updates else _new_folder)(family, root, name or source)
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


def _world(family: Family, world: str) -> World:
    if world not in family.worlds:
        known = ", ".join(family.worlds) or "none"
        raise DiscoveryError(f"no world {world!r} in {family.name} (found: {known})")
    return family.worlds[world]


def _check_options(what: str, known: Mapping[str, str], options: Mapping[str, str]) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(f"{what} has no option {', '.join(unknown)} (found: {', '.join(known) or 'none'})")


def _folder(family: Family, root: Path | None, name: str) -> Path:
    """Returns the folder of a data set."""
    if name != Path(name).name or name.startswith("."):
        raise ConfigError(
            f"a data set's name must be that of a folder, got {name!r}; choose another with --as"
        )
    return data_root(family, root) / name


def _new_folder(family: Family, root: Path | None, name: str) -> Path:
    """Returns the folder of a data set that does not exist yet."""
    target = _folder(family, root, name)
    if target.exists():
        raise OutputError(
            f"a data set must be new, got {target}, which exists; choose another name with --as, or delete it"
        )
    return target


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


def existing(
    family: Family,
    dataset: str | None,
    root: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Path:
    """Returns the folder of a data set that exists, if need be because it is made now.

    Args:
        family: The family.
        dataset: Name of the data set; None takes the family's first synthetic one.
        root: Folder of all data.
        tell: Takes a sentence about what took a while.

    Raises:
        DiscoveryError: There is no such data set; the message names those that there are.
        OutputError: The data folder cannot be written.
    """
    name = dataset or next(iter(family.worlds), None)
    if name is not None:
        folder = make_world(family, data_root(family, root), name, tell)
        if folder.is_dir():
            return folder
    known = [
        item.name for item in of_family(family, root) if item.num_bytes is not None or item.origin == "make"
    ]
    what = "synthetic data set" if name is None else f"data set {name!r}"
    raise DiscoveryError(
        f"no {what} of {family.name} (found: {', '.join(known) or 'none'}); "
        "`thalweg data list` says how to get others"
    )
