"""Early stopping by expected improvement: a trial goes on while no new one promises more for the same cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from thalweg.search.store.curves.acquisition import log_expected_improvement, propose
from thalweg.search.store.curves.observed import Seen, curves_of
from thalweg.search.store.early_stopping import at_a_rung, first_numbers, lineage_ends
from thalweg.study import Study

NUM_WHOLE = 2
"""Trials that run to the end first: what early evaluations are worth is learned from them."""
PATIENCE = 1.0
"""A trial stops if its improvement per cost is less than this share of that of a new one."""
MOST_STOPPED = 6
"""One in this many trials runs to the end at least: a study counts trials, and must end with some to choose from."""
_ROUNDS = 2


def proposed_by_curves(study: Study) -> bool:
    """Returns whether a process of curves proposes a study's trials; it follows one objective, and knows no bounds."""
    return study.sampler == "curves" and not (study.also or study.at_most or study.at_least)


class ExpectedImprovement(BasePruner):
    """Stops a trial that is expected to improve the search by less, for what is left of its budget, than a new one.

    Improvements are expected at the end of the budget, by a process of learning curves: an early evaluation counts as
    much as the curves of other trials say. Where they say that the first evaluations mislead, it stops none by them.

    Args:
        rungs: Samples at which trials may be stopped, ascending.
        samples: Budget of a trial.
        seed: Seed of the search for what a new trial would improve.
        even: Whether new trials do not lie where the process expects most of them: then the mean of what they improve
            counts, as if they were drawn evenly.
    """

    def __init__(self, rungs: Sequence[int], samples: int, seed: int, *, even: bool = False) -> None:
        self.rungs = tuple(rungs)
        self._samples = samples
        self._seed = seed
        self._even = even

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Returns whether a trial stops at its last evaluation."""
        if not at_a_rung(trial, self.rungs):
            return False
        trials = study.get_trials(deepcopy=False)
        first = first_numbers(trials)
        # In the order in which they first began, as if none had been interrupted.
        ends = sorted(lineage_ends(trials), key=lambda each: first[each.number])
        place = sorted(set(first.values())).index(first[trial.number])
        if place < NUM_WHOLE or _too_few_whole(ends):
            return False
        shown = [trial if each.number == trial.number else each for each in ends]
        curves = curves_of(shown, study.direction, self._samples)
        return bool(curves) and self._stops(Seen(curves), trial, place)

    def _stops(self, seen: Seen, trial: FrozenTrial, place: int) -> bool:
        if not seen.encoding.kinds:  # nothing is searched, so that a new trial would be the same
            return False
        process = seen.process()
        means, deviations = process.ends(seen.features)
        best = seen.incumbent(means, without=trial.number)
        if best is None:
            return False
        assert trial.last_step is not None
        is_own = np.array([curve.trial.number == trial.number for curve in seen.curves])
        improvement = float(log_expected_improvement(means[is_own], deviations[is_own], best)[0])
        left = 1 - trial.last_step / self._samples
        known = seen.points[np.argsort(means, kind="stable")]
        random = np.random.default_rng((self._seed, place, trial.last_step))
        new = propose(process, seen.encoding, best, known, random, rounds=_ROUNDS)
        promised = new.log_mean if self._even else new.log_improvement
        return improvement - math.log(left) < math.log(PATIENCE) + promised


def _too_few_whole(trials: Sequence[FrozenTrial]) -> bool:
    """Returns whether fewer than one in `MOST_STOPPED` trials that ended with a value ran to the end."""
    # Those that are sure to run to the end count once they have: until then nothing says where beginnings mislead.
    num_whole = sum(trial.state == TrialState.COMPLETE for trial in trials)
    num_stopped = sum(trial.state == TrialState.PRUNED for trial in trials)
    return num_whole * MOST_STOPPED < num_whole + num_stopped
