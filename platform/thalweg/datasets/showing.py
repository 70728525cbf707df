"""Exploration of a data set: the family's pictures, tables and page in a folder, or its samples in FiftyOne."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from thalweg import discovery
from thalweg.dataset_contract import Exploration
from thalweg.datasets.catalogue import families
from thalweg.datasets.making import existing
from thalweg.disk import store_place
from thalweg.errors import ConfigError, DiscoveryError, ThalwegError
from thalweg.files import atomic_folder, is_full_disk, refusal

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An exploration that was written to a folder.

    Attributes:
        name: ``FAMILY/DATASET``.
        found: The exploration by the family.
        folder: Folder with pictures, tables and page.
    """

    name: str
    found: Exploration
    folder: Path

    @property
    def page(self) -> Path:
        """The file to open first."""
        return self.folder / self.found.page


def show(
    family_name: str,
    dataset: str | None,
    output: Path,
    root: Path | None = None,
    tell: Tell = lambda text: None,
) -> Shown:
    """Explores a data set; a synthetic one is made if it is missing.

    Args:
        family_name: Name of the family.
        dataset: Name of the data set; None takes the family's first synthetic one.
        output: Folder of all studies; ``data/FAMILY-DATASET`` below it is written anew.
        root: Folder of all data.
        tell: Called with a sentence for people about what takes a while.

    Raises:
        DiscoveryError: The family cannot show its data, or there is no such data set.
        DataError: Data are broken.
        OutputError: A folder cannot be written.
    """
    family = discovery.load_family(family_name)
    if family.explore is None:
        raise DiscoveryError(
            f"{family.name} must know how to show its data, got no function explore in {family.package}.explore; "
            f"take another family ({_those_that_show()}), or write one as thalweg.dataset_contract.Explore says"
        )
    data_set = existing(family, dataset, root, tell)
    target = output / "data" / f"{family.name}-{data_set.name}"
    with _writing(target), atomic_folder(target, overwrite=True) as draft:
        found = family.explore(data_set, draft)
    if note := store_place.elsewhere(data_set):
        tell(note)
    return Shown(name=f"{family.name}/{data_set.name}", found=found, folder=target)


def _those_that_show() -> str:
    found = [family.name for family in families() if family.explore is not None]
    return f"found: {', '.join(found) or 'none'}"


def export_fiftyone(
    family_name: str,
    dataset: str | None,
    name: str,
    output: Path,
    root: Path | None = None,
    tell: Tell = lambda text: None,
) -> str:
    """Writes a data set into FiftyOne; the media that FiftyOne shows lie in ``fiftyone/NAME`` below ``output``.

    Args:
        family_name: Name of the family.
        dataset: Name of the data set; None takes the family's first synthetic one.
        name: Name in FiftyOne.
        output: Folder of all studies.
        root: Folder of all data.
        tell: Called with a sentence for people about what takes a while.

    Returns:
        A sentence on how to see it.

    Raises:
        DiscoveryError: The family cannot export its data, or there is no such data set.
        ConfigError: FiftyOne is not installed or cannot start, or has a data set of this name, or the name
            cannot be a folder's.
        DataError: Data are broken.
        OutputError: The folder cannot be written.
    """
    family = discovery.load_family(family_name)
    if family.export_fiftyone is None:
        raise DiscoveryError(
            f"{family.name} must know how to export its data, got no function export_fiftyone in "
            f"{family.package}.explore; take another family, or write one as thalweg.dataset_contract.Export says"
        )
    if name != Path(name).name or name.startswith("."):
        raise ConfigError(
            f"a name in FiftyOne must be that of a folder as well, got {name!r}; choose another"
        )
    data_set = existing(family, dataset, root, tell)
    media = (output / "fiftyone" / name).absolute()
    with _writing(media):
        media.mkdir(parents=True, exist_ok=True)
        return family.export_fiftyone(data_set, name, media)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Raises an `OutputError` if writing a folder fails; errors about other files, such as those of the data, pass."""
    try:
        yield
    except ThalwegError:
        raise
    except OSError as error:
        ours = any(_is_about(name, folder.parent) for name in (error.filename, error.filename2))
        if not ours and not is_full_disk(error):  # which names no file, and befalls nobody who reads
            raise
        raise refusal("the output folder", folder, error, "choose another with --output") from error


def _is_about(name: object, folder: Path) -> bool:
    """Returns whether a file lies in a folder, or is a file where a parent folder should be."""
    if not isinstance(name, str | os.PathLike):
        return False
    path, folder = Path(name).absolute(), folder.absolute()
    return path.is_relative_to(folder) or folder.is_relative_to(path)
