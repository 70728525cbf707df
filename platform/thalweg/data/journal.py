"""The journal of a preparation: which of its steps are done and durable, so that a killed one can be gone on with."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.lines import append

_FILE = "journal.jsonl"


class Journal:
    """Steps of a preparation whose arrays are whole, in a file with one line per step.

    A step is written down after its arrays are durable, so that their headers and sizes tell whether they still are
    what the step wrote.

    Args:
        folder: Where arrays and journal lie.

    Attributes:
        facts: What each finished step returned.
        arrays: Names of the arrays that finished steps wrote to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / _FILE
        lines = path.read_text().splitlines() if path.exists() else []
        steps = [step for line in lines if (step := self._whole(line)) is not None]
        self.facts: dict[str, dict[str, Any]] = {step["step"]: step["facts"] for step in steps}
        self.arrays: set[str] = {name for step in steps for name in step["arrays"]}
        if len(steps) < len(lines):
            path.unlink()
            for step in steps:
                self._append(step)

    def add(self, step: str, facts: Mapping[str, Any], arrays: Iterable[str]) -> None:
        """Writes down that a step is done.

        Args:
            step: Its name.
            facts: What it returned.
            arrays: Names of the arrays that it wrote to, which are durable.
        """
        kinds = {name: self._kind(name) for name in sorted(arrays)}
        self._append({"step": step, "facts": dict(facts), "arrays": kinds})
        self.facts[step] = dict(facts)
        self.arrays.update(kinds)

    def _append(self, step: Mapping[str, Any]) -> None:
        append(self._folder / _FILE, f"{json.dumps(step)}\n".encode())

    def _whole(self, line: str) -> dict[str, Any] | None:
        """Reads a line; None where it was cut off, or an array is damaged."""
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
