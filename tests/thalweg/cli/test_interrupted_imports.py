"""Ctrl-C while a command imports libraries, of which some catch every exception."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SWALLOWS = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except BaseException:
    pass
raise SystemExit("went on")
"""


@pytest.mark.parametrize(
    ("library", "words", "told"),
    [
        ("typer", ["--help"], ""),
        pytest.param("torch", ["train", "spaces.toys"], "", marks=pytest.mark.slow),
        # Ray is about to start meanwhile, and would be left behind.
        pytest.param(
            "torch", ["search", "spaces.toys"], "stopping; once more stops at once\n", marks=pytest.mark.slow
        ),
    ],
)
def test_ctrl_c_ends_a_command_while_it_imports_libraries(
    tmp_path: Path, library: str, words: list[str], told: str
) -> None:
    (tmp_path / f"{library}.py").write_text(_SWALLOWS)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "thalweg", *words]
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, f"{told}stopped\n")
