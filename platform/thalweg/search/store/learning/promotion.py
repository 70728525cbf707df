"""Promotion: a trial that a rung stopped goes on once the rung would let it pass.

As more trials reach a rung, more of them pass it: one that was stopped may by now be among the best of them. This is
asynchronous successive halving as its authors describe it (Li et al., arXiv:1810.05934, algorithm 2, ``get_job``): a
free lane promotes a trial before it begins a new one. A trial that is among the best when it reaches a rung goes on at
once, on its own lane.

A promoted trial continues the stopped one under a new number, from its checkpoint and its curve, as one does that was
interrupted. So nothing but the trials themselves decides, and a study that was killed goes on as it would have.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from thalweg.search.store.early_stopping import (
    SuccessiveHalving,
    at_a_rung,
    lineage_ends,
    loss_in_place,
    losses_at,
    sign_of,
)
from thalweg.search.store.records import BROKEN, CHECKPOINT, CONFIG, RESUMES
from thalweg.training.checkpoints.places import resolve
from thalweg.training.checkpoints.state import FROM_BEFORE, newest_whole


def promotable(
    trials: Sequence[FrozenTrial], halving: SuccessiveHalving, direction: StudyDirection, at_least: int = 0
) -> list[FrozenTrial]:
    """Returns the stopped trials that their rungs would let pass by now: of the highest rung first, then the best.

    While rungs may stop no trial, for they mislead, they promote none either.

    Args:
        trials: All trials of the study.
        halving: What stopped them.
        direction: Whether smaller or larger values are better.
        at_least: Trials that a rung lets pass however few have reached it.
    """
    sign, ends = sign_of(direction), lineage_ends(trials)
    found: list[FrozenTrial] = []
    for rung in reversed(halving.rungs):
        stopped = _stopped(ends, rung, halving)
        limit = halving.cutoff(rung, ends, sign, at_least) if stopped else math.inf
        losses = {trial.number: sign * trial.intermediate_values[rung] for trial in stopped}
        passing = [trial for trial in stopped if losses[trial.number] <= limit < math.inf]
        found += sorted(passing, key=lambda trial: (losses[trial.number], trial.number))
    return found


def hopeful(
    trials: Sequence[FrozenTrial], halving: SuccessiveHalving, direction: StudyDirection, num_open: int
) -> set[int]:
    """Returns the numbers of the stopped trials that may still be promoted, whatever becomes of the others.

    Args:
        trials: All trials of the study.
        halving: What stopped them.
        direction: Whether smaller or larger values are better.
        num_open: Trials that may still begin.
    """
    sign, ends = sign_of(direction), lineage_ends(trials)
    found: set[int] = set()
    for rung in halving.rungs:
        losses = losses_at(rung, ends, sign)
        running = (trial for trial in ends if trial.state == TrialState.RUNNING)
        coming = num_open + len(found) + sum(rung not in trial.intermediate_values for trial in running)
        places = max(1, halving.places(len(losses) + coming))  # the last that is left may be the best
        limit = loss_in_place(losses, places) + halving.margin(rung, ends)
        found |= {
            trial.number
            for trial in _stopped(ends, rung, halving)
            if sign * trial.intermediate_values[rung] <= limit
        }
    return found


def _stopped(ends: Sequence[FrozenTrial], rung: int, halving: SuccessiveHalving) -> list[FrozenTrial]:
    return [
        trial
        for trial in ends
        if trial.state == TrialState.PRUNED
        and trial.last_step == rung
        and at_a_rung(trial, halving.rungs)
        and BROKEN not in trial.user_attrs
    ]


class Promotions:
    """The trials of a study that may be promoted now: those whose checkpoints are there.

    Args:
        study: The study.
        directory: Its folder.
        identity: Identifier in the study's checkpoints.
    """

    def __init__(self, study: optuna.Study, directory: Path, identity: str) -> None:
        self._study = study
        self._directory = directory
        self._studies = {identity, FROM_BEFORE}
        self._lacking: dict[int, str] = {}  # by trial, what is wrong with its checkpoint; empty if nothing is
        self._told: set[int] = set()

    def ready(self, num_new: int) -> list[FrozenTrial]:
        """Returns the trials that may be promoted, the next one first.

        Once all trials of the study have been stopped or ended, each rung lets its best pass, so that a small study
        has one that ran to the end.

        Args:
            num_new: Trials of the study that have not begun.
        """
        halving = self._halving()
        if halving is None:
            return []
        trials = self._study.get_trials(deepcopy=False)
        is_last = num_new == 0 and all(trial.state.is_finished() for trial in trials)
        found = promotable(trials, halving, self._study.direction, int(is_last))
        return [trial for trial in found if not self._lacks(trial)]

    def hopeful(self, num_open: int) -> set[int]:
        """Returns the numbers of the trials whose checkpoints may still be needed; see `hopeful`."""
        halving = self._halving()
        if halving is None:
            return set()
        return hopeful(self._study.get_trials(deepcopy=False), halving, self._study.direction, num_open)

    def notes(self) -> Iterator[str]:
        """Yields a sentence about each trial that could not be promoted, once."""
        for number, why in self._lacking.items():
            if why and number not in self._told:
                self._told.add(number)
                yield f"trial {number} is not promoted: {why}"

    def _halving(self) -> SuccessiveHalving | None:
        pruner = self._study.pruner
        return pruner if isinstance(pruner, SuccessiveHalving) and pruner.promotes else None

    def _lacks(self, trial: FrozenTrial) -> str:
        """Says what is wrong with a trial's checkpoint at its rung, which is read once; empty if nothing is."""
        if trial.number not in self._lacking:
            self._lacking[trial.number] = self._look(trial)
        return self._lacking[trial.number]

    def _look(self, trial: FrozenTrial) -> str:
        recorded = checkpoint_of(trial)
        if recorded is None:
            return "it has no checkpoint"
        found = newest_whole(
            {resolve(self._directory, recorded).parent: self._studies}, trial.user_attrs[CONFIG]
        )
        if found.folder is not None and found.samples >= (trial.last_step or 0):
            return ""
        return next(iter(found.skipped.values()), f"the checkpoint {recorded} is gone")


def checkpoint_of(trial: FrozenTrial) -> str | None:
    """Returns the recorded path of a trial's newest checkpoint: its own, or that which it resumes from."""
    found: str | None = trial.user_attrs.get(CHECKPOINT, trial.user_attrs.get(RESUMES))
    return found
