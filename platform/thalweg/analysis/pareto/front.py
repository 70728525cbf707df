"""The Pareto front of a study: trials that no other one beats in all objectives, and its hypervolume over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from thalweg.analysis.declared import metrics_of
from thalweg.analysis.pareto.hypervolume import hypervolume, undominated
from thalweg.analysis.relation import require_complete, value_of
from thalweg.contract import Mode
from thalweg.errors import StudyError, meant
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study import COST


@dataclass(frozen=True, kw_only=True)
class ParetoFront:
    """The Pareto front of a study.

    Attributes:
        modes: Whether smaller or larger is better, by objective; the study's metric is the first.
        members: Trials of the front, the best by the study's metric first.
        others: Complete trials that some trial of the front beats in all objectives.
        volumes: (trial, hypervolume) after each complete trial in the order in which they ended: the share of the box
            between the best and the worst value of each objective that the trials so far dominate, in [0, 1].
        num_left_out: Complete trials without a finite value of some objective.
        num_breaking: Complete trials that break a constraint of the study, and are no part of all this.
    """

    modes: Mapping[str, Mode]
    members: tuple[TrialRecord, ...]
    others: tuple[TrialRecord, ...]
    volumes: tuple[tuple[int, float], ...]
    num_left_out: int
    num_breaking: int = 0


def front_of(record: StudyRecord, names: Sequence[str]) -> ParetoFront:
    """Returns the Pareto front of a study's complete trials that keep its constraints.

    Args:
        record: The study.
        names: Objectives beside the study's metric: metrics of its family, or costs such as ``cost/num_parameters``.

    Raises:
        StudyError: No trial has such a metric, its direction is not known, or no trial has all of them.
    """
    require_complete(record, "a Pareto front")
    modes = _modes(record, names)
    complete = [trial for trial in record.ranking() if not record.broken(trial)]
    known = [trial for trial in complete if all(map(math.isfinite, values_of(record, trial, modes)))]
    if not known:
        kept = f" that keeps {record.constraints}" if record.constraints else ""
        raise StudyError(
            f"a Pareto front needs a complete trial with {', '.join(modes)}{kept}, got none in {record.name!r}"
        )
    losses = _losses(record, known, modes)
    best = undominated(losses)
    return ParetoFront(
        modes=modes,
        members=tuple(trial for trial, is_best in zip(known, best, strict=True) if is_best),
        others=tuple(trial for trial, is_best in zip(known, best, strict=True) if not is_best),
        volumes=_volumes(known, losses),
        num_left_out=len(complete) - len(known),
        num_breaking=len(record.ranking()) - len(complete),
    )


def values_of(record: StudyRecord, trial: TrialRecord, modes: Mapping[str, Mode]) -> tuple[float, ...]:
    """Returns a trial's values of the objectives; NaN where it has none."""
    return tuple(value_of(record, trial, name) for name in modes)


def _losses(
    record: StudyRecord, trials: Sequence[TrialRecord], modes: Mapping[str, Mode]
) -> Float64[np.ndarray, "trial objective"]:
    signs = [1.0 if mode == "min" else -1.0 for mode in modes.values()]
    return np.array([values_of(record, trial, modes) for trial in trials], np.float64) * signs


def _volumes(
    trials: Sequence[TrialRecord], losses: Float64[np.ndarray, "trial objective"]
) -> tuple[tuple[int, float], ...]:
    """Returns the hypervolume after each trial, in the order in which they ended.

    Objectives are scaled to [0, 1] over all trials, and an objective that is the same in all of them is left out. The
    reference lies a tenth beyond the worst values, so that trials with one of them count, too.
    """
    low, span = losses.min(0), np.ptp(losses, axis=0)
    scaled = (losses - low)[:, span > 0] / span[span > 0]
    reference = np.full(scaled.shape[1], 1.1)
    order = sorted(range(len(trials)), key=lambda place: (_ended(trials[place]), trials[place].number))
    if not scaled.shape[1]:
        return tuple((trials[place].number, 1.0) for place in order)
    whole = float(np.prod(reference))
    return tuple(
        (trials[last].number, hypervolume(scaled[order[: count + 1]], reference) / whole)
        for count, last in enumerate(order)
    )


def _ended(trial: TrialRecord) -> float:
    return trial.ended.timestamp() if trial.ended else 0.0


def _modes(record: StudyRecord, names: Sequence[str]) -> dict[str, Mode]:
    objective = str(record.definition["metric"])
    declared: dict[str, Mode] = {metric.name: metric.mode for metric in metrics_of(record)}
    measured = dict.fromkeys(name for trial in record.ranking() for name in trial.metrics)
    modes: dict[str, Mode] = {objective: record.mode}
    for name in names:
        mode = "min" if name.startswith(COST) else declared.get(name)
        if mode is None or name not in measured:
            known = [each for each in measured if each.startswith(COST) or each in declared]
            advice = meant(name, known) or f"; {record.name!r} has {', '.join(known)}"
            raise StudyError(
                f"a Pareto front is of the study's metric and of others that its complete trials have, got {name!r}"
                f"{advice}"
            )
        modes[name] = mode
    if len(modes) < 2:
        raise StudyError(
            f"a Pareto front is of two metrics at least, got {objective!r} alone; name another one"
        )
    return modes
