"""Rank correlation of rungs with the end of the budget: may they stop trials, and what do stopped trials tell?

Learning curves cross. If many do, early values rank trials otherwise than the end does, and early stopping ends the
best of them. Trials that ran to the end show it: Spearman's rank correlation of their values at a rung with those at
the end. A few of them say little, so that the correlation is an average with a prior: `PRIOR`, which counts like
`PRIOR_WEIGHT` trials.

Rungs are trusted together. One that misleads leaves later rungs only trials that it let pass, among which they look
better than they are (range restriction): trials which begin badly and end well are never seen to the end.

The prior and both limits were chosen by ``benchmarks/search_quality.py``.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from thalweg.search.store.journal_reader import COMPLETE
from thalweg.search.store.records import JUDGED_FROM, TrialRecord

if TYPE_CHECKING:  # reading a study must not wait for this import
    from optuna.trial import FrozenTrial

PRIOR = 0.7
PRIOR_WEIGHT = 2
MIN_CORRELATION = 0.5
"""If a rung's correlation with the end is smaller, no rung stops trials."""
MIN_ENDED = 3
"""Trials that must have run to the end before a rung stops any."""


def is_judged(trial: FrozenTrial, samples: int) -> bool:
    """Returns whether a trial has begun by then to train what its metric needs."""
    return int(trial.user_attrs.get(JUDGED_FROM, 0)) <= samples


def rung_correlation(ended: Sequence[tuple[float, float]]) -> float | None:
    """Returns Spearman's rank correlation of values at a rung with those at the end.

    Args:
        ended: Value at the rung and at the end, of each trial that ran to the end.

    Returns:
        The correlation in [-1, 1]; ties share the mean of their ranks. None for fewer than three trials, or if all have
        the same rank.
    """
    columns = tuple(zip(*ended, strict=True))
    if len(ended) < 3 or any(len(set(column)) == 1 for column in columns):
        return None
    from scipy.stats import spearmanr  # a second that tables without early stopping need not wait for

    return float(spearmanr(*columns).statistic)


def rung_correlations(trials: Sequence[TrialRecord]) -> dict[int, float]:
    """Returns the rank correlation with the end of each rung that stopped a trial, by the rung's samples.

    It is measured by the trials that ran to the end, at least three. They are those that rungs let pass, which makes it
    smaller than among all trials. A negative one says that early stopping may have ended good trials.
    """
    if any(trial.parent is not None for trial in trials):  # values of a population change after its marks
        return {}
    stopped = {trial.curve[-1][0] for trial in trials if trial.status == "pruned" and trial.curve}
    curves = [dict(trial.curve) for trial in trials if trial.status == "complete" and trial.curve]
    found = {
        rung: rung_correlation([(curve[rung], curve[max(curve)]) for curve in curves if rung in curve])
        for rung in sorted(stopped)
    }
    return {rung: value for rung, value in found.items() if value is not None}


def switch_costs(trials: Sequence[TrialRecord]) -> dict[int, float]:
    """Returns the seconds that it cost to take up each promoted trial, by the number under which it went on."""
    promoted = {trial.number for trial in trials if trial.promoted}
    return {
        trial.number: trial.switch_s
        for trial in trials
        if trial.continues in promoted and trial.switch_s is not None
    }


class RungTrust:
    """What the trials that ran to the end say about a study's rungs.

    Args:
        trials: Trials of the study, an interrupted one and those that continue it as one.
        rungs: Samples at the rungs.
    """

    def __init__(self, trials: Sequence[FrozenTrial], rungs: Sequence[int]) -> None:
        complete = [trial for trial in trials if trial.state == COMPLETE and trial.value is not None]
        self._ended = {rung: _pairs(complete, rung) for rung in rungs}

    def correlation(self, rung: int) -> float:
        """Returns the rank correlation of a rung with the end, averaged with the prior."""
        ended = self._ended[rung]
        found = rung_correlation(ended)
        if found is None:
            return PRIOR
        return (len(ended) * found + PRIOR_WEIGHT * PRIOR) / (len(ended) + PRIOR_WEIGHT)

    @property
    def tells(self) -> bool:
        """Whether all rungs rank trials about as the end does."""
        return all(self.correlation(rung) >= MIN_CORRELATION for rung in self._ended)

    def may_stop(self, rung: int) -> bool:
        """Returns whether a rung may stop trials."""
        return len(self._ended[rung]) >= MIN_ENDED and self.tells

    def expected_end(self, rung: int, value: float) -> float:
        """Returns the value at the end of a trial that was stopped at a rung, had it gained what others did.

        That is the median gain of trials that ran to the end.
        """
        gains = [end - before for before, end in self._ended.get(rung, [])]
        return value + (statistics.median(gains) if gains else 0.0)


def _pairs(complete: Sequence[FrozenTrial], rung: int) -> list[tuple[float, float]]:
    return [
        (trial.intermediate_values[rung], trial.value)
        for trial in complete
        if trial.value is not None and rung in trial.intermediate_values and is_judged(trial, rung)
    ]
