"""The lineage of a trial of a population: the segments of its schedule, each trained with values of its own.

A trial that continues another one with other values begins at the other's checkpoint. What its weights went through is
the chain of these trials, each up to the samples at which the next one begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import StudyError
from thalweg.search.store.records import StudyRecord, TrialRecord

Point = tuple[int, float]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a training with values that stay.

    Attributes:
        trial: Number of the trial that trained it.
        start: Samples at its beginning.
        end: Samples at its end.
        params: The searched parameters.
        config: The configuration as JSON.
        curve: (samples, objective) at its evaluations.
        trained: Circumstances of its training.
    """

    trial: int
    start: int
    end: int
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    curve: tuple[Point, ...]
    trained: tuple[Mapping[str, Any], ...] = ()


def chain(trials: Sequence[TrialRecord], number: int) -> tuple[Segment, ...]:
    """Returns the segments of a trial's schedule in their order; one for a trial that continues no other.

    Args:
        trials: All trials of the study.
        number: Number of the trial.
    """
    known = {trial.number: trial for trial in trials}
    found: list[Segment] = []
    trial: TrialRecord | None = known[number]
    end = known[number].samples
    while trial is not None:
        start = trial.parent_samples
        segment = Segment(
            trial=trial.number,
            start=start,
            end=end,
            params=trial.params,
            config=trial.config,
            curve=tuple(point for point in trial.curve if start < point[0] <= end),
            trained=tuple(one for one in trial.trained if one.get("since", end) <= end),
        )
        found.insert(0, segment)
        end, trial = start, None if trial.parent is None else known[trial.parent]
    return tuple(found)


def curve_of(segments: Sequence[Segment]) -> tuple[Point, ...]:
    """Returns (samples, objective) at each evaluation of a whole schedule."""
    return tuple(point for segment in segments for point in segment.curve)


def changing(segments: Sequence[Segment]) -> tuple[str, ...]:
    """Returns the names of the parameters whose values differ between segments, in their order."""
    names = dict.fromkeys(name for segment in segments for name in segment.params)
    return tuple(name for name in names if len({repr(each.params.get(name)) for each in segments}) > 1)


def schedule(segments: Sequence[Segment]) -> list[dict[str, Any]]:
    """Returns a schedule as JSON: trial, from, to and params of each segment."""
    return [
        {"trial": each.trial, "from": each.start, "to": each.end, "params": dict(each.params)}
        for each in segments
    ]


def refuse_population(record: StudyRecord, what: str, way_out: str) -> None:
    """Refuses what takes the parameters of a trial for those that its whole training had.

    Args:
        record: The study.
        what: What needs constant values, as the beginning of a sentence.
        way_out: What can be done instead.

    Raises:
        StudyError: It is a population in which values have changed.
    """
    if any(trial.parent is not None for trial in record.trials):
        raise StudyError(
            f"{what} needs trials whose values stay while they train, got {record.name!r}, a population, in which they "
            f"change; {way_out}"
        )
