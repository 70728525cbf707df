"""The arms of step_time.py on a GPU: bf16, several windows a step, times between events on the GPU.

Both arms train the same weights on the same windows, which lie on the GPU. Before any time is read, their losses
without dropout must agree to four decimals in fp32, without TF32. The floor is what the matrix products of a step would
take at the best rate of bf16 products in this run. The arms take turns; the fastest step of each counts.
"""

import gc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.published_mae import PublishedAutoencoder, full_grids
from benchmarks.step_time import (
    ARMS,
    adamw,
    build,
    configuration,
    products,
    reconstruction,
    training_batch,
    weighted,
)
from thalweg.errors import ConfigError
from thalweg.stage_contract import Progress
from trainables.water_mae.task import WaterMAETask

NUM_ROUNDS, NUM_WARM_UP, NUM_STEPS = 2, 3, 8
MAX_DIFFERENCE = 5e-5
NUM_CHECKED_DAYS = 10
SHAPES = ((8192, 8192, 8192), (4096, 4096, 4096), (27360, 256, 1024), (27360, 1024, 256), (126272, 256, 768))
"""Rows, columns and inner sizes: square ones, and those of the layers for 16 windows."""

Parts = Callable[[], dict[str, Tensor]]


def loss_of(arm: str, config: Any, size: int, device: torch.device, dtype: torch.dtype) -> tuple[Any, Parts]:
    """Returns the module of an arm on a device, and what computes its mean loss parts over a batch."""
    model, batch, task = build(config), training_batch(config, size), WaterMAETask(config)
    module: nn.Module = model
    if arm == "published":
        module = PublishedAutoencoder(model, config.model.dropout)
        batch = full_grids(model, batch)
    module.to(device, dtype)
    there = {name: values.to(device) for name, values in batch.items()}
    if arm == "published":
        return module, lambda: module(there)
    now = Progress(samples=0, total_samples=1, stage="train", stage_ratio=0.0)
    return module, lambda: {
        name: part / size for name, part in reconstruction(task).parts(model, there, now).items()
    }


@torch.no_grad()
def largest_difference(num_days: int, size: int, device: torch.device) -> float:
    """Compares the arms' losses in fp32 without dropout."""
    config = configuration(num_days, dropout=0.0)
    one, other = ({k: float(v) for k, v in _losses(arm, config, size, device).items()} for arm in ARMS)
    return max(abs(one[name] - other[name]) for name in one)


def _losses(arm: str, config: Any, size: int, device: torch.device) -> dict[str, Tensor]:
    return loss_of(arm, config, size, device, torch.float32)[1]()


def stepper(arm: str, num_days: int, size: int, device: torch.device) -> Callable[[], None]:
    """Returns what takes a training step of an arm in bf16, without reading anything back."""
    config = configuration(num_days, dropout=0.1)
    module, compute = loss_of(arm, config, size, device, torch.bfloat16)
    module.train()
    optimizer = adamw(config, module)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        weighted(config, compute()).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), config.optimization.clip_norm)
        optimizer.step()

    return step


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """Returns the time of the fastest of several runs, one right after the other, between events on the GPU."""
    events: list[Any] = [
        torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(repeats + 1)
    ]
    events[0].record()
    for event in events[1:]:
        run()
        event.record()
    torch.cuda.synchronize()
    return min(float(began.elapsed_time(ended)) for began, ended in pairwise(events)) / 1e3


def step_time(arm: str, num_days: int, size: int, device: torch.device) -> tuple[float, float]:
    """Returns seconds of the fastest step of an arm and its peak memory in MiB, and frees it."""
    step = stepper(arm, num_days, size, device)
    for _ in range(NUM_WARM_UP):
        step()
    torch.cuda.reset_peak_memory_stats(device)
    found = seconds(step, NUM_STEPS), torch.cuda.max_memory_allocated(device) / 2**20
    del step
    gc.collect()
    torch.cuda.empty_cache()
    return found


def matmul_rate(device: torch.device) -> float:
    """Returns the best rate of matrix products in bf16, in 1e9 operations per second."""
    best = 0.0
    for rows, columns, inner in SHAPES:
        a = torch.randn(rows, inner, device=device, dtype=torch.bfloat16)
        b = torch.randn(inner, columns, device=device, dtype=torch.bfloat16)
        torch.mm(a, b)
        best = max(best, 2e-9 * rows * columns * inner / seconds(lambda a=a, b=b: torch.mm(a, b), 20))  # type: ignore[misc]
    return best


def measure(num_days: int, size: int) -> list[dict[str, Any]]:
    """Measures both arms in turn and returns the figures and their goals.

    Raises:
        ConfigError: There is no GPU, or the arms do not compute the same.
    """
    if not torch.cuda.is_available():
        raise ConfigError("--device cuda needs a GPU that torch can use, got none; leave the option out")
    device = torch.device("cuda", torch.cuda.current_device())
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    difference = largest_difference(NUM_CHECKED_DAYS, 2, device)
    if difference >= MAX_DIFFERENCE:
        raise ConfigError(f"the arms must compute the same, got losses that differ by {difference}")
    rates, found = [], dict[str, list[tuple[float, float]]]({arm: [] for arm in ARMS})
    for _ in range(NUM_ROUNDS):
        rates.append(matmul_rate(device))
        for arm in ARMS:
            found[arm].append(step_time(arm, num_days, size, device))
    return figures(found, max(rates), size * products(num_days)[""], difference)


def figures(
    found: dict[str, list[tuple[float, float]]], rate: float, gigaflop: float, difference: float
) -> list[dict[str, Any]]:
    """Returns the figures of the fastest steps and their goals.

    Args:
        found: Seconds and MiB of each round, by arm.
        rate: Best rate of matrix products in 1e9 operations per second.
        gigaflop: Matrix products of a step in 1e9 operations.
        difference: Largest difference of a loss.
    """
    rows: list[dict[str, Any]] = []

    def add(name: str, value: float, unit: str, goal: str = "", met: bool | None = None) -> None:
        rows.append({"name": name, "value": float(f"{value:.6g}"), "unit": unit, "goal": goal, "met": met})

    add("largest difference of a loss", difference, "1")
    for arm in ARMS:
        add(f"{arm}: time of a step", min(found[arm])[0], "s")
        add(f"{arm}: peak memory", min(mib for _, mib in found[arm]), "MiB")
    add("matrix products of a step", gigaflop, "GFLOP")
    add("best rate of matrix products", rate, "GFLOP/s")
    add("floor: matrix products alone", gigaflop / rate, "s")
    published, ours = (min(found[arm])[0] for arm in ARMS)
    add("published / ours, time", published / ours, "1", "at least 4", published / ours >= 4)
    above = ours * rate / gigaflop
    add("ours / floor", above, "1", "at most 2", above <= 2)
    return rows
