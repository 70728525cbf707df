"""What a study keeps while its name is in use: its definition, with a fingerprint of its search space's code."""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TypeGuard

from thalweg.discovery import rewritten_spaces, space_name
from thalweg.hashing import is_text
from thalweg.search.overrides import options_of
from thalweg.search.space import Space

_LAWS = {  # settings that may not change while a name is in use, in words
    "space": "search space",
    "family": "family",
    "confirms": "study that it confirms",
    "metric": "metric",
    "mode": "mode",
    "overrides": "data set",
    "samples": "budget in samples",
    "num_evaluations": "number of evaluations",
    "fingerprint": "version of its search space",
}
_FIRST_HOMES = {"Study": "thalweg.search.study", "Trial": "thalweg.search.space"}
"""Modules from which the first studies imported these names; fingerprints keep them, so that those studies go on."""


def definition_of(space: Space) -> dict[str, Any]:
    """Returns the definition of a study for its storage, along with all settings of its last run."""
    study = space.study
    return {
        "space": space.module_name,
        "family": space.config_type.__module__.rpartition(".")[0],
        "confirms": space.confirms,
        "metric": study.metric,
        "mode": study.mode,
        "overrides": dict(space.overrides),
        "samples": study.samples,
        "num_evaluations": study.num_evaluations,
        "fingerprint": fingerprint(space.file),
        "study": study.model_dump(mode="json"),
    }


def change_of(name: str, stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Returns a sentence on what has changed in a definition; empty if it is the same."""
    for key, what in _LAWS.items():
        if not _agrees(key, stored.get(key), now[key]):
            has, got = _told(key, stored.get(key)), _told(key, now[key])
            began = _began(stored.get("overrides") or {}, now["overrides"])
            return f"a study keeps its {what}: {name!r} has {has}, got {got}{began}"
    return ""


def _began(stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Says with which options a study began, if they are others now."""
    if stored == now:
        return ""
    return f" (it began {f'with {options_of(stored)}' if stored else 'without --dataset and --samples'})"


def _told(key: str, value: Any) -> Any:
    return (_dataset(value) or "the space's own") if key == "overrides" else value


def _dataset(overrides: Mapping[str, Any] | None) -> str | None:
    """Returns the data set that a command named for a study; studies of earlier versions record none."""
    return (overrides or {}).get("dataset")


def _agrees(key: str, stored: Any, now: Any) -> bool:
    """Returns whether a setting agrees with the stored one; a space may move, or be rewritten without effect."""
    if key == "fingerprint":
        return is_same(stored, now)
    if key == "overrides":  # a budget is a law of its own
        return _dataset(stored) == _dataset(now)
    if key == "space" and isinstance(stored, str):
        return space_name(stored) == space_name(now)
    return bool(stored == now)


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
    elif not is_text(node):
        yield node


def _as_at_first(node: ast.ImportFrom) -> Iterator[ast.ImportFrom]:
    """Spells an import as the first studies did, one line for each module."""
    homes = {alias.name: _FIRST_HOMES.get(alias.name, "thalweg.study") for alias in node.names}
    for home in sorted(set(homes.values())):
        names = [alias for alias in node.names if homes[alias.name] == home]
        yield ast.ImportFrom(module=home, names=names, level=0)


def _is_study(node: ast.AST) -> TypeGuard[ast.Assign | ast.AnnAssign]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return isinstance(node, ast.Assign | ast.AnnAssign) and any(
        isinstance(target, ast.Name) and target.id == "study" for target in targets
    )
