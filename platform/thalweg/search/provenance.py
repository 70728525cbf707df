"""Provenance of a result: settings of the search, versions, commit and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from thalweg.study import Study
from thalweg.training.guards.software import processor

_RARE = ("priors", "learn_from", "also", "at_most", "at_least")


def settings_told(study: Study) -> dict[str, Any]:
    """Returns the settings of a study as its MLflow run shows them, without those that say nothing or have tags."""
    empty = (name for name in _RARE if not getattr(study, name))
    return study.model_dump(mode="json", exclude={"first_trials", "lessons", *empty}, exclude_none=True)


def provenance() -> dict[str, str]:
    """Returns the provenance of a result: versions of the code and of its libraries, commit and machine."""
    libraries = ("thalweg", "ray", "torch", "deepspeed", "optuna")
    found = {f"version/{name}": version(name) for name in libraries}
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    if commit.returncode == 0:
        found["code_version"] = commit.stdout.strip()
    found["python"] = platform.python_version()
    found["hardware"] = f"{os.cpu_count()} x {processor()}"
    return found
