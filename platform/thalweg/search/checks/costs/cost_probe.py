"""What a study will cost: the smallest and the largest configuration take a few steps, the rest is counted.

What it needs is compared with what this machine has: memory of all lanes, and room for checkpoints.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import torch

from thalweg.lanes.resources import Gang, lanes_that_fit
from thalweg.search.checks.costs.probing import BYTES_OF_STATE, Probe, Prober
from thalweg.search.checks.costs.reckoning import UnreckonableError
from thalweg.search.checks.draws import Draw
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.search.checks.stopper import StoppedError
from thalweg.search.replay import written
from thalweg.study import Study
from thalweg.training.guards.control_groups import memory_mib
from thalweg.wording import as_seen, some

MAX_BUILT = 64
"""Configurations whose parameters are counted."""
_MIB = 2**20
_MAX_HOURS = 365.25 * 24  # up to which an end has a date
_PROCESS_MIB = 700  # of a worker before it has a model: torch, DeepSpeed and Ray
_ON_GPUS = ("the study asks for GPUs, whose speed and memory are not those of this processor",)


def judge_cost(examined: Examined, deadline: Deadline) -> Judgement:
    """Probes the configurations with the fewest and the most parameters, of those that this machine can hold.

    The second is reckoned from the first if a step of it takes more time or memory than there is.
    """
    study = examined.space.study
    sized = _sized(examined, deadline.share(0.4))
    has = memory_mib()
    held = [each for each in sized if each[0] * BYTES_OF_STATE / _MIB <= has]
    if not held:
        return Judgement(check="cost", warnings=(_too_large(sized[0][0], has),))
    prober = Prober(examined)
    try:
        smallest = prober.probe(held[0][1], deadline.share(0.5))
        largest = prober.probe(held[-1][1], deadline)
    except (StoppedError, UnreckonableError) as error:
        return Judgement(check="cost", told="no step taken", skipped=(f"for time: {error}",))
    probes = (smallest, largest)
    num_lanes = lanes_of(study)
    hours = [study.num_trials * probe.trial_s(study) / 3600 for probe in probes]
    disk = _num_kept(study, num_lanes) * sized[-1][0] * BYTES_OF_STATE / _MIB
    needs = (max(probe.memory_mib for probe in probes) + _PROCESS_MIB) * study.num_workers
    too_large = (_too_large(sized[-1][0], has),) if held[-1] is not sized[-1] else ()
    return Judgement(
        check="cost",
        faults=tuple(_diverging(smallest, held[0][1])) or tuple(_diverging(largest, held[-1][1])),
        warnings=(*too_large, *_short_of(study, num_lanes, needs, has), *_full(disk, examined.output)),
        told=_told(probes),
        notes=(
            *_notes(hours, num_lanes, disk),
            *_reckoned(probes),
            *(_ON_GPUS if study.gpus_per_worker else ()),
        ),
        numbers={
            "smallest": vars(smallest),
            "largest": vars(largest),
            "lane_hours": hours,
            "disk_mib": disk,
            "lane_mib": needs,
            "num_lanes": num_lanes,
        },
    )


def _told(probes: tuple[Probe, Probe]) -> str:
    return (
        f"{_range(*(f'{probe.num_parameters:,}' for probe in probes))} parameters, "
        f"{_range(*(_rate(1 / probe.train_s) for probe in probes))} samples/s, "
        f"{_range(*(f'{probe.memory_mib:,.0f}' for probe in probes))} MiB of a lane"
    )


def _notes(hours: list[float], num_lanes: int, disk: float) -> Iterator[str]:
    yield (
        f"{_range(*(f'{value:.2g}' for value in sorted(hours)))} lane-hours if no trial is stopped early; with "
        f"{num_lanes} of them on this processor {_end(max(hours) / num_lanes)}; checkpoints take up to {disk:,.0f} MiB"
    )


def _end(hours: float) -> str:
    if hours > _MAX_HOURS:
        return f"after {hours / _MAX_HOURS:,.1f} years"
    return f"at the latest {datetime.now() + timedelta(hours=hours):%a %d %b %H:%M}"


def _reckoned(probes: tuple[Probe, Probe]) -> Iterator[str]:
    """Yields a sentence on what was reckoned, and from what."""
    which = [name for name, probe in zip(("smallest", "largest"), probes, strict=True) if probe.reckoned_from]
    if which:
        found = [probe for probe in probes if probe.reckoned_from]
        work = _range(*(f"{found[place].num_operations:.1e}" for place in (0, -1)))
        yield (
            f"reckoned, not measured: the {' and the '.join(which)}, a step of which takes too long here: {work} "
            f"floating-point operations of a training sample at the pace of {found[0].reckoned_from}; memory from the "
            "sizes of weights, gradients, optimizer and what the backward pass reads"
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
        f"{num_parameters:,} parameters take {num_parameters * BYTES_OF_STATE / _MIB:,.0f} MiB for weights, gradients "
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


def _sized(examined: Examined, deadline: Deadline) -> Sequence[tuple[int, Draw]]:
    """Returns configurations with their numbers of parameters, ascending."""
    found: list[tuple[int, Draw]] = []
    for draw in examined.draws.whole[:MAX_BUILT]:
        found.append((examined.num_parameters(draw.config), draw))
        if deadline.has_passed:
            break
    return sorted(found, key=lambda each: each[0])


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
