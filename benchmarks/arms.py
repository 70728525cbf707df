"""Arms of benchmarks that are commands: their environment, and how they run and end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.process_tree import end

ROOT = Path(__file__).resolve().parent.parent
QUIET = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}
"""Variables under which Ray and MLflow do what they are measured for, and no more."""


def environment(places: Sequence[Path], **variables: str) -> dict[str, str]:
    """Returns this process's variables, with those of an arm and folders on Python's path.

    Args:
        places: Folders of modules, first ones first.
        variables: What else the arm is told.
    """
    return os.environ | QUIET | {"PYTHONPATH": os.pathsep.join(map(str, places))} | variables


@contextmanager
def running(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], cwd: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a command, with what it says in ``output.txt`` in a folder, and ends it with all that it started.

    It is ended by SIGTERM to this process, too, as `timeout` sends it.

    Args:
        command: The command and its arguments.
        folder: The folder.
        variables: Its environment.
        cwd: Where it runs; None takes the folder.
    """
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd or folder,
            env=dict(variables),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)
        signal.signal(signal.SIGTERM, before)
