"""A space that is checked: its draws, what a search would prepare, and the opened data that all checks share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from thalweg.config import FamilyConfig
from thalweg.contract import Batch, Data, Indices, Keys, SplitName, Task
from thalweg.discovery import Family, load_family
from thalweg.errors import StudyError
from thalweg.nn.unallocated import unallocated
from thalweg.search.checks.costs.operations import Counter
from thalweg.search.checks.draws import Draw, Draws, first_trial, middle
from thalweg.search.checks.judgement import Deadline
from thalweg.search.checks.stopper import StoppedError, Stopper
from thalweg.search.checks.unreached import Trace
from thalweg.search.checks.validity import drawn
from thalweg.search.preflight import Prepared, prepare
from thalweg.search.space import Space
from thalweg.search.store.warm_start import StartingPoint, StartingPoints, inherit
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache


@dataclass(frozen=True)
class Examined:
    """A space with its family and data.

    Attributes:
        space: The space.
        output: Folder of all studies, for those that configurations start from.
        root: Folder of all data.
        ignore: Names of tensors that may be equal in different samples; see `thalweg.testing.splits.check_splits`.
        told: Sentences of the preparation for people.
        known: What a search has prepared already.
    """

    space: Space
    output: Path
    root: Path | None = None
    ignore: frozenset[str] = frozenset()
    told: list[str] = field(default_factory=list)
    known: Prepared | None = None
    _counted: dict[int, tuple[FamilyConfig, int]] = field(default_factory=dict)
    _cache: DataCache = field(default_factory=lambda: DataCache(max_open=4))

    @cached_property
    def family(self) -> Family:
        """The family of its configurations."""
        return load_family(self.space.config_type)

    @cached_property
    def drawn(self) -> tuple[Draws, Trace]:
        """Many of its configurations, and the lines that ran for them."""
        return drawn(self.space)

    @property
    def draws(self) -> Draws:
        """Many of its configurations."""
        return self.drawn[0]

    @cached_property
    def bases(self) -> list[Draw]:
        """Configurations in which parameters are changed: all defaults, the study's first trials, and the draws."""
        first = [first_trial(self.space, params) for params in self.space.study.first_trials]
        return [middle(self.space), *(draw for draw in first if draw is not None), *self.draws.whole]

    @cached_property
    def lacking(self) -> str:
        """Why configurations cannot start from the study that they name; empty if they can, or name none."""
        try:
            self._starting_points.points(middle(self.space).config)
        except StudyError as error:
            return str(error)
        return ""

    @cached_property
    def prepared(self) -> Prepared:
        """What a search would prepare; without the starting points of a study that is not there.

        Raises:
            ThalwegError: A search would refuse the space.
        """
        if self.known is not None:
            return self.known
        points = _Nowhere(self.output / self.space.name) if self.lacking else self._starting_points
        return prepare(self.space, self.root, self.told.append, points)

    def task(self, config: FamilyConfig) -> Task[Any, Any]:
        """Returns the task of a configuration, with what it inherits."""
        points = () if self.lacking else self._starting_points.points(config)
        return self.family.task(inherit(config, points))

    def num_parameters(self, config: FamilyConfig) -> int:
        """Returns the parameters of a configuration's model, which is built without numbers."""
        if id(config) not in self._counted:
            with unallocated():
                model = self.task(config).build(None)
            self._counted[id(config)] = config, sum(weight.numel() for weight in model.parameters())
        return self._counted[id(config)][1]

    def data(self, task: Task[Any, Any]) -> Data:
        """Returns the task's data, opened now or before."""
        return self._cache.open(task, self.prepared.data_root, ALONE.device)

    @cached_property
    def seconds_of_sample(self) -> float:
        """How long a model with all defaults takes to evaluate a sample on this machine; once it is warm, if quick."""
        found = [self._first_sample[0]]
        while len(found) < _NUM_TIMED and sum(found) < _TIMED_S:
            found.append(self._seconds_of(1))
        return min(found)

    @cached_property
    def operations_of_sample(self) -> int:
        """Floating-point operations of that."""
        counted = self._first_sample[1]
        return self._counted_sample()[1] if counted is None else counted

    @cached_property
    def _first_sample(self) -> tuple[float, int | None]:
        """Seconds, and operations of a model that is not evaluated twice lightly."""
        if self.num_parameters(self.prepared.config) < _LARGE:
            return self._seconds_of(1), None
        return self._counted_sample()

    def _counted_sample(self) -> tuple[float, int]:
        with Counter() as counter:
            seconds = self._seconds_of(1)
        return seconds, counter.num_operations

    @cached_property
    def seconds_of_another(self) -> float:
        """How much longer it takes for another one in the same batch: little, if one by itself is mostly overhead.

        As long as the first, if that is soon clear.
        """
        each = self.seconds_of_sample
        if each > _HOPELESS_S:
            return each
        try:
            with Stopper(Deadline(_CLEARLY * each)) if each > _SLOW_S else nullcontext():
                return max(0.0, self._seconds_of(2) - each)
        except StoppedError:
            return each

    def _seconds_of(self, num_samples: int) -> float:
        task = self.task(self.prepared.config)
        data = self.data(task)
        model = task.build(task.facts(data)).eval()
        indices = np.arange(min(num_samples, data.num_samples("val")))
        began = time.perf_counter()
        with torch.no_grad():
            task.predict(model, task.evaluation_batch(data, "val", indices))
        return time.perf_counter() - began

    def too_slow(self, num_samples: int, seconds: float) -> str:
        """Returns why a model cannot evaluate so many samples in some seconds; empty if it can."""
        each = self.seconds_of_sample
        if each * num_samples <= seconds or each + self.seconds_of_another * (num_samples - 1) <= seconds:
            return ""
        return f"for time: a sample takes {each:.1f} s here, and {num_samples} of them would be needed"

    @cached_property
    def _starting_points(self) -> StartingPoints:
        return StartingPoints(self.output / self.space.name, own=self.space.name)


class _Nowhere(StartingPoints):
    """No starting points: configurations keep their own knobs and random weights."""

    def points(self, config: FamilyConfig) -> list[StartingPoint]:
        """Returns none."""
        return []


SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
ALONE = ProcessGroup(rank=0, size=1, device=torch.device("cpu"))
"""This process, in which all checks run."""
_NOISE = 0.01  # standard deviation
_NUM_TIMED, _TIMED_S = 3, 2.0  # the first may take a second to load what it needs, on a busy machine
_SLOW_S = 1.0
_LARGE = 1_000_000  # parameters
_HOPELESS_S = 4.0  # more than overhead takes
_CLEARLY = 1.25  # times of a sample: two of them that take longer have little overhead


def spread(count: int, most: int) -> Sequence[int]:
    """Returns numbers of at most so many samples, spread evenly over all, the first and the last among them."""
    if count <= most:
        return range(count)
    if most == 1:
        return [0]
    return sorted({round(place * (count - 1) / (most - 1)) for place in range(most)})


@torch.no_grad()
def disturbed(model: nn.Module) -> nn.Module:
    """Adds noise to a model's weights, so that layers that begin at 0 hand on what they read."""
    for weight in model.parameters():
        weight.add_(torch.randn_like(weight), alpha=_NOISE)
    return model


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
