"""Records of the baselines, predictors without training: evaluated once per study, and kept beside its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from thalweg.files import atomic_file, writing
from thalweg.study_folder import BASELINES

Baselines = Mapping[str, Mapping[str, float]]


def read(directory: Path) -> Baselines | None:
    """Returns the metrics of each baseline; None before they are known."""
    try:
        found: Baselines = json.loads((directory / BASELINES).read_text())
    except FileNotFoundError:
        return None
    return found


def forget(directory: Path) -> None:
    """Deletes the baselines, so that the first trial evaluates them anew."""
    (directory / BASELINES).unlink(missing_ok=True)


def write_once(directory: Path, baselines: Baselines) -> None:
    """Records baselines unless another lane did so first.

    Raises:
        OutputError: They cannot be written.
    """
    with writing("baselines", directory, "free space and give the same command again"):
        directory.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), atomic_file(directory / BASELINES, overwrite=False) as draft:
            draft.write_text(json.dumps(baselines, indent=1))
