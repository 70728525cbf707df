"""Prefetch of batches, and asynchronous copies of scalars to the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from thalweg.data.placement import pin

if TYPE_CHECKING:
    from thalweg.contract import Batch


def prefetch_thread(device: torch.device) -> ThreadPoolExecutor:
    """Returns the one thread that prefetches for a device; without `set_device` it would initialise the first GPU."""
    choose = partial(torch.cuda.set_device, device) if device.type == "cuda" else None
    return ThreadPoolExecutor(1, thread_name_prefix="batch", initializer=choose)


def prefetched(
    executor: ThreadPoolExecutor, sample: Callable[[int], Batch], numbers: Sequence[int]
) -> Iterator[Batch]:
    """Prefetch: yields the batch of each number while the executor samples the next one."""
    waiting = [executor.submit(sample, number) for number in numbers[:1]]
    for place in range(len(numbers)):
        batch = waiting.pop().result()
        waiting += [executor.submit(sample, later) for later in numbers[place + 1 : place + 2]]
        yield batch


def ready_to_travel(batch: Batch, device: torch.device) -> Batch:
    """Returns a batch whose copy to a GPU can be queued: its CPU tensors are pinned, that is in page-locked memory."""
    return {name: pin(values, device) for name, values in batch.items()}


class Arriving:
    """Scalars on their way to the host.

    The copy is queued behind the step that computed them. Reading waits for that step, not for those queued since.

    Args:
        values: fp64 scalars by name, on one device.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self._names = tuple(values)
        together = torch.stack(list(values.values()))
        self._copy = together.to("cpu", non_blocking=True)
        self._event: torch.cuda.Event | None = None
        if together.device.type == "cuda":
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def read(self) -> dict[str, float]:
        """Waits for the copy, and returns the numbers by name."""
        if self._event is not None:
            self._event.synchronize()
        return dict(zip(self._names, self._copy.tolist(), strict=True))
