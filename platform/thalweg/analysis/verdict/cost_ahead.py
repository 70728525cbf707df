"""What a confirmation will cost, from the times that the search measured, and what it will be able to see."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.analysis.verdict.looks import MIN_SEEDS
from thalweg.analysis.verdict.paired_tests import visible_difference
from thalweg.search.confirmation.confirmation import Confirmation, Run
from thalweg.search.store.records import StudyRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class CostAhead:
    """The cost of a confirmation.

    Attributes:
        num_configurations: Configurations that run.
        num_seeds: Seeds of each at most.
        num_done: Runs that have ended before.
        least_s: Seconds if all are settled at the first look.
        most_s: Seconds if none is before the last.
        num_lanes: Runs at the same time that this counts with.
        visible: Difference that is seen with probability .8, in spreads over seeds.
    """

    num_configurations: int
    num_seeds: int
    num_done: int
    least_s: float
    most_s: float
    num_lanes: int
    visible: float


def cost_ahead(
    plan: Confirmation,
    search: StudyRecord,
    done: Sequence[Run] = (),
    num_lanes: int | None = None,
    *,
    has_constants: bool,
) -> CostAhead:
    """Estimates the cost of a confirmation.

    Args:
        plan: The plan.
        search: The study, whose trials took as long as the runs will.
        done: Runs that have ended.
        num_lanes: Runs at the same time; None takes as many as trials of the search ran at the same time.
        has_constants: Whether the champion is judged beside baselines, too.
    """
    lanes = num_lanes or lanes_of(search.trials)
    whole = [trial.seconds for trial in search.ranking()]
    usual = statistics.median(whole) if whole else 0.0
    seconds = {one.name: one.seconds or usual for one in plan.contenders}

    def left(num_seeds: int) -> float:
        runs = [(name, index) for name in seconds for index in range(num_seeds)]
        return sum(seconds[name] for name, index in runs if (name, index) not in set(done)) / lanes

    return CostAhead(
        num_configurations=len(plan.contenders),
        num_seeds=len(plan.seeds),
        num_done=len(done),
        least_s=left(MIN_SEEDS),
        most_s=left(len(plan.seeds)),
        num_lanes=lanes,
        visible=visible_difference(len(plan.seeds), max(1, len(plan.contenders) - 1 + has_constants)),
    )


def lanes_of(trials: Sequence[TrialRecord]) -> int:
    """Returns how many trials ran at the same time at most; 1 if their times are not known."""
    moments = [
        moment
        for trial in trials
        if trial.started and trial.ended and trial.samples
        for moment in ((trial.started, 1), (trial.ended, -1))
    ]
    running = most = 0
    for _, step in sorted(moments):
        running += step
        most = max(most, running)
    return max(1, most)
