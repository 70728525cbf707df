"""Whether splits share samples, places or times, and whether statistics were fitted outside the training split."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from thalweg.contract import Data, KnowsFitted, KnowsOrigins, SplitName, Task
from thalweg.errors import FamilyError
from thalweg.search.checks.examined import SPLITS, Examined, SomeSamples
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.testing.splits import UnrecognisedError, check_splits
from thalweg.wording import some

MIN_SAMPLES = 64
"""Samples of each split that are compared whatever the time."""


@dataclass(frozen=True)
class Origins:
    """What a family tells of where its samples come from.

    Attributes:
        by_split: By split, and then by kind, what no two splits may have in common.
        fitted: By kind, what statistics were computed from.
    """

    by_split: Mapping[SplitName, Mapping[str, Sequence[Any]]]
    fitted: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, task: Task[Any, Any], data: Data) -> Origins:
        """Asks a family, which may tell nothing."""
        there = [split for split in SPLITS if data.num_samples(split)]  # not all data sets have all splits
        told = {split: task.origins(data, split) for split in there} if isinstance(task, KnowsOrigins) else {}
        return cls(told, task.fitted_on(data) if isinstance(task, KnowsFitted) else {})

    @property
    def kinds(self) -> list[str]:
        """What is compared."""
        return sorted({kind for found in self.by_split.values() for kind in found})

    def untold(self) -> Iterator[str]:
        """Yields a sentence on what the family, or its data, do not tell."""
        lacking = (("places, times", self.by_split), ("what statistics were fitted on", self.fitted))
        if untold := [what for what, is_told in lacking if not is_told]:
            yield f"not compared, for the family does not tell: {' and '.join(untold)}"

    def faults(self) -> Iterator[str]:
        """Yields a sentence on each kind that two splits share, and on statistics of samples outside train."""
        for one, other in combinations(self.by_split, 2):
            yield from self._in_common(one, other)
        for kind, found in self.fitted.items():
            outside = [
                f"{each} of {split}"
                for split, told in self.by_split.items()
                if split != "train"
                for each in sorted(set(found) & set(told.get(kind, ())))
            ]
            if outside:
                yield (
                    f"statistics must be fitted on train alone, got {kind} {some(outside)}; fit them after the data "
                    "are split"
                )

    def _in_common(self, one: SplitName, other: SplitName) -> Iterator[str]:
        here, there = self.by_split[one], self.by_split[other]
        for kind in sorted(here.keys() & there.keys()):
            if shared := sorted(set(here[kind]) & set(there[kind])):
                yield (
                    f"{one} and {other} must have no {kind} in common, got {some(map(str, shared))}; divide the data "
                    f"by {kind}"
                )


def judge_splits(examined: Examined, deadline: Deadline) -> Judgement:
    """Compares samples of all splits, as many as time allows; then what the family tells of their origins."""
    task = examined.task(examined.prepared.config)
    data = examined.data(task)
    whole = max(data.num_samples(split) for split in SPLITS)
    most, began = min(MIN_SAMPLES, whole), time.thread_time()  # not that of what runs beside a search's check
    origins = Origins.of(task, data)
    try:
        shared = _shared(SomeSamples(task, data, most), examined.ignore)
        if (time.thread_time() - began) * whole / most <= deadline.left:
            most, shared = whole, _shared(task, examined.ignore, data) if most < whole else shared
    except UnrecognisedError as error:
        return _by_origins(origins, str(error))
    # What many samples of a split have in common is no leak, and only all samples tell.
    is_sure = most == whole
    return Judgement(
        check="splits",
        faults=((shared,) if shared and is_sure else ()) + tuple(origins.faults()),
        warnings=(f"of {most:,} samples of each split, which may have it by chance: {shared}",)
        if shared and not is_sure
        else (),
        told="" if shared else f"{most:,} samples of a split have nothing in common with others",
        skipped=() if is_sure else (f"for time: all but {most:,} samples of each split",),
        notes=tuple(origins.untold()),
        numbers={"compared": most, "origins": origins.kinds, "fitted_on": sorted(origins.fitted)},
    )


def _by_origins(origins: Origins, why: str) -> Judgement:
    """Judges splits whose training samples have no value that tells them, as if augmented, or on latents alone."""
    kinds = some(origins.kinds)
    blind = ("values of samples were not compared, for training draws none or changes all",) if kinds else ()
    return Judgement(
        check="splits",
        faults=tuple(origins.faults()) if kinds else (why,),
        told=f"splits have no {kinds} in common" if kinds else "",
        notes=(*origins.untold(), *blind),
        numbers={"compared": 0, "origins": origins.kinds, "fitted_on": sorted(origins.fitted)},
    )


def _shared(part: Any, ignore: frozenset[str], data: Data | None = None) -> str:
    """Returns what splits share, as a sentence; empty if they share nothing.

    Raises:
        UnrecognisedError: Training samples have no value by which they are known again.
    """
    try:
        check_splits(part, part if data is None else data, ignore)
    except UnrecognisedError:
        raise
    except FamilyError as error:
        return str(error)
    return ""
