"""Writes a new family: a copy of the example, under names of its own."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

from thalweg.files import atomic_folder
from thalweg.scaffold.own_package import OwnPackage

_STEM = "Example"  # what classes of the example are named by


def example() -> Path:
    """Returns the folder of the example family, which is not listed."""
    return (
        Path(importlib.import_module("trainables").__path__[-1]) / "_example"
    )  # those of the user come first


def write_family(name: str, package: str | None = None) -> str:
    """Writes a family that trains at once, and returns its dotted name.

    Args:
        name: Name of the family's folder.
        package: Dotted name of the package to write into; see `OwnPackage.find`.

    Raises:
        ConfigError: A name is not fit to be imported, or several packages could be meant.
        OutputError: There is a module of this name, or a file cannot be written.
    """
    own = OwnPackage.find(package)
    place = own.place(name)
    dotted = f"{own.name}.{name}"
    with own.opened(), atomic_folder(place) as draft:
        for file in sorted(example().glob("*.py")):
            (draft / file.name).write_text(_copied(file, dotted), encoding="utf-8")
    return dotted


def _copied(file: Path, dotted: str) -> str:
    """Returns the text of a module of the example under the names of another family."""
    name = dotted.rpartition(".")[2]
    if file.stem == "__init__":
        return f'"""The family {dotted}."""\n'
    text = file.read_text(encoding="utf-8").replace(f"trainables.{file.parent.name}", dotted)
    return _imports_sorted(text.replace(_STEM, "".join(map(str.capitalize, name.split("_")))), dotted)


def _imports_sorted(text: str, dotted: str) -> str:
    """Returns the text of a module with its imports as linters sort them where Thalweg is a library among others."""
    body = ast.parse(text).body
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    if not imports:
        return text
    groups: dict[int, list[tuple[bool, str, str]]] = {}
    for node in imports:
        module = (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        top = module.partition(".")[0]
        group = 0 if top in sys.stdlib_module_names else 2 if top == dotted.partition(".")[0] else 1
        line = ast.get_source_segment(text, node) or ""
        groups.setdefault(group, []).append((isinstance(node, ast.ImportFrom), module, line))
    blocks = ["\n".join(line for *_, line in sorted(groups[group])) for group in sorted(groups)]
    lines = text.splitlines()
    first, last = imports[0].lineno - 1, imports[-1].end_lineno or 0
    return "\n".join([*lines[:first], "\n\n".join(blocks), *lines[last:]]) + "\n"
