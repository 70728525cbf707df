"""Predictors without training, evaluated once per study at its protocol and kept beside its checkpoints."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

FILE = "baselines.json"

Baselines = Mapping[str, Mapping[str, float]]


def read(directory: Path) -> Baselines | None:
    """Returns the metrics of each baseline; None before they are known."""
    try:
        found: Baselines = json.loads((directory / FILE).read_text())
    except FileNotFoundError:
        return None
    return found


def write_once(directory: Path, baselines: Baselines) -> None:
    """Records baselines unless another lane did so first."""
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f"{FILE}.{os.getpid()}"
    partial.write_text(json.dumps(baselines, indent=1))
    try:
        os.link(partial, directory / FILE)
    except FileExistsError:
        return
    finally:
        partial.unlink()
