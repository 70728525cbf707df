"""Memory of batches that nobody holds any longer, for the next ones.

A large array is memory that the system clears page by page at its first use and takes back at its end. For batches of
scenes that takes as long as reading them.
"""

import math
import weakref

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

_MAX_FREE, _MAX_SIZES = 2, 4  # of each size; of training and of an evaluation, for two sensors
_free: dict[int, list[Float32[np.ndarray, " value"]]] = {}


def empty(*shape: int) -> Float32[Tensor, "..."]:
    """Returns a tensor with whatever values its memory holds; the memory is free again once no view of it is left."""
    size = math.prod(shape)
    try:
        memory = _free[size].pop()
    except (KeyError, IndexError):  # asked for forgiveness, as other threads and finalizers may come between
        memory = np.empty(size, np.float32)
    lent = memory.reshape(shape)  # all that tensors hold, so that its end is theirs
    weakref.finalize(lent, _give_back, memory).atexit = False
    return torch.from_numpy(lent)


def _give_back(memory: Float32[np.ndarray, " value"]) -> None:
    if memory.size not in _free and len(_free) >= _MAX_SIZES:
        _free.clear()
    kept = _free.setdefault(memory.size, [])
    if len(kept) < _MAX_FREE:
        kept.append(memory)
