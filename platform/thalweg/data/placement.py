"""Arrays on the device that computes: uploaded once, gathered there; and what still travels with each batch."""

import numpy as np
import torch
from jaxtyping import Bool, Int64, Shaped, UInt8
from torch import Tensor
from torch.utils.dlpack import from_dlpack

SHARE_OF_FREE = 0.25
"""Most of a device's free memory that data may take: model, optimizer and activations need the rest."""


def free_bytes(device: torch.device) -> int:
    """Returns how much memory a device can give to data: on a CPU none, for its processes share the mapped files."""
    if device.type != "cuda":
        return 0
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def fits(num_bytes: int, device: torch.device) -> bool:
    """Whether data of a size may lie on a device beside a model."""
    return num_bytes <= SHARE_OF_FREE * free_bytes(device)


def upload(array: np.ndarray, device: torch.device) -> Tensor:
    """Copies an array, which may be a read-only map of a file, to a device; its dtype stays."""
    source = from_dlpack(array)
    return torch.empty(source.shape, dtype=source.dtype, device=device).copy_(source)


def gather_there(
    series: Shaped[Tensor, "day modality *item"], starts: Int64[np.ndarray, " window"], length: int
) -> Shaped[Tensor, "window modality time *item"]:
    """Gathers windows out of a day-major tensor on its own device: what `gather` copies out of an array, bit for bit.

    Only the numbers of the rows travel. A thread that draws ahead queues the copy on the device's default stream,
    as the training step does, for neither chooses another: the step finds the windows complete, and nobody waits.
    """
    modalities = series.shape[1]
    days = starts[:, None, None] + np.arange(length)
    rows = days * modalities + np.arange(modalities)[:, None]  # (window, modality, time)
    chosen = send(torch.from_numpy(rows.reshape(-1)), series.device)
    windows = series.flatten(0, 1).index_select(0, chosen)
    return windows.reshape(*rows.shape, *series.shape[2:])


def unpacked(bits: UInt8[Tensor, "*axes byte"], count: int) -> Bool[Tensor, "*axes bit"]:
    """Returns the first `count` bits of each row of bytes, the highest of a byte first, as `numpy.packbits` does."""
    places = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)
    single = (bits[..., None] >> places) & 1
    return single.flatten(-2)[..., :count].bool()


def pin(values: Tensor, device: torch.device) -> Tensor:
    """Returns a CPU tensor that is about to travel to a GPU in page-locked memory, any other as it is."""
    if device.type != "cuda" or values.device.type != "cpu":
        return values
    # Page-locking keeps strides, and nothing may be written where several elements are one, as in an expanded tensor.
    return values.contiguous().pin_memory()


def send(values: Tensor, device: torch.device) -> Tensor:
    """Returns a tensor on a device; a copy to a GPU is queued there, and the host does not wait for it."""
    return pin(values, device).to(device, non_blocking=True)
