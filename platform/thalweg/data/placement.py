"""Places arrays on the training device once and gathers batches there; sends other arrays with each batch.

A batch on the CPU takes the memory of one that nobody holds any longer. A large array is memory that the system clears
page by page at its first use and takes back at its end, which takes as long as a copy of a batch, and several times as
long where the system has no huge pages left.
"""

import math
import weakref

import numpy as np
import torch
from jaxtyping import Bool, Int64, Shaped, UInt8
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from thalweg.data.windows import gather_into

# Of each size; images and series, of training and of evaluations, and of the last batch of each.
_MAX_FREE, _MAX_SIZES = 2, 8
_free: dict[int, list[UInt8[np.ndarray, " byte"]]] = {}

SHARE_OF_FREE = 0.25
"""Largest share of a device's free memory for data: model, optimizer and activations need the rest."""


def free_bytes(device: torch.device) -> int:
    """Returns the memory of a device that is free for data; 0 on a CPU, where processes share the mapped files."""
    if device.type != "cuda":
        return 0
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def fits(num_bytes: int, device: torch.device) -> bool:
    """Returns whether data of a size fit on a device beside a model."""
    return num_bytes <= SHARE_OF_FREE * free_bytes(device)


def upload(array: np.ndarray, device: torch.device) -> Tensor:
    """Copies an array, which may be a read-only memory map, to a device; the dtype stays."""
    source = from_dlpack(array)
    return torch.empty(source.shape, dtype=source.dtype, device=device).copy_(source)


def gather_there(
    series: Shaped[Tensor, "day modality *item"], starts: Int64[np.ndarray, " window"], length: int
) -> Shaped[Tensor, "window modality time *item"]:
    """Gathers windows from a day-major tensor on its own device, bit for bit like `windows.gather` from an array.

    Only the row numbers are transferred. The prefetch thread queues the gather on the device's default stream, like the
    training step, so that the step finds complete windows without waiting.
    """
    modalities = series.shape[1]
    days = starts[:, None, None] + np.arange(length)
    rows = days * modalities + np.arange(modalities)[:, None]  # (window, modality, time)
    chosen = send(torch.from_numpy(rows.reshape(-1)), series.device)
    windows = series.flatten(0, 1).index_select(0, chosen)
    return windows.reshape(*rows.shape, *series.shape[2:])


def gather_here(
    series: Shaped[np.ndarray, "day modality *item"], starts: Int64[np.ndarray, " window"], length: int
) -> Shaped[Tensor, "window modality time *item"]:
    """Gathers windows like `windows.gather`, as a tensor on the CPU in the memory of `empty`."""
    dtype = torch.from_numpy(np.empty(0, series.dtype)).dtype
    windows = empty(len(starts), series.shape[1], length, *series.shape[2:], dtype=dtype)
    gather_into(windows.numpy(), series, starts)
    return windows


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Shaped[Tensor, "..."]:
    """Returns a tensor with whatever values its memory holds; the memory is free again once no view of it is left."""
    size = math.prod(shape) * dtype.itemsize
    if size == 0:  # numpy gives such an array no strides, and torch then sees it as no other type
        return torch.empty(shape, dtype=dtype)
    try:
        memory = _free[size].pop()
    except (KeyError, IndexError):  # asked for forgiveness, as other threads and finalizers may come between
        memory = np.empty(size, np.uint8)
    lent = memory[:]  # all that tensors hold, so that its end is theirs
    weakref.finalize(lent, _give_back, memory).atexit = False
    return torch.from_numpy(lent).view(dtype).view(shape)


def free() -> None:
    """Gives memory of batches that are gone back to the system: the next trial may have batches of other sizes."""
    _free.clear()


def _give_back(memory: UInt8[np.ndarray, " byte"]) -> None:
    if memory.size not in _free and len(_free) >= _MAX_SIZES:
        _free.clear()
    kept = _free.setdefault(memory.size, [])
    if len(kept) < _MAX_FREE:
        kept.append(memory)


def unpacked(bits: UInt8[Tensor, "*axes byte"], count: int) -> Bool[Tensor, "*axes bit"]:
    """Returns the first `count` bits of each row of bytes, most significant bit first, as in `numpy.packbits`."""
    places = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)
    single = (bits[..., None] >> places) & 1
    return single.flatten(-2)[..., :count].bool()


def pin(values: Tensor, device: torch.device) -> Tensor:
    """Returns a CPU tensor in page-locked memory if it will be copied to a GPU; other tensors stay as they are."""
    if device.type != "cuda" or values.device.type != "cpu":
        return values
    # Page-locking keeps strides; an expanded tensor, whose elements share memory, must be made contiguous before.
    return values.contiguous().pin_memory()


def send(values: Tensor, device: torch.device) -> Tensor:
    """Returns a tensor on a device; a copy to a GPU is asynchronous."""
    return pin(values, device).to(device, non_blocking=True)
