"""What produced a result: versions, commit and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def provenance() -> dict[str, str]:
    """Returns what produced a result: versions of the code and of what it stands on, and the machine."""
    libraries = ("thalweg", "ray", "torch", "deepspeed", "optuna")
    facts = {f"version/{name}": version(name) for name in libraries}
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    if commit.returncode == 0:
        facts["code_version"] = commit.stdout.strip()
    facts["python"] = platform.python_version()
    facts["hardware"] = f"{os.cpu_count()} x {_processor()}"
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
