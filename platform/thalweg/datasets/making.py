"""Makes synthetic data sets."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from thalweg import discovery
from thalweg.dataset_contract import SyntheticDataset
from thalweg.datasets.catalogue import (
    DATA_VARIABLE,
    check_moved,
    check_options,
    data_root,
    new_folder,
    of_family,
)
from thalweg.discovery import Family
from thalweg.errors import ConfigError, DiscoveryError, ThalwegError, nothing
from thalweg.files import atomic_folder, refusal


def make(
    family_name: str,
    world: str | None = None,
    root: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Makes one synthetic data set of a family, or all of them; skips those that exist.

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
    """Makes a variant of a synthetic data set by options, under a name of its own.

    Args:
        family_name: Name of the family.
        world: Synthetic world of the family to vary.
        name: Name of the new data set. It cannot be that of a world, because a world means the same everywhere.
        options: Options of the world.
        root: Folder of all data.
        tell: Called with a sentence for people about what takes a while.

    Returns:
        The data set's folder; its ``README.txt`` holds the command that makes it again.

    Raises:
        DiscoveryError: The family has no such world.
        ConfigError: The world has no such option or refuses its value, or the name is that of a world or cannot be
            that of a folder.
        OutputError: A data set of this name exists, or the data folder cannot be written.
    """
    family = discovery.load_family(family_name)
    maker = _world(family, world)
    check_options(f"the world {world}", maker.options, options)
    if name in family.worlds:
        raise ConfigError(
            f"a varied world must have a name of its own, got {name!r}; choose another with --as"
        )
    target = new_folder(family, root, name)
    words = [word for key, value in options.items() for word in ("--option", f"{key}={value}")]
    command = shlex.join(["thalweg", "data", "make", family.name, world, *words, "--as", name])

    def write(folder: Path) -> None:
        maker.make(folder, **options)
        (folder / "README.txt").write_text(
            f"A variant of the synthetic world {world}, made with\n{command}\n",
            encoding="utf-8",
        )

    write_data_set(target, write, tell)
    return target


def existing(
    family: Family,
    dataset: str | None,
    root: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Path:
    """Returns the folder of a data set that exists; a synthetic one is made if it is missing.

    Args:
        family: The family.
        dataset: Name of the data set; None takes the family's first synthetic one.
        root: Folder of all data.
        tell: Called with a sentence for people about what takes a while.

    Raises:
        DiscoveryError: There is no such data set; the message names those that there are.
        OutputError: The data folder cannot be written.
    """
    name = dataset or next(iter(family.worlds), None)
    if name is not None and name == Path(name).name and not name.startswith("."):
        check_moved(family, root, name)
        folder = make_world(family, data_root(family, root), name, tell)
        if folder.is_dir():
            return folder
    known = [
        item.name for item in of_family(family, root) if item.num_bytes is not None or item.origin == "make"
    ]
    what = "synthetic data set" if name is None else f"data set {name!r}"
    raise DiscoveryError(
        f"{nothing(what, family.name, name or '', known)}; `thalweg data list` says how to get others"
    )


def make_world(
    family: Family, folder: Path, dataset: str, tell: Callable[[str], None] = lambda text: None
) -> Path:
    """Returns the folder of a data set; a synthetic one is made if it is missing, any other is left alone.

    Raises:
        OutputError: The data folder cannot be written.
    """
    target = folder / dataset
    world = family.worlds.get(dataset)
    if world is not None and not target.exists():
        tell(f"making synthetic data set {dataset}, once")
        write_data_set(target, world.make, tell)
    return target


def write_data_set(
    target: Path, make: Callable[[Path], None], tell: Callable[[str], None] = lambda text: None
) -> None:
    """Writes a synthetic data set; it appears under its name only when complete.

    Raises:
        OutputError: The data folder cannot be written.
    """
    began = time.perf_counter()
    try:
        with atomic_folder(target) as draft:
            make(draft)
    except OSError as error:
        if target.exists():  # another process was faster
            return
        if isinstance(error, ThalwegError):
            raise
        raise refusal("the data folder", target, error, f"set {DATA_VARIABLE} to a folder that is") from error
    tell(f"made synthetic data set {target.name} in {time.perf_counter() - began:.0f} s: {target}")


def _world(family: Family, world: str) -> SyntheticDataset:
    if world not in family.worlds:
        known = ", ".join(family.worlds) or "none"
        raise DiscoveryError(f"no world {world!r} in {family.name} (found: {known})")
    return family.worlds[world]
