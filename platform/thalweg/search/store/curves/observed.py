"""What a curve process sees of a study: learning curves, losses scaled to about unit variance, of a bounded number.

Trials that ran to the end, that were stopped and that still run are seen alike, by their curves. A trial that diverged,
or that did not fit into memory, is seen once, at the end of the budget, with the worst loss that others had last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from thalweg.search.store.curves.unit_cube import Array, Indices, UnitCube
from thalweg.search.store.early_stopping import sign_of
from thalweg.search.store.learning.rung_trust import is_judged
from thalweg.search.store.records import BROKEN, OUTCOME

if TYPE_CHECKING:
    from thalweg.search.store.curves.process import CurveProcess

MAX_EVALUATIONS = 320
"""Evaluations that a process is fitted to at most: its time grows with their cube."""
MAX_TRIALS = 160
"""Trials that a process sees at most: half of them the best, the others the newest."""
_UNTRAINED = ("diverged", "infeasible", "out_of_memory")
_REACH, _FEW = 5.0, 5
"""A loss may lie as far behind a median as the best one before it, times `_REACH`, if there are `_FEW` or more."""


@dataclass(frozen=True)
class Observations:
    """Evaluations of some configurations.

    Attributes:
        features: Of the configurations; shape (configurations, features).
        rows: Configuration of each evaluation, ascending; shape (evaluations,).
        shares: Share of the budget at each evaluation, in (0, 1]; shape (evaluations,).
        losses: Losses, scaled to a variance of about 1; shape (evaluations,).
    """

    features: Array
    rows: Indices
    shares: Array
    losses: Array


@dataclass(frozen=True)
class LearningCurve:
    """The learning curve of a trial.

    Attributes:
        trial: The trial.
        points: Share of the budget and loss at each evaluation, ascending; empty if there is none yet.
        is_rival: Whether others are compared with it.
    """

    trial: FrozenTrial
    points: tuple[tuple[float, float], ...]
    is_rival: bool = True

    @property
    def is_running(self) -> bool:
        """Whether it may have further evaluations."""
        return self.trial.state == TrialState.RUNNING

    @property
    def is_complete(self) -> bool:
        """Whether it ran to the end of its budget."""
        return self.trial.state == TrialState.COMPLETE


def curves_of(
    trials: Sequence[FrozenTrial], direction: StudyDirection, samples: int, without: int | None = None
) -> list[LearningCurve]:
    """Returns the learning curves of a study, in the order of its trials.

    Args:
        trials: Trials of the study, an interrupted one and those that continue it as one.
        direction: Whether smaller or larger values are better.
        samples: Budget of a trial.
        without: Number of a trial that is left out.
    """
    sign = sign_of(direction)
    found = [
        LearningCurve(trial, _points(trial, sign, samples), BROKEN not in trial.user_attrs)
        for trial in trials
        if trial.number != without and trial.params
    ]
    last = [curve.points[-1][1] for curve in found if curve.points]
    worst = max(last, default=0.0)
    stand_in = ((1.0, worst),)
    shown = [
        LearningCurve(curve.trial, stand_in, is_rival=False) if last and _is_untrained(curve.trial) else curve
        for curve in found
    ]
    return _bounded([curve for curve in shown if curve.points or curve.is_running])


def _points(trial: FrozenTrial, sign: float, samples: int) -> tuple[tuple[float, float], ...]:
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING):
        return ()
    seen = sorted(trial.intermediate_values.items())
    points = [(min(step / samples, 1.0), sign * value) for step, value in seen if is_judged(trial, step)]
    if trial.state == TrialState.COMPLETE and trial.value is not None and (not points or points[-1][0] < 1.0):
        points.append((1.0, sign * trial.value))
    return tuple(points)


def _is_untrained(trial: FrozenTrial) -> bool:
    """Returns whether a trial ended, for what its parameters are, without a value to be compared by."""
    if trial.state == TrialState.PRUNED:
        return not trial.intermediate_values and any(excess > 0 for excess in trial.constraints.values())
    ended_as = trial.user_attrs.get(OUTCOME, {}).get("ended_as")
    return trial.state == TrialState.FAIL and ended_as in _UNTRAINED


def _bounded(curves: list[LearningCurve]) -> list[LearningCurve]:
    """Returns at most `MAX_TRIALS` curves that ended, and those that run."""
    ended = [curve for curve in curves if not curve.is_running]
    if len(ended) <= MAX_TRIALS:
        return curves
    best = sorted(ended, key=lambda curve: (curve.points[-1][1], curve.trial.number))[: MAX_TRIALS // 2]
    chosen = {curve.trial.number for curve in best}
    newest = [curve for curve in reversed(ended) if curve.trial.number not in chosen]
    chosen |= {curve.trial.number for curve in newest[: MAX_TRIALS - len(best)]}
    return [curve for curve in curves if curve.is_running or curve.trial.number in chosen]


class Seen:
    """Curves as a process sees them.

    Losses far behind the others at their share of the budget, and behind those that trials last had, are drawn near:
    a skill that has no lower end would else decide on the scale of all.

    Args:
        curves: The curves; at least one has an evaluation.
    """

    def __init__(self, curves: Sequence[LearningCurve]) -> None:
        self.curves = tuple(curves)
        self.encoding = UnitCube(curve.trial for curve in self.curves)
        self.points = self.encoding.points(curve.trial for curve in self.curves)
        seen = [curve for curve in self.curves if curve.points]
        ended = [curve for curve in seen if not curve.is_running]
        # Of trials that ended, so that what still runs changes no scale, and no fit with it.
        judged = ended if len(ended) > 1 else seen
        last = [curve.points[-1] for curve in judged]
        self._limits = _limits_of(judged)
        self._center = float(np.median([loss for _, loss in last]))
        self._scale = float(np.std([self._drawn_near(share, loss) for share, loss in last])) or 1.0

    def _drawn_near(self, share: float, loss: float) -> float:
        known = [self._limits[each] for each in (None, share) if each in self._limits]
        return drawn_near(loss, max(known, key=sum)) if known else loss

    @cached_property
    def features(self) -> Array:
        """Features of the configurations; shape (curves, features)."""
        return self.encoding.features(self.points)

    def observations(self, extra: Mapping[int, float] = {}, *, ended: bool = False) -> Observations:
        """Returns the evaluations, losses scaled.

        Args:
            extra: Scaled losses at the end of the budget that some curves are taken to have, by index.
            ended: Whether to leave out trials that run.
        """
        chosen = [
            index
            for index, curve in enumerate(self.curves)
            if curve.points and not (ended and curve.is_running)
        ]
        each = max(1, MAX_EVALUATIONS // max(1, len(chosen)))
        rows = [
            (index, share, (self._drawn_near(share, loss) - self._center) / self._scale)
            for index in chosen
            for share, loss in thinned(self.curves[index].points, each)
        ]
        rows += [(index, 1.0, loss) for index, loss in extra.items()]
        rows.sort(key=lambda row: row[0])
        indices, shares, losses = zip(*rows, strict=True) if rows else ((), (), ())
        return Observations(self.features, np.array(indices, np.int64), np.array(shares), np.array(losses))

    def process(self) -> CurveProcess:
        """Returns a process that is fitted to the trials that ended, and has seen all."""
        from thalweg.search.store.curves.process import CurveProcess  # needs scipy, the first trials do not

        process = CurveProcess(self.encoding.owners)
        seen = self.observations(ended=True)
        if len(seen.rows):
            process.hyperparameters = _fitted(self.encoding.owners, _Key(seen))
        process.condition(self.observations())
        return process

    def incumbent(self, means: Array, without: int | None = None) -> float | None:
        """Returns the least expected loss at the end: of complete trials, or of all if there is none.

        Args:
            means: Expected loss of each curve at the end, scaled.
            without: Number of a trial that is left out.
        """
        rivals = [
            (curve.is_complete, mean)
            for curve, mean in zip(self.curves, means, strict=True)
            if curve.points and curve.is_rival and curve.trial.number != without
        ]
        complete = [mean for is_complete, mean in rivals if is_complete]
        return min(map(float, complete or [mean for _, mean in rivals]), default=None)


def _limits_of(curves: Sequence[LearningCurve]) -> dict[float | None, tuple[float, float]]:
    """Returns the median and how far behind it a loss may lie, by share of the budget; None: of last losses."""
    losses: dict[float | None, list[float]] = {None: [curve.points[-1][1] for curve in curves]}
    for curve in curves:
        for share, loss in curve.points:
            losses.setdefault(share, []).append(loss)
    medians = {share: float(np.median(found)) for share, found in losses.items() if len(found) >= _FEW}
    return {share: (median, _REACH * (median - min(losses[share]))) for share, median in medians.items()}


def drawn_near(loss: float, limit: tuple[float, float]) -> float:
    """Returns a loss, or less if it lies too far behind a median: at most twice as far as it may, in the same order.

    Args:
        loss: The loss.
        limit: The median, and how far behind it a loss may lie.
    """
    median, reach = limit
    behind = loss - median
    return loss if behind <= reach or reach == 0 else median + reach * (2 - reach / behind)


def thinned(points: Sequence[Any], most: int) -> list[Any]:
    """Returns at most this many points, evenly chosen, the last one among them."""
    if len(points) <= most:
        return list(points)
    indices = np.linspace(len(points) - 1, 0, most + 1)[:most] if most > 1 else np.array([len(points) - 1.0])
    return [points[index] for index in sorted({round(index) for index in indices})]


class _Key:
    """Observations by content, so that a fit is made once for the sampler and for early stopping."""

    def __init__(self, seen: Observations) -> None:
        self.seen = seen
        arrays = (seen.features, seen.rows, seen.shares, seen.losses)
        self._content = tuple(array.tobytes() for array in arrays)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)


@lru_cache(maxsize=2)
def _fitted(owners: tuple[int, ...], key: _Key) -> Array:
    from thalweg.search.store.curves.process import CurveProcess

    process = CurveProcess(owners)
    process.fit(key.seen)
    return process.hyperparameters
