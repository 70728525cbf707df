"""What a study will cost: the smallest and the largest configuration take a few steps, the rest is counted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.contract import Batch, Data, Task
from thalweg.nn.unallocated import unallocated
from thalweg.search.checks.draws import Draw
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.search.checks.steps_of_stage import StageSteps
from thalweg.study import Study
from thalweg.training.sampling import Layout
from thalweg.training.schedule import Plan

MAX_BUILT = 64
"""Configurations whose parameters are counted."""
_BYTES_OF_STATE = 16  # weights, gradients and two moments in fp32; as many in a checkpoint, with the masters
_MAX_PROBED = 8  # samples of a step
_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What one configuration takes on this machine, in one process.

    Attributes:
        num_parameters: Parameters of the model.
        train_s: Seconds of a training sample.
        evaluate_s: Seconds of an evaluated sample.
        memory_mib: Memory of weights, gradients, optimizer and activations of a micro-batch.
        num_val: Samples of an evaluation.
    """

    num_parameters: int
    train_s: float
    evaluate_s: float
    memory_mib: float
    num_val: int

    def trial_s(self, study: Study) -> float:
        """Returns the seconds of a trial that is not stopped early."""
        return study.samples * self.train_s + study.num_evaluations * self.num_val * self.evaluate_s


class Activations:
    """Counts the bytes that a forward pass keeps for the backward pass.

    Args:
        weights: Tensors that are kept anyway, and not counted.
    """

    def __init__(self, weights: Iterable[Tensor] = ()) -> None:
        self._weights = {weight.untyped_storage().data_ptr() for weight in weights}
        self._kept: dict[int, int] = {}

    def hooks(self) -> Any:
        """Returns a context in which tensors are counted."""
        return torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors that were kept."""
        return sum(self._kept.values())

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._weights:
            self._kept[storage.data_ptr()] = storage.nbytes()
        return tensor


def judge_cost(examined: Examined, deadline: Deadline) -> Judgement:
    """Probes the configurations with the fewest and the most parameters."""
    study = examined.space.study
    sized = _sized(examined, deadline.share(0.4))
    smallest, largest = (probe_of(examined, draw) for draw in (sized[0][1], sized[-1][1]))
    num_lanes = lanes_of(study)
    hours = [study.num_trials * probe.trial_s(study) / 3600 for probe in (smallest, largest)]
    end = datetime.now() + timedelta(hours=max(hours) / num_lanes)
    disk = _num_kept(study, num_lanes) * largest.num_parameters * _BYTES_OF_STATE / _MIB
    told = (
        f"{_range(*(f'{probe.num_parameters:,}' for probe in (smallest, largest)))} parameters, "
        f"{_range(*(f'{1 / probe.train_s:,.0f}' for probe in (smallest, largest)))} samples/s, "
        f"{_range(*(f'{probe.memory_mib:,.0f}' for probe in (smallest, largest)))} MiB of a lane"
    )
    notes = (
        f"{_range(*(f'{value:.2g}' for value in sorted(hours)))} lane-hours if no trial is stopped early; with "
        f"{num_lanes} of them on this processor at the latest {end:%a %d %b %H:%M}; checkpoints take up to "
        f"{disk:,.0f} MiB",
    )
    numbers = {"smallest": vars(smallest), "largest": vars(largest), "lane_hours": hours, "disk_mib": disk}
    return Judgement(check="cost", told=told, notes=notes, numbers=numbers)


def _num_kept(study: Study, num_lanes: int) -> int:
    """Returns the largest number of checkpoints that a study holds at a time."""
    best = study.keep_checkpoints * (study.keep_last + 1)
    # Of n trials, n / factor may pass the first rung, n / factor**2 the second one, ...: they wait with a checkpoint.
    waiting = study.num_trials // (study.reduction_factor - 1) if study.promotes else 0
    if study.population is not None:  # its members rest with a checkpoint, and heirs have copies
        waiting = 2 * study.population.size
    return best + num_lanes * study.keep_last + waiting * study.keep_last


def lanes_of(study: Study) -> int:
    """Returns how many trials train at once on this machine."""
    if study.num_lanes != "auto":
        return study.num_lanes
    cores = (study.num_workers * study.cpus_per_worker) or 1.0
    return max(1, min(study.num_trials, int((os.cpu_count() or 1) / cores)))


def probe_of(examined: Examined, draw: Draw) -> Probe:
    """Takes a step of each stage, and an evaluation, of some samples."""
    task = examined.task(draw.config)
    data = examined.data(task)
    torch.default_generator.manual_seed(draw.config.seed)
    model = task.build(task.facts(data))
    knobs = draw.config.optimization
    layout = Layout.of(knobs.batch_size, knobs.micro_batch_size, examined.space.study.num_workers)
    size = min(layout.micro_batch_size, _MAX_PROBED, data.num_samples("train"))
    plan = Plan.lay(task.stages(), examined.space.study.samples)
    num_parameters = sum(weight.numel() for weight in model.parameters())
    seconds, activations = 0.0, 0
    for number, stage in enumerate(plan.stages):
        position = plan.ends[number - 1] if number else 0
        spent, kept = _probed(StageSteps(stage, plan, [position]), task, model, data, size)
        seconds += spent * stage.share
        activations = max(activations, kept)
    memory = num_parameters * _BYTES_OF_STATE + activations / size * layout.micro_batch_size
    return Probe(
        num_parameters=num_parameters,
        train_s=seconds,
        evaluate_s=_evaluated(task, model, data),
        memory_mib=memory / _MIB,
        num_val=data.num_samples("val"),
    )


def seconds_of_sample(examined: Examined) -> float:
    """Returns how long a model with all defaults takes to evaluate a sample on this machine."""
    task = examined.task(examined.prepared.config)
    data = examined.data(task)
    model = task.build(task.facts(data)).eval()
    began = time.perf_counter()
    with torch.no_grad():
        task.predict(model, task.evaluation_batch(data, "val", np.arange(1)))
    return time.perf_counter() - began


def _probed(
    steps: StageSteps, task: Task[Any, Any], model: nn.Module, data: Data, size: int
) -> tuple[float, int]:
    """Returns seconds of a sample, the batch included, and the bytes of the activations of all."""
    indices = np.arange(size)

    def batch() -> Batch:
        sample = steps.stage.batch or task.training_batch
        return sample(data, indices, indices.astype(np.uint64))

    steps.begin(model, data)
    activations = Activations(model.parameters())
    with activations.hooks():
        steps.step(model, batch(), 0)
    began = time.perf_counter()
    steps.step(model, batch(), 0)
    return (time.perf_counter() - began) / size, activations.num_bytes


@torch.no_grad()
def _evaluated(task: Task[Any, Any], model: nn.Module, data: Data) -> float:
    indices = np.arange(min(_MAX_PROBED, data.num_samples("val")))
    began = time.perf_counter()
    task.predict(model.eval(), task.evaluation_batch(data, "val", indices))
    return (time.perf_counter() - began) / len(indices)


def _sized(examined: Examined, deadline: Deadline) -> Sequence[tuple[int, Draw]]:
    """Returns configurations with their numbers of parameters, ascending."""
    found: list[tuple[int, Draw]] = []
    for draw in examined.draws.whole[:MAX_BUILT]:
        with unallocated():
            model = examined.task(draw.config).build(None)
        found.append((sum(weight.numel() for weight in model.parameters()), draw))
        if deadline.has_passed:
            break
    return sorted(found, key=lambda each: each[0])


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
