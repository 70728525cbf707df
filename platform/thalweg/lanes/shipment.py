"""The code that is sent to a cluster at an address: Thalweg, families and spaces, and packages of one's own."""

import importlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_HOUSE = ("thalweg", "trainables", "search_spaces")


def top_packages(*modules: str) -> tuple[str, ...]:
    """Returns the packages at the top that hold some modules, ``my_lab`` for ``my_lab.lakes.task``."""
    return tuple(dict.fromkeys(module.partition(".")[0] for module in modules))


@contextmanager
def shipped(packages: Iterable[str]) -> Iterator[list[str]]:
    """Yields the paths of Thalweg's packages and of some more, one for each, until the block ends.

    Args:
        packages: Names of packages or modules at the top.
    """
    with tempfile.TemporaryDirectory(prefix="tw") as drafts:
        yield [_path(name, Path(drafts)) for name in dict.fromkeys((*_HOUSE, *packages))]


def _path(name: str, drafts: Path) -> str:
    """Returns the folder or file of a package; a copy of all its folders in one if it has several.

    One's own ``search_spaces/`` or ``trainables/`` are joined with those of the house, and Ray sends one folder for a
    name.
    """
    module = importlib.import_module(name)
    places = list({os.path.realpath(place): place for place in getattr(module, "__path__", ())}.values())
    if not places:
        return str(module.__file__)
    if len(places) == 1:
        return str(places[0])
    for place in reversed(places):  # the first one wins
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(place, drafts / name, dirs_exist_ok=True, ignore=ignore)
    return str(drafts / name)
