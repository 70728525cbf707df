"""The code that a process is about to import, against that which its study has recorded."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path

from thalweg.discovery import look_here
from thalweg.errors import FamilyError
from thalweg.hashing import hash_of_code
from thalweg.wording import counted, some


def check_code(family: str, recorded: Mapping[str, str]) -> None:
    """Refuses to import a family whose modules have changed since the search began.

    Workers that take the place of lost ones import the family anew. With other code than the workers before them they
    would share a table of results that says nothing of it. Call it before the first import.

    Args:
        family: Package of the family, such as ``my_lab.lakes``.
        recorded: Hash of each module's code by its path below the import path; see `hash_of_code`.

    Raises:
        FamilyError: A module has other code, or is gone.
    """
    if changed := changed_modules(family, recorded):
        raise FamilyError(
            f"trials of a study must run the code that it has recorded, got {counted(len(changed), 'module')} changed "
            f"since the search began: {some(changed)}; put them back, or search under another name, or "
            "continue with --accept-code-change, which is recorded"
        )


def changed_modules(family: str, recorded: Mapping[str, str]) -> list[str]:
    """Returns the paths of a family's modules that are gone or have other code than is recorded."""
    top = family.partition(".")[0]
    own = {path: known for path, known in sorted(recorded.items()) if path.startswith(f"{top}/")}
    if own:
        look_here()
        importlib.import_module(top)
    return [path for path, known in own.items() if _hash_at(path) != known]


def _hash_at(path: str) -> str | None:
    parts = path.removesuffix(".py").split("/")
    file = file_of(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return None if file is None else hash_of_code(file.read_text(encoding="utf-8"))


def file_of(module: str) -> Path | None:
    """Returns the file of a module in Python; None if the name is not that of one.

    Nothing is imported but the package at the top, which is there already: modules may import what is heavy.
    """
    top, *parts = module.split(".")
    places = getattr(sys.modules.get(top), "__path__", None)
    spec = None if parts else importlib.util.find_spec(top)
    for number in range(1, len(parts) + 1):
        name = ".".join([top, *parts[:number]])
        spec = PathFinder.find_spec(name, None if places is None else list(places)) if places else None
        places = getattr(sys.modules.get(name), "__path__", spec and spec.submodule_search_locations)
    file = Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
    return file if file is not None and file.suffix == ".py" else None


def path_of(module: str, file: Path) -> str:
    """Returns the path of a module below the import path, such as ``my_lab/lakes/task.py``."""
    parts = module.split(".")
    return "/".join([*parts, "__init__.py"]) if file.stem == "__init__" else f"{'/'.join(parts)}.py"
