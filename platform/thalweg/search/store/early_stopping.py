"""Early stopping by samples seen: asynchronous successive halving and Hyperband.

Optuna's pruners store a trial's rungs as attributes of the trial. A trial that was interrupted and is continued under
a new number would then count twice at each rung, and change its Hyperband bracket. The pruners here read the
learning curves instead: they store nothing, and a continued trial keeps its place. On studies without
interruption, successive halving decides exactly as Optuna's does.

A trial in stages, of which the first do not train what its metric needs, is neither stopped nor compared with others
before `judged_from`: shares of stages may differ between trials, and a decoder that has not begun to train loses
against one that has, whatever becomes of both. Nor is one that costs more than its study allows a rival of others.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from thalweg.search.store.learning.rung_trust import RungTrust, is_judged
from thalweg.search.store.learning.soft_ranking import margin
from thalweg.search.store.records import BROKEN, CONTINUES
from thalweg.stage_contract import Stage
from thalweg.study import SchedulerName, Study
from thalweg.training.schedule import Plan


class SuccessiveHalving(BasePruner):
    """Asynchronous successive halving (Li et al., arXiv:1810.05934, algorithm 2).

    A trial that reaches a rung continues if it is among the best 1/reduction_factor of all trials that have
    reached it so far; if those are fewer than reduction_factor, only the best continues.

    Args:
        rungs: Samples at which trials are compared, ascending.
        reduction_factor: One trial in this many continues.
        soft: Whether a trial stops only if it is worse by more than the noise of an evaluation.
        least: Trials that a rung lets pass however few reach it.
        promotes: Whether a trial that was stopped goes on once its rung would let it pass.
    """

    def __init__(
        self,
        rungs: Sequence[int],
        reduction_factor: int,
        *,
        soft: bool = False,
        least: int = 1,
        promotes: bool = False,
    ) -> None:
        self.rungs = tuple(rungs)
        self.promotes = promotes
        self._reduction_factor = reduction_factor
        self._soft = soft
        self._least = least

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Returns whether a trial stops at its last evaluation."""
        if not at_a_rung(trial, self.rungs):
            return False
        trials = study.get_trials(deepcopy=False)
        return self._stops(trial, lineage_ends(trials), study.direction)

    def _stops(self, trial: FrozenTrial, rivals: Sequence[FrozenTrial], direction: StudyDirection) -> bool:
        rung = trial.last_step
        assert rung is not None
        all_there = [*(rival for rival in rivals if rival.number != trial.number), trial]
        sign = sign_of(direction)
        return sign * trial.intermediate_values[rung] > self.cutoff(rung, all_there, sign)

    def cutoff(self, rung: int, trials: Sequence[FrozenTrial], sign: float, at_least: int = 0) -> float:
        """Returns the loss up to which a rung lets trials pass.

        Args:
            rung: Samples at the rung.
            trials: Trials of the study, an interrupted one and those that continue it as one.
            sign: 1 if smaller values are better, else -1: a loss is a value times it.
            at_least: Trials that pass however few have reached it, if more than `least`.
        """
        losses = losses_at(rung, trials, sign)
        places = max(at_least, self.places(len(losses)))
        return loss_in_place(losses, places) + self.margin(rung, trials)

    def margin(self, rung: int, trials: Sequence[FrozenTrial]) -> float:
        """Returns by how much a trial may be worse than the last that passes."""
        return margin(trials, rung) if self._soft else 0.0

    def places(self, num_there: int) -> int:
        """Returns how many of the trials that have reached a rung pass it."""
        return max(self._least, num_there // self._reduction_factor)


class GuardedHalving(SuccessiveHalving):
    """Successive halving while its rungs rank trials about as the end does.

    The first three trials run to the end, and so do all while a rung's rank correlation with the end is low. They are
    what it is measured by, so that rungs may stop trials again. It takes all that `SuccessiveHalving` takes.

    Args:
        rungs: Samples at which trials are compared, ascending.
        reduction_factor: One trial in this many continues.
    """

    def cutoff(self, rung: int, trials: Sequence[FrozenTrial], sign: float, at_least: int = 0) -> float:
        """Returns the loss up to which a rung lets trials pass: infinity if it may stop none."""
        if not RungTrust(trials, self.rungs).may_stop(rung):
            return math.inf
        return super().cutoff(rung, trials, sign, at_least)


class Hyperband(BasePruner):
    """Hyperband (Li et al., arXiv:1603.06560): brackets of successive halving that start at later rungs.

    Trials are assigned to brackets by number, in the paper's proportions (algorithm 1, line 3), and compete within
    their bracket. The sampler learns from all of them.

    Args:
        rungs: Samples at which trials of the first bracket are compared, ascending.
        reduction_factor: One trial in this many continues.
        soft: As for `SuccessiveHalving`.
    """

    def __init__(self, rungs: Sequence[int], reduction_factor: int, *, soft: bool = False) -> None:
        self._brackets = [
            SuccessiveHalving(rungs[skip:], reduction_factor, soft=soft) for skip in range(len(rungs) + 1)
        ]
        num = len(rungs)
        sizes = [
            math.ceil((num + 1) / (num - skip + 1) * reduction_factor ** (num - skip))
            for skip in range(num + 1)
        ]
        self._shares = [size / sum(sizes) for size in sizes]

    def bracket(self, number: int) -> int:
        """Returns the bracket of a trial, given its number before it was ever continued."""
        # Multiples of the golden ratio, modulo 1, are evenly spread in [0, 1), however many there are.
        position = (number + 0.5) * ((math.sqrt(5) - 1) / 2) % 1.0
        for index, share in enumerate(self._shares):
            position -= share
            if position < 0:
                return index
        return len(self._shares) - 1

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Returns whether a trial stops at its last evaluation."""
        trials = study.get_trials(deepcopy=False)
        first = first_numbers(trials)
        own = self.bracket(first[trial.number])
        pruner = self._brackets[own]
        if not at_a_rung(trial, pruner.rungs):
            return False
        rivals = [t for t in lineage_ends(trials) if self.bracket(first[t.number]) == own]
        return pruner._stops(trial, rivals, study.direction)


def make_pruner(study: Study) -> BasePruner:
    """Returns the pruner that a study's settings name."""
    if study.scheduler == "none" or not study.rungs:
        return NopPruner()
    if study.scheduler == "expected_improvement":
        # It builds on this module, and needs scipy, which other studies need not wait for.
        from thalweg.search.store.curves.stopping import ExpectedImprovement, proposed_by_curves

        even = not proposed_by_curves(study)
        return ExpectedImprovement(study.rungs, study.samples, study.seed, even=even)
    kinds: dict[SchedulerName, Callable[..., BasePruner]] = {
        "guarded_halving": GuardedHalving,
        "guarded_promotion": partial(GuardedHalving, promotes=True),
        "successive_halving": SuccessiveHalving,
        "promotion": partial(SuccessiveHalving, promotes=True, least=0),
        "hyperband": Hyperband,
    }
    return kinds[study.scheduler](study.rungs, study.reduction_factor, soft=study.soft_ranking)


def judged_from(stages: tuple[Stage, ...], study: Study) -> int:
    """Returns the samples from which early stopping may compare a trial; 0 if it has no rungs.

    That is when the first stage that teaches the metric has had as large a share of its own samples as the first rung
    is of the budget: with a single stage, the first rung itself.

    Args:
        stages: Stages of the trial.
        study: Metric, budget and rungs.
    """
    if not study.rungs:
        return 0
    plan = Plan.lay(stages, study.samples)
    for stage, start, end in zip(plan.stages, (0, *plan.ends), plan.ends, strict=False):
        if stage.teaches is None or study.metric in stage.teaches:
            return start + math.ceil((end - start) * study.rungs[0] / study.samples)
    return study.samples


def at_a_rung(trial: FrozenTrial, rungs: Sequence[int]) -> bool:
    """Returns whether a trial is to be compared at its last evaluation."""
    reached = trial.last_step
    return reached is not None and reached in rungs and is_judged(trial, reached)


def sign_of(direction: StudyDirection) -> float:
    """Returns what a value times it is a loss."""
    return 1.0 if direction == StudyDirection.MINIMIZE else -1.0


def losses_at(rung: int, trials: Sequence[FrozenTrial], sign: float) -> list[float]:
    """Returns the losses of the trials that are compared at a rung, ascending."""
    return sorted(
        sign * trial.intermediate_values[rung]
        for trial in trials
        if rung in trial.intermediate_values and is_judged(trial, rung) and BROKEN not in trial.user_attrs
    )


def loss_in_place(losses: Sequence[float], place: int) -> float:
    """Returns the loss in a place, 1 for the best: minus infinity for a place of 0, infinity for one that is free."""
    if place < 1:
        return -math.inf
    return losses[place - 1] if place <= len(losses) else math.inf


def lineage_ends(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Returns all trials but those that another one continues from their checkpoint."""
    continued = {t.user_attrs.get(CONTINUES) for t in trials if t.intermediate_values}
    return [trial for trial in trials if trial.number not in continued]


def first_numbers(trials: Sequence[FrozenTrial]) -> dict[int, int]:
    """Maps the number of each trial to that of the first trial that it continues, or to its own."""
    first: dict[int, int] = {}
    for trial in trials:  # in the order of their numbers, so a trial comes after the one that it continues
        first[trial.number] = first.get(trial.user_attrs.get(CONTINUES, -1), trial.number)
    return first
