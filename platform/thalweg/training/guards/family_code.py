"""Errors in a family's own code, reported in one line: their place and their message."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thalweg.errors import OutOfMemory, ThalwegError, TrialError
from thalweg.files import is_full_disk
from thalweg.training.guards.memory import lacks_memory
from thalweg.training.process_group import is_group_fault
from thalweg.wording import as_seen

_MAX_LETTERS = 300
_BACKWARD = str(Path("torch", "autograd"))


@contextmanager
def blaming(package: str) -> Iterator[None]:
    """Turns an error in a family's code into one that a user can read; the traceback stays as its cause.

    Errors of Thalweg, a full disk and faults of the process group pass unchanged. So does an error whose traceback
    holds no line of the family. Out-of-memory errors are not blamed on the family.

    Args:
        package: Dotted name of the family's package.

    Raises:
        TrialError: The family's code raised, and the message names the place in it.
        OutOfMemory: Memory ran out.
    """
    try:
        yield
    except ThalwegError:
        raise
    except Exception as error:
        if lacks_memory(error):
            raise OutOfMemory(
                f"the memory of a worker must hold its model and a micro-batch, got {_told(error)}; lower "
                "optimization.micro_batch_size, or the size of the model"
            ) from error
        passes = is_full_disk(error) or is_group_fault(error)
        place = None if passes else _place(package, error)
        if place is None:
            raise
        raise TrialError(
            f"the code of {package} must run, got {_told(error)} in {place}; mend it there"
        ) from error


def _place(package: str, error: Exception) -> str | None:
    """Returns file, line and function of the last call in the family's code, or None."""
    frames = traceback.extract_tb(error.__traceback__)
    for folder in map(Path, importlib.import_module(package).__path__):
        for frame in reversed(frames):
            file = Path(frame.filename)
            if file.is_relative_to(folder):
                return f"{as_seen(file)}:{frame.lineno} {frame.name}"
    # torch goes backward through what the family computed without a line of Python.
    inside = bool(frames) and _BACKWARD in frames[-1].filename
    return "the backward pass of its loss" if inside else None


def _told(error: Exception) -> str:
    """Returns kind and first line of an error."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if len(first) > _MAX_LETTERS:
        first = f"{first[:_MAX_LETTERS]}..."
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
