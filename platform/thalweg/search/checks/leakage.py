"""Whether splits share samples, places or times, and whether statistics were fitted outside the training split."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.contract import Batch, Data, Indices, Keys, KnowsFitted, KnowsOrigins, SplitName, Task
from thalweg.errors import FamilyError
from thalweg.search.checks.examined import Examined, spread
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.testing.splits import check_splits
from thalweg.wording import some

MIN_SAMPLES = 64
"""Samples of each split that are compared whatever the time."""
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


class SomeSamples:
    """A task and its data with fewer samples: those next to the ends of a split, and others spread over it.

    Windows overlap with those of another split at the ends of a period.

    Args:
        task: The task.
        data: Opened data.
        most: Samples of each split.
    """

    def __init__(self, task: Task[Any, Any], data: Data, most: int) -> None:
        self._task = task
        self._data = data
        self._chosen = {split: _chosen(data.num_samples(split), most) for split in SPLITS}
        self.fingerprint = data.fingerprint
        self.notes = data.notes

    def num_samples(self, split: SplitName) -> int:
        """Number of the samples that were chosen."""
        return len(self._chosen[split])

    def training_batch(self, data: Any, indices: Indices, keys: Keys) -> Batch:
        """Samples a batch for training."""
        return self._task.training_batch(self._data, self._chosen["train"][indices], keys)

    def evaluation_batch(self, data: Any, split: SplitName, indices: Indices) -> Batch:
        """Samples a batch of a split for evaluation."""
        return self._task.evaluation_batch(self._data, split, self._chosen[split][indices])


def _chosen(count: int, most: int) -> Indices:
    if count <= most:
        return np.arange(count)
    edge = most // 4
    ends = {*range(edge), *range(count - edge, count)}
    return np.array(sorted(ends | set(spread(count, most - 2 * edge))), np.int64)


def judge_splits(examined: Examined, deadline: Deadline) -> Judgement:
    """Compares samples of all splits, as many as time allows; then what the family tells of their origins."""
    task = examined.task(examined.prepared.config)
    data = examined.data(task)
    whole = max(data.num_samples(split) for split in SPLITS)
    most, began = min(MIN_SAMPLES, whole), time.monotonic()
    shared = _shared(SomeSamples(task, data, most), examined.ignore)
    if (time.monotonic() - began) * whole / most <= deadline.left:
        most, shared = whole, _shared(task, examined.ignore, data) if most < whole else shared
    # What many samples of a split have in common is no leak, and only all samples tell.
    is_sure = most == whole
    return Judgement(
        check="splits",
        faults=((shared,) if shared and is_sure else ()) + tuple(_origins(task, data)),
        warnings=(f"of {most:,} samples of each split, which may have it by chance: {shared}",)
        if shared and not is_sure
        else (),
        told="" if shared else f"{most:,} samples of a split have nothing in common with others",
        skipped=() if is_sure else (f"for time: all but {most:,} samples of each split",),
        notes=tuple(_unknown(task)),
        numbers={"compared": most},
    )


def _unknown(task: Task[Any, Any]) -> Iterator[str]:
    """Yields a sentence on what the family does not tell."""
    lacking = (
        ("places, times", isinstance(task, KnowsOrigins)),
        ("what statistics were fitted on", isinstance(task, KnowsFitted)),
    )
    if untold := [what for what, is_told in lacking if not is_told]:
        yield f"not compared, for the family does not tell: {' and '.join(untold)}"


def _shared(part: Any, ignore: frozenset[str], data: Data | None = None) -> str:
    """Returns what splits share, as a sentence; empty if they share nothing."""
    try:
        check_splits(part, part if data is None else data, ignore)
    except FamilyError as error:
        return str(error)
    return ""


def _origins(task: Task[Any, Any], data: Data) -> Iterator[str]:
    """Yields a sentence on each kind of origin that two splits have in common, and on statistics from outside train."""
    if not isinstance(task, KnowsOrigins):
        return
    told = {split: task.origins(data, split) for split in SPLITS if data.num_samples(split)}
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        if one in told and other in told:  # not all data sets have all splits
            yield from _in_common(told, one, other)
    for kind, found in (task.fitted_on(data) if isinstance(task, KnowsFitted) else {}).items():
        outside = sorted(set(found) - set(told["train"].get(kind, ())))
        if outside:
            yield (
                f"statistics must be fitted on train alone, got {kind} {some(map(str, outside))}, which train does "
                "not have; fit them after the data are split"
            )


def _in_common(told: Mapping[Any, Mapping[str, Sequence[Any]]], one: str, other: str) -> Iterator[str]:
    for kind in told[one].keys() & told[other].keys():
        if shared := sorted(set(told[one][kind]) & set(told[other][kind])):
            yield (
                f"{one} and {other} must have no {kind} in common, got {some(map(str, shared))}; divide the data by "
                f"{kind}"
            )
