"""Fingerprint of a search space's code, by which a study notices that its space has changed."""

import ast
import hashlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TypeGuard

from thalweg.discovery import rewritten_spaces

_FIRST_HOMES = {"Study": "thalweg.search.study", "Trial": "thalweg.search.space"}
"""Modules from which the first studies imported these names; fingerprints keep them, so that those studies go on."""


def fingerprint(file: Path) -> str:
    """Returns 16 hexadecimal digits that change with the code of a search space.

    Comments, formatting, docstrings and the settings in ``study = ...`` do not count, nor do modules that the
    file imports. A grid that is spelt out in ``study = ...`` counts: it says what the space asks.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = list(chain.from_iterable(map(_counted, body))) or [ast.Pass()]  # type: ignore[attr-defined]
    # Unparsed text and not ast.dump, which differs between versions of Python.
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]


def code_of(text: str) -> str:
    """Returns the code of a module without comments, formatting and docstrings, those of attributes included."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for part in ("body", "orelse", "finalbody"):
            body = getattr(node, part, None)
            if isinstance(body, list) and body:
                kept = [each for each in body if not _is_text(each)]
                setattr(node, part, kept or ([] if node is tree else [ast.Pass()]))
    return ast.unparse(tree)


def is_same(stored: str | None, current: str) -> bool:
    """Returns whether two fingerprints are equal, or of a shipped space before and after a rewriting without effect."""
    return stored == current or rewritten_spaces().get(stored or "") == current


def _counted(node: ast.AST) -> Iterator[ast.AST]:
    """Yields the parts of a statement that count."""
    if isinstance(node, ast.ImportFrom) and node.module == "thalweg.study":
        yield from _as_at_first(node)
    elif _is_study(node):
        settings = node.value.keywords if isinstance(node.value, ast.Call) else []
        yield from (
            ast.Expr(setting.value)
            for setting in settings
            if setting.arg == "grid" and not isinstance(setting.value, ast.Name)
        )
    elif not _is_text(node):
        yield node


def _as_at_first(node: ast.ImportFrom) -> Iterator[ast.ImportFrom]:
    """Spells an import as the first studies did, one line for each module."""
    homes = {alias.name: _FIRST_HOMES.get(alias.name, "thalweg.study") for alias in node.names}
    for home in sorted(set(homes.values())):
        names = [alias for alias in node.names if homes[alias.name] == home]
        yield ast.ImportFrom(module=home, names=names, level=0)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_study(node: ast.AST) -> TypeGuard[ast.Assign | ast.AnnAssign]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return isinstance(node, ast.Assign | ast.AnnAssign) and any(
        isinstance(target, ast.Name) and target.id == "study" for target in targets
    )
