"""Batches drawn in a thread of their own, while the one before them is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import torch

from thalweg.data.placement import pin

if TYPE_CHECKING:
    from thalweg.contract import Batch


def drawer(device: torch.device) -> ThreadPoolExecutor:
    """Returns the one thread that draws for a device; a thread that chose none would wake the first GPU."""
    choose = partial(torch.cuda.set_device, device) if device.type == "cuda" else None
    return ThreadPoolExecutor(1, thread_name_prefix="batch", initializer=choose)


def each_ahead(
    executor: ThreadPoolExecutor, draw: Callable[[int], Batch], numbers: Sequence[int]
) -> Iterator[Batch]:
    """Yields the batch of each number; the next one is drawn meanwhile."""
    waiting = [executor.submit(draw, number) for number in numbers[:1]]
    for place in range(len(numbers)):
        batch = waiting.pop().result()
        waiting += [executor.submit(draw, later) for later in numbers[place + 1 : place + 2]]
        yield batch


def ready_to_travel(batch: Batch, device: torch.device) -> Batch:
    """Returns a batch whose copy to a GPU can be queued: what is on the CPU in page-locked memory."""
    return {name: pin(values, device) for name, values in batch.items()}
