"""Finds what no trial of a space comes to: branches of its function, and parameters that it never asks for."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_SUGGEST = ("suggest_float", "suggest_int", "suggest_categorical")


class Trace:
    """The lines of a file that ran, by function.

    Args:
        file: The file.
    """

    def __init__(self, file: Path) -> None:
        self._file = str(file)
        self._lines: dict[CodeType, set[int]] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Records what runs inside; a debugger's own tracing goes on afterwards."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    @property
    def lines(self) -> frozenset[int]:
        """All lines that ran."""
        return frozenset(line for lines in self._lines.values() for line in lines)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != self._file:
            return None
        self._lines.setdefault(frame.f_code, set()).add(frame.f_lineno)
        return self._note

    def _note(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._lines[frame.f_code].add(frame.f_lineno)
        return self._note


def never_run(file: Path, lines: frozenset[int]) -> list[str]:
    """Returns the branches that were not taken although the statement before them ran, as ``LINE: TEXT``.

    A branch that only raises is left out.

    Args:
        file: The file of a space.
        lines: Its lines that ran.
    """
    text = file.read_text(encoding="utf-8")
    rows = text.splitlines()
    return [
        f"{file.name}:{body[0].lineno}: {rows[body[0].lineno - 1].strip()}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.If | ast.For | ast.While) and node.lineno in lines
        for body in (node.body, node.orelse)
        if body and not isinstance(body[0], ast.Raise) and not lines & _span(body[0])
    ]


def never_asked(file: Path, lines: frozenset[int], asked: Collection[str]) -> list[str]:
    """Returns the names that functions of a file ask for in their text, although no trial was asked for them.

    Args:
        file: The file of a space.
        lines: Its lines that ran; functions without one are left out.
        asked: Names that trials were asked for.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and lines & _span(node.body[-1])
    ]
    named = [
        node.args[0].value
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _SUGGEST
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]
    return [str(name) for name in dict.fromkeys(named) if name not in asked]


def _span(node: ast.stmt) -> frozenset[int]:
    return frozenset(range(node.lineno, (node.end_lineno or node.lineno) + 1))
