"""DeepSpeed, without what it and the compilers that it tries say while it is imported, and what it prints later."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["deepspeed"]


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keeps what child processes write away from the terminal: DeepSpeed tries compilers while it is imported."""
    saved = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # read by the import; without it DeepSpeed guesses aloud
os.environ.setdefault("DS_LOG_LEVEL", "error")
with _silent_stderr():
    import deepspeed
    import deepspeed.comm
    import deepspeed.runtime.bf16_optimizer


def _say_nothing(*args: Any, **kwargs: Any) -> None:
    """Takes the place of what reports the memory, with a garbage collection each time, and of ``print``."""


# The optimizer of ZeRO 1 in bf16 prints whenever it is built or loaded.
vars(deepspeed.runtime.bf16_optimizer).update(see_memory_usage=_say_nothing, print=_say_nothing)
