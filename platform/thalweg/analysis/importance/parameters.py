"""The importance of a study's searched parameters: estimates with intervals, from all trials that were judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from thalweg.analysis.importance.forest import (
    NUM_TREES,
    encode,
    permutation_importance,
    standard_errors,
)
from thalweg.errors import StudyError
from thalweg.search.store.population.lineage import refuse_population
from thalweg.search.store.records import StudyRecord, TrialRecord

MIN_TRIALS = 10
"""Of fewer, halves are too small to grow a tree on and to judge it."""
LEVEL = 0.95
"""Level at which the intervals of all parameters hold together."""


@dataclass(frozen=True, kw_only=True)
class ParameterImportance:
    """The importance of one parameter.

    Attributes:
        name: The parameter.
        importance: Share of the variance of the trials' ranks that goes with it, alone and together with others; below
            0 by chance if it does nothing.
        interval: Its interval; those of all parameters hold together at `LEVEL`.
        num_trials: Trials that have it; fewer than all if it belongs to a branch of the space.
    """

    name: str
    importance: float
    interval: tuple[float, float]
    num_trials: int

    @property
    def is_shown(self) -> bool:
        """Whether the interval lies above 0; see `StudyImportance.shown`, too."""
        return self.interval[0] > 0


@dataclass(frozen=True, kw_only=True)
class StudyImportance:
    """The importance of all parameters of a study.

    Attributes:
        parameters: The parameters, the most important one first.
        fixed: Parameters that have one value in all trials.
        explained: Share of the variance of the ranks that the forest explains, of trials that it has not seen.
        num_complete: Complete trials.
        num_stopped: Trials that were stopped early.
    """

    parameters: tuple[ParameterImportance, ...]
    fixed: tuple[str, ...]
    explained: float
    num_complete: int
    num_stopped: int

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the parameters that are shown to matter; none if the forest explains no unseen trials."""
        return tuple(each.name for each in self.parameters if each.is_shown and self.explained > 0)


def importance_of(record: StudyRecord) -> StudyImportance:
    """Returns the importance of a study's parameters.

    What is explained are the ranks of trials, to which a diverged one is no more than the last: complete trials by
    their value, then stopped ones by the samples they came to and their value there. Without the stopped ones, what
    early stopping selects for would seem not to matter.

    Args:
        record: The study.

    Raises:
        StudyError: Too few trials ended, or all are alike, or their parameters changed while they trained.
    """
    refuse_population(record, "importance", "`thalweg lineage` shows its schedules")
    from scipy.stats import t as student

    trials = [trial for trial in record.trials if trial.params and _is_judged(trial)]
    if len(trials) < MIN_TRIALS:
        raise StudyError(
            f"importance must be estimated from at least {MIN_TRIALS} complete or stopped trials, got {len(trials)} in "
            f"{record.name!r}; search more of them"
        )
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    fixed = tuple(name for name in names if _is_fixed(name, trials))
    names = [name for name in names if name not in fixed]
    response = ranks(trials, record.definition["mode"] == "min")
    if not names or not response.std():
        what = "its objective" if names else "its parameters"
        raise StudyError(f"importance needs trials that differ, got one value of {what} in {record.name!r}")
    encoded, rng = encode([trial.params for trial in trials], names), np.random.default_rng(0)
    found, explained = permutation_importance(encoded, response, 4 * NUM_TREES, rng)
    errors = standard_errors(encoded, response, rng)
    # Of many parameters that do nothing one would seem to matter by chance (Bonferroni).
    reach = float(student.ppf(1 - (1 - LEVEL) / (2 * len(names)), len(trials) // 2 - 1)) * errors
    parameters = [
        ParameterImportance(
            name=name,
            importance=float(found[place]),
            interval=(float(found[place] - reach[place]), float(found[place] + reach[place])),
            num_trials=int(encoded.present[place].sum()),
        )
        for place, name in enumerate(names)
    ]
    num_complete = sum(trial.status == "complete" for trial in trials)
    return StudyImportance(
        parameters=tuple(sorted(parameters, key=lambda each: -each.importance)),
        fixed=fixed,
        explained=explained,
        num_complete=num_complete,
        num_stopped=len(trials) - num_complete,
    )


def ranks(trials: Sequence[TrialRecord], smaller_is_better: bool) -> Float64[np.ndarray, " trial"]:
    """Returns the ranks of trials as shares of their number, the best one smallest; equal ones share the mean."""
    from scipy.stats import rankdata

    sign = 1.0 if smaller_is_better else -1.0
    keys = [
        (0, 0, sign * trial.value)
        if trial.status == "complete" and trial.value is not None
        else (1, -trial.curve[-1][0], sign * trial.curve[-1][1])
        for trial in trials
    ]
    order = {key: place for place, key in enumerate(sorted(set(keys)))}
    return np.asarray(rankdata([order[key] for key in keys]), np.float64) / len(keys)


def _is_judged(trial: TrialRecord) -> bool:
    complete = trial.status == "complete" and trial.value is not None
    return complete or (trial.status == "pruned" and trial.is_over and bool(trial.curve))


def _is_fixed(name: str, trials: Sequence[TrialRecord]) -> bool:
    """Returns whether all trials that have a parameter have one value of it."""
    return len({repr(trial.params[name]) for trial in trials if name in trial.params}) == 1
