"""Predictors without training, evaluated once per study at its protocol and kept beside its checkpoints."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from thalweg.training.full_disk import refusal

FILE = "baselines.json"

Baselines = Mapping[str, Mapping[str, float]]


def read(directory: Path) -> Baselines | None:
    """Returns the metrics of each baseline; None before they are known."""
    try:
        found: Baselines = json.loads((directory / FILE).read_text())
    except FileNotFoundError:
        return None
    return found


def forget(directory: Path) -> None:
    """Deletes the baselines, so that the first trial evaluates them anew."""
    (directory / FILE).unlink(missing_ok=True)


def write_once(directory: Path, baselines: Baselines) -> None:
    """Records baselines unless another lane did so first.

    Raises:
        OutputError: They cannot be written.
    """
    partial = directory / f"{FILE}.{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(baselines, indent=1))
        os.link(partial, directory / FILE)
    except FileExistsError:
        return
    except OSError as error:
        raise refusal("baselines", directory, error, "free space and give the same command again") from error
    finally:
        partial.unlink(missing_ok=True)
