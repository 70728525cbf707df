"""Places arrays on the training device once and gathers batches there; sends other arrays with each batch."""

import numpy as np
import torch
from jaxtyping import Bool, Int64, Shaped, UInt8
from torch import Tensor
from torch.utils.dlpack import from_dlpack

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
