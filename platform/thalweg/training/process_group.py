"""The process group that a trial trains in: joined once per process, whoever launched it.

Ray Train, ``torchrun`` and the ``deepspeed`` launcher set the group up or leave its address in the
environment; a process that was launched alone becomes a group of one.
"""

import atexit
import logging
import os
import tempfile
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import FileStore  # type: ignore[attr-defined]

from thalweg.errors import FamilyError, ThalwegError
from thalweg.training.engine.quiet_deepspeed import deepspeed

_TORCH_FAULTS = ("gloo", "nccl", "cuda error", "connection reset", "connection closed")

FP32_PRECISION = "ieee"
"""How a GPU multiplies numbers in fp32: as they are, not rounded to TF32. A trial's records hold it."""


class Beats:
    """Heartbeats: counts the batches that a worker has sampled, as a sign of progress."""

    def __init__(self) -> None:
        self.count = 0

    def add(self) -> None:
        """Counts one batch."""
        self.count += 1


@dataclass(frozen=True)
class ProcessGroup:
    """This process among the workers that train one trial together.

    Attributes:
        rank: Number of this worker, from 0.
        size: Number of workers.
        device: Where this worker computes.
        host: Gloo group for tensors on the CPU; None if the default group serves them.
        beats: Heartbeats of this worker.
    """

    rank: int
    size: int
    device: torch.device
    host: dist.ProcessGroup | None = None
    beats: Beats = field(default_factory=Beats, compare=False)

    def sum(self, values: Tensor) -> Tensor:
        """Adds a tensor over all workers, in place, and returns it.

        A tensor on the CPU is added there, so that no GPU is waited for.

        Args:
            values: Any shape, the same on all workers. Every worker must call.
        """
        if self.size > 1:
            dist.all_reduce(values, group=self.host if values.device.type == "cpu" else None)
        return values

    def largest(self, value: float) -> float:
        """Returns the largest of the workers' values. Every worker must call."""
        everyone = torch.zeros(self.size, dtype=torch.float64)
        everyone[self.rank] = value
        return float(self.sum(everyone).max())

    def gather(self, values: Tensor) -> tuple[Tensor, ...]:
        """Returns the tensors of all workers by rank, on this worker's device.

        Args:
            values: Shape (row, ...), of any type; the number of rows may differ between workers. Every worker must
                call.

        Raises:
            FamilyError: Rows have other shapes or types on other workers; on all ranks alike.
        """
        if self.size == 1:
            return (values,)
        form = f"{tuple(values.shape[1:])} {values.dtype}"
        everyone = torch.zeros(self.size, 2, dtype=torch.int64)
        everyone[self.rank, 0], everyone[self.rank, 1] = len(values), zlib.crc32(form.encode())
        counts, forms = self.sum(everyone).T.tolist()
        if len(set(forms)) > 1:
            raise FamilyError(
                f"rows of samples must have the same shape and type on all workers, got {form} on one and others on "
                "another; pad them to one shape"
            )
        padded = values.new_zeros((max(counts), *values.shape[1:]))
        padded[: len(values)] = values
        # As bytes: neither Gloo nor NCCL joins all types, such as int16.
        sent = padded[..., None].view(torch.uint8)
        parts = [torch.empty_like(sent) for _ in counts]
        dist.all_gather(parts, sent, group=self.host if sent.device.type == "cpu" else None)
        received = (rows.view(values.dtype)[..., 0] for rows in parts)
        return tuple(rows[:count] for rows, count in zip(received, counts, strict=True))

    def broadcast(self, values: Tensor) -> Tensor:
        """Copies the first worker's tensor to all workers, in place, and returns it.

        Args:
            values: Any shape, the same on all workers; on the worker's device. Every worker must call.
        """
        if self.size > 1:
            dist.broadcast(values, src=0)
        return values

    def all_agree(self, fine: bool) -> bool:
        """Returns whether all workers pass True, so that they decide alike. Every worker must call."""
        return int(self.sum(torch.tensor(int(not fine)))) == 0

    def same(self, value: Any) -> Any:
        """Returns what the first worker holds, on every worker. Every worker must call.

        Args:
            value: Anything that can be pickled; that of other workers does not count.
        """
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.host)
        return box[0]

    def seed(self, seed: int) -> None:
        """Seeds this worker's generators; unlike `torch.manual_seed` it records no traceback, which takes 1 ms."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def barrier(self) -> None:
        """Waits until every worker has called it."""
        if self.size > 1:
            dist.barrier()


def join(num_threads: int = 1) -> ProcessGroup:
    """Joins the process group, or makes a group of one, and prepares DeepSpeed's communication.

    Args:
        num_threads: Threads of torch's CPU kernels. It is part of what makes a result reproducible bit for bit.
    """
    torch.set_num_threads(num_threads)
    device = _device()
    _quiet()
    if not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        if "RANK" in os.environ and "MASTER_ADDR" in os.environ:
            dist.init_process_group(backend)
        else:
            os.environ.setdefault("LOCAL_RANK", "0")  # DeepSpeed asks for it
            store = FileStore(str(Path(tempfile.mkdtemp(prefix="thalweg-")) / "group"), 1)
            dist.init_process_group(backend, store=store, rank=0, world_size=1)
        atexit.register(_leave)
    _join_deepspeed()
    _compute_alike()
    size = dist.get_world_size()
    # NCCL joins only what lies on GPUs. Counts and decisions are known on the CPU; to send them there and back
    # would make each step wait for its GPU.
    host = dist.new_group(backend="gloo") if device.type == "cuda" and size > 1 else None
    assert not isinstance(host, int)  # torch's number for a process outside a group
    return ProcessGroup(dist.get_rank(), size, device, host)


def _leave() -> None:
    # Gloo's threads would outlive the interpreter, which now and then aborts the process after its work is done.
    if dist.is_initialized():
        dist.destroy_process_group()


def is_group_fault(error: BaseException) -> bool:
    """Returns whether an exception means that processes or devices are gone, and not that the trial is wrong."""
    if isinstance(
        error, ThalwegError
    ):  # it says what it is, in words of its own, with names that users chose
        return False
    text = str(error).lower()
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in text for word in _TORCH_FAULTS)
    )


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    index = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def _compute_alike() -> None:
    """Makes a GPU compute the same numbers in each run, and fp32 in fp32.

    cuDNN would time its kernels and choose by chance among those that add in any order. It would also round the inputs
    of fp32 convolutions to TF32, with 10 bits of mantissa, which matrix products do not: a trial that asks
    for fp32 wants neither, and one that wants speed asks for bf16. Not chosen is torch's deterministic mode,
    which refuses layers that have no such kernel; so the gradient of fused attention on a GPU may still differ in
    its last bits.
    """
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    # After the newer names (fp32_precision) torch refuses to read these, which its own cudnn.flags() does.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _quiet() -> None:
    """Silences import chatter of libraries; errors still come through."""
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module="torch.*")


def _join_deepspeed() -> None:
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    if not deepspeed.comm.is_initialized():
        deepspeed.init_distributed(dist_init_required=False)
