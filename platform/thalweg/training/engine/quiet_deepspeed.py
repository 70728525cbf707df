"""Imports DeepSpeed without its output, and without the compilers and libraries that nothing here uses."""

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


@contextmanager
def _without_kernels_of_muon() -> Iterator[None]:
    """Lets an import leave the functions of DeepSpeed's Muon optimizer as they are written.

    ZeRO imports them at its first step, whatever the optimizer is. To declare them for torch's compiler would import
    that compiler into each worker, which takes a second.
    """
    from deepspeed.runtime import compiler

    compile_ = compiler.compile
    compiler.compile = lambda: compiler.dummy_decorator
    try:
        yield
    finally:
        compiler.compile = compile_


if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # read by the import; without it DeepSpeed guesses aloud
os.environ.setdefault("DS_LOG_LEVEL", "error")
with _silent_stderr(), _without_mlflow():
    import deepspeed
    import deepspeed.comm
with _without_kernels_of_muon():
    import deepspeed.runtime.zero.muon.original_muon
# DeepSpeed would try compilers to find out which of its kernels could be built here, and one that can: a shared-memory
# all-reduce on a CPU, at its first use. That takes half a minute, and a compiler that a user may not have; Gloo does
# the same sums. It asks this table for that kernel alone.
vars(deepspeed.ops)["__compatible_ops__"] = {}
