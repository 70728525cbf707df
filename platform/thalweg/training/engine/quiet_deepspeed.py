"""Imports DeepSpeed without the output of its import and of the compilers that it tries, and without MLflow."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["deepspeed"]


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discards what child processes write to standard error: DeepSpeed tries compilers while it is imported."""
    saved = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@contextmanager
def _without_mlflow() -> Iterator[None]:
    """Lets an import do without MLflow, unless it is there already.

    DeepSpeed's autotuner, which nothing here uses, would import it and take a third of the time.
    """
    if "mlflow" in sys.modules:
        yield
        return
    sys.modules["mlflow"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["mlflow"]


if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # read by the import; without it DeepSpeed guesses aloud
os.environ.setdefault("DS_LOG_LEVEL", "error")
with _silent_stderr(), _without_mlflow():
    import deepspeed
    import deepspeed.comm
