"""What a study will cost: the smallest and the largest configuration take a few steps, the rest is counted.

What it needs is compared with what this machine has: memory of all lanes, and room for checkpoints.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.contract import Batch, Data, Task
from thalweg.lanes.resources import Gang, lanes_that_fit
from thalweg.nn.unallocated import unallocated
from thalweg.search.checks.draws import Draw
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.search.checks.steps_of_stage import StageSteps
from thalweg.search.replay import written
from thalweg.study import Study
from thalweg.training.guards.control_groups import memory_mib
from thalweg.training.sampling import Layout
from thalweg.training.schedule import Plan
from thalweg.wording import as_seen, some

MAX_BUILT = 64
"""Configurations whose parameters are counted."""
_BYTES_OF_STATE = 16  # weights, gradients and two moments in fp32; as many in a checkpoint, with the masters
_MAX_PROBED = 8  # samples of a step
_MIB = 2**20
_PROCESS_MIB = 700  # of a worker before it has a model: torch, DeepSpeed and Ray
_ON_GPUS = ("the study asks for GPUs, whose speed and memory are not those of this processor",)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What one configuration takes on this machine, in one process.

    Attributes:
        num_parameters: Parameters of the model.
        train_s: Seconds of a training sample.
        evaluate_s: Seconds of an evaluated sample.
        memory_mib: Memory of weights, gradients, optimizer and activations of a micro-batch.
        num_val: Samples of an evaluation.
        not_finite: Parts of the loss that are not finite in the first step, with their stage.
    """

    num_parameters: int
    train_s: float
    evaluate_s: float
    memory_mib: float
    num_val: int
    not_finite: tuple[str, ...] = ()

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
    """Probes the configurations with the fewest and the most parameters, of those that this machine can hold."""
    study = examined.space.study
    sized = _sized(examined, deadline.share(0.4))
    has = memory_mib()
    held = [each for each in sized if each[0] * _BYTES_OF_STATE / _MIB <= has]
    if not held:
        return Judgement(check="cost", warnings=(_too_large(sized[0][0], has),))
    smallest, largest = (probe_of(examined, draw) for draw in (held[0][1], held[-1][1]))
    num_lanes = lanes_of(study)
    hours = [study.num_trials * probe.trial_s(study) / 3600 for probe in (smallest, largest)]
    end = datetime.now() + timedelta(hours=max(hours) / num_lanes)
    disk = _num_kept(study, num_lanes) * sized[-1][0] * _BYTES_OF_STATE / _MIB
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
    needs = (max(smallest.memory_mib, largest.memory_mib) + _PROCESS_MIB) * study.num_workers
    too_large = (_too_large(sized[-1][0], has),) if held[-1] is not sized[-1] else ()
    numbers = {
        "smallest": vars(smallest),
        "largest": vars(largest),
        "lane_hours": hours,
        "disk_mib": disk,
        "lane_mib": needs,
        "num_lanes": num_lanes,
    }
    return Judgement(
        check="cost",
        faults=tuple(_diverging(smallest, held[0][1])) or tuple(_diverging(largest, held[-1][1])),
        warnings=(*too_large, *_short_of(study, num_lanes, needs, has), *_full(disk, examined.output)),
        told=told,
        notes=notes + (_ON_GPUS if study.gpus_per_worker else ()),
        numbers=numbers,
    )


def _diverging(probe: Probe, draw: Draw) -> Iterator[str]:
    """Yields a sentence if a trial would diverge in its first step."""
    if probe.not_finite:
        yield (
            f"the loss must be finite in the first step, got {some(probe.not_finite)} that is not, of a model of "
            f"{probe.num_parameters:,} parameters with {written(draw.params)}; bound what overflows there"
        )


def free_mib(folder: Path) -> float:
    """Returns the room on the disk of a folder in MiB, which may not be there yet."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(there).free / _MIB


def _too_large(num_parameters: int, has: float) -> str:
    return (
        f"{num_parameters:,} parameters take {num_parameters * _BYTES_OF_STATE / _MIB:,.0f} MiB for weights, gradients "
        f"and optimizer alone, and this machine has {has:,.0f} MiB of memory; such a configuration was not probed"
    )


def _short_of(study: Study, num_lanes: int, needs: float, has: float) -> Iterator[str]:
    """Yields a sentence if all lanes together need more memory than there is; that of GPUs is not known here."""
    if study.gpus_per_worker or needs * num_lanes <= has:
        return
    fitting = int(has / needs)
    yield (
        f"{num_lanes} lanes may need {needs * num_lanes:,.0f} MiB of memory, and this machine has {has:,.0f} MiB; "
        + (f"take --lanes {fitting}" if fitting else "take a smaller micro_batch_size, or smaller models")
    )


def _full(needs: float, output: Path) -> Iterator[str]:
    """Yields a sentence if checkpoints need more room than there is."""
    if needs > (has := free_mib(output)):
        yield (
            f"checkpoints may take {needs:,.0f} MiB, and the disk of {as_seen(output)} has {has:,.0f} MiB free; lower "
            "keep_checkpoints or keep_last of the study, or name a folder on another disk with --output"
        )


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
    node = {"CPU": float(os.cpu_count() or 1), "GPU": float(torch.cuda.device_count())}
    gang = Gang(study.num_workers, study.cpus_per_worker, study.gpus_per_worker)
    return max(1, min(study.num_trials, lanes_that_fit(gang, [node])))


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
    seconds, activations, not_finite = 0.0, 0, list[str]()
    for number, stage in enumerate(plan.stages):
        position = plan.ends[number - 1] if number else 0
        steps = StageSteps(stage, plan, [position])
        spent, kept = _probed(steps, task, model, data, size)
        seconds += spent * stage.share
        activations = max(activations, kept)
        not_finite += [
            f"{part} of {stage.name}" for part, value in steps.losses[0].items() if not np.isfinite(value)
        ]
    memory = num_parameters * _BYTES_OF_STATE + activations / size * layout.micro_batch_size
    return Probe(
        num_parameters=num_parameters,
        train_s=seconds,
        evaluate_s=_evaluated(task, model, data),
        memory_mib=memory / _MIB,
        num_val=data.num_samples("val"),
        not_finite=tuple(not_finite),
    )


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
