"""Limits of a study beside its number of trials: hours, lane-hours, samples, and what more trials would bring.

At a limit no trial begins any more. Those that run go on to their ends, so that nothing is trained in vain; the study
takes up to one trial per lane more than its limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from thalweg.search.stopping.expected_improvement import expected_improvement
from thalweg.search.store.multi_objective.constraints import Constraints
from thalweg.search.store.records import TrialRecord
from thalweg.study import Study
from thalweg.wording import counted


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the trials of a study have taken, in all of its sessions.

    Attributes:
        hours: Hours in which at least one trial was running.
        lane_hours: Hours of all trials together.
        samples: Training samples of all trials together.
    """

    hours: float
    lane_hours: float
    samples: int


def spent(trials: Sequence[TrialRecord], now: datetime) -> Spent:
    """Returns what trials have taken; of one whose process died, only its samples are known.

    Args:
        trials: All trials of a study.
        now: The present.
    """
    times = sorted(found for trial in trials if (found := _times(trial, now)) is not None)
    rested = sum(trial.rested_s for trial in trials if _times(trial, now) is not None)
    union, until = 0.0, datetime.min
    for began, ended in times:
        union += max(0.0, (ended - max(began, until)).total_seconds())
        until = max(until, ended)
    inherited = {trial.number: trial.samples for trial in trials}
    own = (
        trial.samples
        - (trial.parent_samples if trial.continues is None else inherited.get(trial.continues, 0))
        for trial in trials
    )
    return Spent(
        hours=union / 3600,
        lane_hours=sum((ended - began).total_seconds() for began, ended in times) / 3600 - rested / 3600,
        samples=sum(max(0, samples) for samples in own),
    )


def _times(trial: TrialRecord, now: datetime) -> tuple[datetime, datetime] | None:
    if trial.started is None:
        return None
    if trial.status == "running":
        return trial.started, max(now, trial.started)
    # The end of a trial whose process died is when that was found out, perhaps days later.
    return (trial.started, trial.ended) if trial.ended is not None and trial.seconds else None


def has_limits(study: Study) -> bool:
    """Whether a study may end before its number of trials."""
    limits = (study.max_hours, study.max_lane_hours, study.max_total_samples, study.min_improvement)
    return any(limit is not None for limit in limits)


def reached(study: Study, trials: Sequence[TrialRecord], now: datetime | None = None) -> str:
    """Returns which limit of a study is reached, as a sentence with the way on; empty if none is.

    Args:
        study: The study.
        trials: All of its trials.
        now: The present; None asks the clock.
    """
    used = spent(trials, now or datetime.now())
    if study.max_hours is not None and used.hours >= study.max_hours:
        return (
            f"its trials ran for {used.hours:.3g} hours, max_hours is {study.max_hours:g}; raise it to go on"
        )
    if study.max_lane_hours is not None and used.lane_hours >= study.max_lane_hours:
        return (
            f"its trials took {used.lane_hours:.3g} lane-hours, max_lane_hours is {study.max_lane_hours:g}; "
            "raise it to go on"
        )
    if study.max_total_samples is not None and used.samples >= study.max_total_samples:
        return (
            f"its trials saw {counted(used.samples, 'sample')}, max_total_samples is "
            f"{study.max_total_samples:,}; raise it to go on"
        )
    gain = (
        None
        if study.min_improvement is None
        else expected_improvement(losses(study, trials), study.lookahead)
    )
    if gain is None or study.min_improvement is None or gain >= study.min_improvement:
        return ""
    return (
        f"{expectation(study.metric, study.lookahead, gain)}, min_improvement is {study.min_improvement:g}; "
        "lower it to go on"
    )


def expectation(metric: str, num_next: int, gain: float) -> str:
    """Says what the next trials are expected to bring."""
    return f"the next {counted(num_next, 'trial')} are expected to improve {metric} by {gain:.2g}"


def losses(study: Study, trials: Sequence[TrialRecord]) -> list[float | None]:
    """Returns the loss of each trial that has ended for good, in their order.

    None stands for one that is not complete, or that breaks a constraint.
    """
    sign = 1.0 if study.mode == "min" else -1.0
    kept = {trial.number for trial in trials if not Constraints.of_study(study).broken(trial.metrics)}
    ended = [trial for trial in trials if trial.is_over]
    return [
        sign * trial.value
        if trial.status == "complete" and trial.value is not None and trial.number in kept
        else None
        for trial in ended
    ]
