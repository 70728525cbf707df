"""The journal of a preparation: which steps are done and durable, so that a killed one can be resumed."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.lines import append

_FILE = "journal.jsonl"


class PreparationJournal:
    """The finished steps of a preparation, in a file with one line per step.

    A step is recorded after its arrays are durable. Headers and sizes then show whether the arrays are still as the
    step wrote them.

    Args:
        folder: Folder of the arrays and of the journal.

    Attributes:
        results: What each finished step returned.
        arrays: Names of the arrays that finished steps wrote to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / _FILE
        lines = path.read_text().splitlines() if path.exists() else []
        steps = [step for line in lines if (step := self._whole(line)) is not None]
        self.results: dict[str, dict[str, Any]] = {step["step"]: step["facts"] for step in steps}
        self.arrays: set[str] = {name for step in steps for name in step["arrays"]}
        if len(steps) < len(lines):
            path.unlink()
            for step in steps:
                self._append(step)

    def add(self, step: str, result: Mapping[str, Any], arrays: Iterable[str]) -> None:
        """Records that a step is done.

        Args:
            step: Name of the step.
            result: What it returned.
            arrays: Names of the arrays that it wrote to, which are durable.
        """
        kinds = {name: self._kind(name) for name in sorted(arrays)}
        self._append({"step": step, "facts": dict(result), "arrays": kinds})
        self.results[step] = dict(result)
        self.arrays.update(kinds)

    def _append(self, step: Mapping[str, Any]) -> None:
        append(self._folder / _FILE, f"{json.dumps(step)}\n".encode())

    def _whole(self, line: str) -> dict[str, Any] | None:
        """Reads a line; returns None if it was cut off, or an array is damaged."""
        try:
            step: dict[str, Any] = json.loads(line)
            whole = all(kind == self._kind(name) for name, kind in step["arrays"].items())
        except (OSError, ValueError):
            return None
        return step if whole else None

    def _kind(self, name: str) -> dict[str, Any]:
        path = self._folder / f"{name}.npy"
        array = np.load(path, mmap_mode="r")
        return {"bytes": path.stat().st_size, "dtype": array.dtype.str, "shape": list(array.shape)}
