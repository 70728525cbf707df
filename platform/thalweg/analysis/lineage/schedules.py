"""The schedules that a population has found: values over training, of each chain of trials that came to the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import StudyError
from thalweg.search.store.population.lineage import Segment, chain, changing, curve_of, schedule
from thalweg.search.store.records import StudyRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class MemberSchedule:
    """The schedule of a trial.

    Attributes:
        trial: The trial that trained its last segment.
        segments: Its segments in their order.
    """

    trial: TrialRecord
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """The schedules of a population.

    Attributes:
        study: Name of the study.
        metric: The objective.
        schedules: The schedules, that of the best trial first.
        names: Parameters whose values change within one of them.
        num_replaced: Trials that ended at a mark.
    """

    study: str
    metric: str
    schedules: tuple[MemberSchedule, ...]
    names: tuple[str, ...]
    num_replaced: int


def lineage_of(record: StudyRecord, number: int | None = None) -> Lineage:
    """Returns the schedules of a study's complete trials, or of one trial.

    Args:
        record: The study.
        number: Number of the trial, which need not be complete; None for all complete ones.

    Raises:
        StudyError: The study has no population, no such trial, or none that is complete.
    """
    if not record.is_population:
        raise StudyError(
            f"a lineage is that of a population, got {record.name!r}, whose trials keep their values; search with "
            "scheduler='population'"
        )
    trials: Sequence[TrialRecord] = record.ranking() if number is None else record.trials[number : number + 1]
    if not trials:
        raise StudyError(
            f"a lineage is shown of complete trials, or of one by its number, got {len(record.trials)} trials in "
            f"{record.name!r}{'' if number is None else f' and number {number}'}; carry the search on, or name another"
        )
    found = tuple(MemberSchedule(trial=t, segments=chain(record.trials, t.number)) for t in trials)
    return Lineage(
        study=record.name,
        metric=str(record.definition["metric"]),
        schedules=found,
        names=tuple(dict.fromkeys(name for each in found for name in changing(each.segments))),
        num_replaced=sum(trial.replaced_by is not None for trial in record.trials),
    )


def as_json(lineage: Lineage) -> dict[str, Any]:
    """Returns the schedules as JSON: of each its trial, value, segments and (samples, objective) at each evaluation."""
    return {
        "study": lineage.study,
        "metric": lineage.metric,
        "changing": list(lineage.names),
        "num_replaced": lineage.num_replaced,
        "schedules": [
            {
                "trial": each.trial.number,
                "status": each.trial.status,
                "value": each.trial.value,
                "segments": schedule(each.segments),
                "curve": [list(point) for point in curve_of(each.segments)],
            }
            for each in lineage.schedules
        ],
    }
