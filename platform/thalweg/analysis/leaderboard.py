"""The leaderboard of a study in numbers: its best trials beside the baselines, and how the others ended."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from thalweg.analysis.comparison import Comparison
from thalweg.analysis.declared import metrics_of
from thalweg.contract import Metric
from thalweg.search.store.learning.rung_trust import rung_correlations, switch_costs
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study_folder import StudyFolder
from thalweg.training import baselines

MAX_METRICS = 10


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """The leaderboard of a study.

    Attributes:
        record: The study.
        baselines: Metrics of each baseline.
        metrics: Metrics that the family declares.
    """

    record: StudyRecord
    baselines: Mapping[str, Mapping[str, float]]
    metrics: Sequence[Metric] = ()

    @property
    def objective(self) -> str:
        """Name of the study's metric."""
        return str(self.record.definition["metric"])

    @cached_property
    def comparison(self) -> Comparison:
        """The baselines, to compare trials with."""
        return Comparison(self.baselines, self.metrics, self.objective, self.record.mode)

    def ranked(self) -> list[TrialRecord]:
        """Returns the complete trials, best first, then the pruned ones that came furthest."""
        sign = 1.0 if self.record.mode == "min" else -1.0
        pruned = [trial for trial in self.ended() if trial.status == "pruned" and trial.value is not None]
        pruned.sort(key=lambda trial: (-trial.samples, sign * (trial.value or 0.0)))
        return self.record.ranking() + pruned

    def other_metrics(self) -> list[str]:
        """Returns the names of the trials' other search-invariant metrics, those of the objective's mode first."""
        fit = [metric for metric in self.metrics if metric.search_invariant and metric.name != self.objective]
        fit.sort(key=lambda metric: metric.mode != self.record.mode)
        found = {name for trial in self.ranked() for name in trial.metrics}
        return [metric.name for metric in fit if metric.name in found][:MAX_METRICS]

    def unbeaten(self) -> list[str]:
        """Returns the names of the baselines that no trial beats, the best first; none before a trial is complete."""
        best = self.record.best()
        return [] if best is None else self.comparison.unbeaten(best.value or 0.0)

    def breaking(self) -> list[TrialRecord]:
        """Returns the complete trials that break a constraint of the study, which rank behind all others."""
        return [trial for trial in self.record.ranking() if self.record.broken(trial)]

    def ended(self) -> list[TrialRecord]:
        """Returns the trials that have ended and are not to be continued."""
        return [trial for trial in self.record.trials if trial.is_over]

    def interrupted(self) -> list[TrialRecord]:
        """Returns the trials that the study goes on with when it is continued."""
        waiting = {trial.continues for trial in self.record.trials if trial.status == "waiting"}
        return [trial for trial in self.record.trials if trial.interrupted and trial.number in waiting]

    def saved(self) -> float | None:
        """Returns the share of samples that early stopping saved; None if it stopped no trial."""
        trials = self.ended()
        if (
            self.record.is_population
        ):  # an heir trains what is left of the budget of the one in whose place it is
            return None
        if not Counter(trial.status for trial in trials)["pruned"]:
            return None
        used = [trial.samples for trial in trials if trial.status != "failed"]
        return 1 - sum(used) / (len(used) * int(self.record.definition["samples"]))

    def rung_correlations(self) -> dict[int, float]:
        """Returns the rank correlation of early stopping's rungs with the end, by their samples: was it safe?"""
        return rung_correlations(self.record.trials)

    def is_misled(self) -> bool:
        """Returns whether a rung that stops trials by their ranks ranks them against the end.

        Expected improvement stops none by ranks: what an early evaluation says of the end is part of its model.
        """
        by_ranks = self.record.definition.get("study", {}).get("scheduler") != "expected_improvement"
        return by_ranks and any(value < 0 for value in self.rung_correlations().values())

    def switch_costs(self) -> list[float]:
        """Returns the seconds that it cost to take up each trial that was promoted."""
        return list(switch_costs(self.record.trials).values())

    def num_replaced(self) -> int:
        """Returns how many trials of populations ended at a mark, so that others were continued in their places."""
        return sum(trial.replaced_by is not None for trial in self.record.trials)

    def promoted_from(self, trial: TrialRecord) -> int | None:
        """Returns the number of the stopped trial that a trial goes on from; None if it does not."""
        known = {each.number: each for each in self.record.trials}
        before = known.get(-1 if trial.continues is None else trial.continues)
        if before is None or before.promoted:
            return None if before is None else before.number
        return self.promoted_from(before)


def failures(trials: Sequence[TrialRecord]) -> list[list[TrialRecord]]:
    """Groups failed trials of one word whose reasons differ in numbers only, the most frequent reason first."""
    groups: dict[tuple[str | None, str], list[TrialRecord]] = {}
    for trial in trials:
        if trial.status == "failed":
            pattern = re.sub(r"[-+]?\d[\d.,e+-]*", "#", trial.reason)
            groups.setdefault((trial.ended_as, pattern), []).append(trial)
    return sorted(groups.values(), key=len, reverse=True)


def of_study(record: StudyRecord, folder: Path) -> Leaderboard:
    """Returns the leaderboard of a study; the baselines are read from its folder."""
    return Leaderboard(
        record=record,
        baselines=baselines.read(StudyFolder(folder).checkpoints) or {},
        metrics=metrics_of(record),
    )
