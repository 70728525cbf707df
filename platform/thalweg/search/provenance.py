"""Provenance of a result: versions, commit and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from thalweg.training.guards.software import processor


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
