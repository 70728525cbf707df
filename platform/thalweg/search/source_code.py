"""The code that trials of a study run: what the family and the space import of their own."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from thalweg.discovery import ROOMS, Family
from thalweg.files import atomic_folder
from thalweg.hashing import digest, hash_of_code
from thalweg.search.space import Space
from thalweg.training.guards.recorded_code import file_of, path_of


@dataclass(frozen=True)
class SourceCode:
    """The modules of a family and of a space.

    The platform and installed libraries are not among them; their versions are recorded. Nor is the space's own file,
    which has a fingerprint.

    Attributes:
        texts: Text by path below the import path, such as ``my_lab/lakes/task.py``.
    """

    texts: Mapping[str, str]

    @cached_property
    def hashes(self) -> Mapping[str, str]:
        """Hash of each module that holds code; see `hash_of_code`."""
        hashes = {name: hash_of_code(text) for name, text in sorted(self.texts.items())}
        return {name: found for name, found in hashes.items() if found}

    @property
    def hash(self) -> str:
        """Hash of all modules."""
        return digest(self.hashes)

    def keep(self, folder: Path) -> None:
        """Writes the modules into a folder, unless it is there.

        Raises:
            OSError: It cannot be written.
        """
        if folder.is_dir():
            return
        with atomic_folder(folder) as draft:
            for name, text in self.texts.items():
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                (draft / name).write_text(text, encoding="utf-8")


def source_code(space: Space, family: Family) -> SourceCode:
    """Returns the modules that training imports, from the family's ``config`` and ``task`` and the space's file on.

    Of a family in ``trainables`` these are modules of its folder, of any other all of its package at the top, such as
    ``my_lab``. What only makes or imports data sets is left out, for data have fingerprints, and so is what only
    `Task.draw` imports.
    """
    top = family.package.partition(".")[0]
    own = {f"{family.package}." if top in ROOMS else f"{top}."}
    if (top := space.module_name.partition(".")[0]) not in ROOMS:
        own.add(f"{top}.")
    found: dict[str, Path] = {}
    wanted = [f"{family.package}.config", f"{family.package}.task", *_imported(space.module_name, space.file)]
    while wanted:
        module = wanted.pop()
        if module not in found and module.startswith(tuple(own)) and (file := file_of(module)) is not None:
            found[module] = file
            wanted += [*_imported(module, file), module.rpartition(".")[0]]
    return SourceCode(
        {
            path_of(module, file): file.read_text(encoding="utf-8")
            for module, file in sorted(found.items())
            if file != space.file
        }
    )


def _imported(module: str, file: Path) -> Iterator[str]:
    """Yields names that may be modules, of all imports in a file, wherever they stand but in `Task.draw`."""
    package = module.split(".") if file.stem == "__init__" else module.split(".")[:-1]
    for node in _walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yields a node and all inside it, but the bodies of functions that draw: no number depends on a picture."""
    yield node
    if isinstance(node, ast.FunctionDef) and node.name == "draw":
        return
    for inner in ast.iter_child_nodes(node):
        yield from _walk(inner)
