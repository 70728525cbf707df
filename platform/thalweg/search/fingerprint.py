"""Fingerprints the code of a search space, so that a changed one is not taken for the same."""

import ast
import hashlib
from pathlib import Path


def fingerprint(file: Path) -> str:
    """Returns 16 hexadecimal digits that change with the code of a search space.

    Comments, formatting, docstrings, the settings in ``study = ...`` and the modules that the file imports do not
    count.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [item for item in body if not _is_silent(item)] or [ast.Pass()]  # type: ignore[attr-defined]
    # Unparsed text and not ast.dump, which differs between versions of Python.
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]


def _is_silent(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return isinstance(node, ast.Assign | ast.AnnAssign) and any(
        isinstance(target, ast.Name) and target.id == "study" for target in targets
    )
