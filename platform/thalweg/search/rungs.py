"""Stops trials early, on samples seen: asynchronous successive halving and Hyperband.

Optuna's pruners keep a trial's rungs as marks beside it. A trial that was interrupted and is continued under
a new number would then count twice at each rung, and change its Hyperband bracket. These read the curves,
which are the truth anyway: nothing extra is stored, and a continued trial stands where it stood. On
studies without interruption successive halving decides exactly as Optuna's does.
"""

import math
from collections.abc import Sequence

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from thalweg.search.records import CONTINUES
from thalweg.search.study import Study


class SuccessiveHalving(BasePruner):
    """Asynchronous successive halving (Li et al., arXiv:1810.05934, algorithm 2).

    A trial that reaches a rung goes on if it is among the best 1/reduction_factor of all trials that have
    reached it so far; of fewer trials than that, only the best goes on.

    Args:
        rungs: Samples at which trials are judged, rising.
        reduction_factor: One trial in so many goes on.
    """

    def __init__(self, rungs: Sequence[int], reduction_factor: int) -> None:
        self._rungs = tuple(rungs)
        self._reduction_factor = reduction_factor

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Says whether a trial stops at the point that it reported last."""
        if not any(trial.last_step == rung for rung in self._rungs):
            return False
        trials = study.get_trials(deepcopy=False)
        return self._stops(trial, _lineage_ends(trials), study.direction)

    def _stops(self, trial: FrozenTrial, rivals: Sequence[FrozenTrial], direction: StudyDirection) -> bool:
        rung = trial.last_step
        assert rung is not None
        sign = 1.0 if direction == StudyDirection.MINIMIZE else -1.0
        scores = sorted(
            sign * rival.intermediate_values[rung]
            for rival in rivals
            if rung in rival.intermediate_values and rival.number != trial.number
        )
        score = sign * trial.intermediate_values[rung]
        num_better = sum(other < score for other in scores)
        return num_better >= max(1, (len(scores) + 1) // self._reduction_factor)


class Hyperband(BasePruner):
    """Hyperband (Li et al., arXiv:1603.06560): brackets of successive halving that start at later rungs.

    Trials are dealt to brackets in the paper's proportions (algorithm 1, line 3) by their numbers, and
    compete within their bracket. The sampler learns from all of them.

    Args:
        rungs: Samples at which trials of the first bracket are judged, rising.
        reduction_factor: One trial in so many goes on.
    """

    def __init__(self, rungs: Sequence[int], reduction_factor: int) -> None:
        self._brackets = [SuccessiveHalving(rungs[skip:], reduction_factor) for skip in range(len(rungs) + 1)]
        most = len(rungs)
        sizes = [
            math.ceil((most + 1) / (most - skip + 1) * reduction_factor ** (most - skip))
            for skip in range(most + 1)
        ]
        self._shares = [size / sum(sizes) for size in sizes]

    def bracket(self, number: int) -> int:
        """Returns the bracket of the trial that has, or first had, this number."""
        # Multiples of the golden ratio fill [0, 1) evenly whatever their number.
        position = (number + 0.5) * ((math.sqrt(5) - 1) / 2) % 1.0
        for index, share in enumerate(self._shares):
            position -= share
            if position < 0:
                return index
        return len(self._shares) - 1

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Says whether a trial stops at the point that it reported last."""
        trials = study.get_trials(deepcopy=False)
        first = first_numbers(trials)
        own = self.bracket(first[trial.number])
        pruner = self._brackets[own]
        if not any(trial.last_step == rung for rung in pruner._rungs):
            return False
        rivals = [t for t in _lineage_ends(trials) if self.bracket(first[t.number]) == own]
        return pruner._stops(trial, rivals, study.direction)


def make_pruner(study: Study) -> BasePruner:
    """Returns what stops trials of a study early."""
    if study.scheduler == "none" or not study.rungs:
        return NopPruner()
    kinds = {"successive_halving": SuccessiveHalving, "hyperband": Hyperband}
    return kinds[study.scheduler](study.rungs, study.reduction_factor)


def _lineage_ends(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Leaves out interrupted trials that another one continues from where they stood."""
    continued = {t.user_attrs.get(CONTINUES) for t in trials if t.intermediate_values}
    return [trial for trial in trials if trial.number not in continued]


def first_numbers(trials: Sequence[FrozenTrial]) -> dict[int, int]:
    """Maps each trial to the first of those that it continues."""
    first: dict[int, int] = {}
    for trial in trials:  # in the order of their numbers, so a continued one comes before
        first[trial.number] = first.get(trial.user_attrs.get(CONTINUES, -1), trial.number)
    return first
