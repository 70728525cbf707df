"""The queue of a population: whose turn it is, who waits at a mark, and heirs in the places of those that end there.

A trial that has reached a mark rests: its lane takes another one, and the trial goes on under its own number once all
members are there. The storage has it as running meanwhile; if the search ends, it is interrupted as those on lanes are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from thalweg.search.store import continuations, private_optuna
from thalweg.search.store.early_stopping import sign_of
from thalweg.search.store.learning.promotion import checkpoint_of
from thalweg.search.store.population.exploitation import Replacement, replacements
from thalweg.search.store.population.exploration import Configure, changes_told, explored
from thalweg.search.store.population.members import (
    Member,
    completed,
    mark_behind,
    members_of,
    populations,
    predecessor,
    reached,
)
from thalweg.search.store.records import CONFIG, PARENT, PARENT_SAMPLES, REPLACES, RESUMES
from thalweg.search.store.trial_queue import TrialQueue
from thalweg.study import Study
from thalweg.study_folder import StudyFolder, checkpoint_name, trial_name
from thalweg.training.checkpoints.places import link, relative, resolve
from thalweg.training.checkpoints.state import FROM_BEFORE, Found, newest_whole


class PopulationQueue(TrialQueue):
    """Lets the members of populations train in turns, from mark to mark.

    Args:
        study: The study.
        directory: Its folder.
        identity: Identifier in the study's checkpoints.
        settings: Its settings.
        configure: Its space, with what configurations inherit from other studies.
    """

    def __init__(
        self, study: optuna.Study, directory: Path, identity: str, settings: Study, configure: Configure
    ) -> None:
        super().__init__(study, directory, identity)
        assert settings.population is not None
        self._settings, self._population = settings, settings.population
        self._configure = configure
        self._resting: set[int] = set()
        self._lost: set[int] = set()  # trials that cannot be continued, for their checkpoints are gone

    def rests(self, number: int) -> bool:
        """Returns whether a trial waits for the others after its last evaluation; if so it has left its lane."""
        trial = self.frozen(number)
        if trial.last_step not in self._settings.marks:
            return False
        private_optuna.set_user_attr(self._study, trial, _RESTS_AT, trial.last_step)
        self._resting.add(number)
        return True

    def settle(self) -> Iterator[tuple[int, str]]:
        """Makes the heirs of members that end at a mark which all have reached.

        Yields:
            Number of a trial that is to be ended in this session, and why.
        """
        yield from self.replaced()
        for members in populations(self._trials(), self._population.size):
            mark = completed(members, self._population.size, self._settings.marks)
            for replacement in self._replacements(members, mark) if mark else ():
                self._replace(replacement)
                yield from self.replaced()

    def replaced(self) -> Iterator[tuple[int, str]]:
        """Yields the trials that still run although an heir has their place, with the reason for their end."""
        trials = self._trials()
        for heir in trials:
            loser = heir.user_attrs.get(REPLACES)
            if loser is not None and trials[loser].state == TrialState.RUNNING:
                self._resting.discard(loser)
                yield loser, _why(trials, heir)

    def why_replaced(self, number: int) -> str:
        """Returns why a trial ends that an heir replaces, as a sentence; empty if none does."""
        trials = self._trials()
        return next((_why(trials, t) for t in trials if t.user_attrs.get(REPLACES) == number), "")

    def resumed(self) -> int | None:
        """Returns the number of a trial that has rested and goes on now; None if another one is to be taken."""
        for trial in self._ready(self._trials())[:1]:
            if trial.state == TrialState.RUNNING:
                self._resting.discard(trial.number)
                private_optuna.set_user_attr(self._study, trial, _RESTS_AT, None)
                return trial.number
        return None

    def take(self, num_trials: int) -> optuna.Trial:
        """Begins a trial that waits for its turn, one of the study's first trials, or a new one."""
        trials = self._trials()
        waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
        first = [trial for trial in waiting if predecessor(trial) is None]
        for trial in [*self._ready(trials), *first][:1]:
            return private_optuna.take_up(self._study, trial)
        return private_optuna.begin_new(self._study)

    def start(self, attributes: Mapping[str, Any], config: Mapping[str, Any]) -> Found:
        """Finds the checkpoint from which a trial goes on: its own newest one, or that of its parent."""
        found = super().start(attributes, config)
        if found.folder is not None or PARENT not in attributes or RESUMES not in attributes:
            return found
        folder = resolve(self._directory, attributes[RESUMES]).parent
        inherited = newest_whole({folder: {self._identity, FROM_BEFORE}}, self.inherits(attributes) or {})
        return Found(inherited.folder, inherited.samples, {**found.skipped, **inherited.skipped})

    def inherits(self, attributes: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Returns the configuration of the trial whose checkpoint another one continues; None if it is its own."""
        parent = attributes.get(PARENT)
        return None if parent is None else self.frozen(parent).user_attrs.get(CONFIG)

    def num_new(self, num_trials: int) -> int:
        """Returns how many members have not begun."""
        return max(0, num_trials - len(members_of(self._trials())))

    def num_open(self, num_trials: int) -> int:
        """Returns how many trials may begin or go on now."""
        return len(self._ready(self._trials())) + self.num_new(num_trials)

    def is_at_fault(self, trial: FrozenTrial) -> bool:
        """Returns whether the death of a process may be a trial's fault: one that rests is on no lane."""
        return trial.user_attrs.get(_RESTS_AT) is None

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _ready(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Returns the trials that may go on, those of the first population and the least trained ones first."""
        marks = self._settings.marks
        found = [trial for trial in trials if _is_to_be_ended(trial, trials)]
        for members in populations(trials, self._population.size):
            mark = completed(members, self._population.size, marks)
            there = [m for m in members if mark_behind(reached(m.current), marks) <= mark]
            order = sorted(there, key=lambda member: (reached(member.current), member.place))
            found += [member.current for member in order if self._waits(member.current)]
        return found

    def _waits(self, trial: FrozenTrial) -> bool:
        return trial.state == TrialState.WAITING or (
            trial.state == TrialState.RUNNING and trial.number in self._resting
        )

    def _replacements(self, members: Sequence[Member], mark: int) -> list[Replacement]:
        sign = sign_of(self._study.direction)
        return replacements(members, mark, sign, self._population.exploit, self._settings.seed)

    def _replace(self, replacement: Replacement) -> None:
        """Makes the heir of a member that ends, unless no checkpoint of a better one is whole."""
        for parent in replacement.parents:
            source = self._checkpoint_at(parent, replacement.mark)
            if source is not None:
                self._make_heir(replacement, parent, source)
                return

    def _make_heir(self, replacement: Replacement, parent: FrozenTrial, source: Path) -> None:
        trials, mark = self._trials(), replacement.mark
        params = explored(self._configure, parent.params, self._population, Random(replacement.seed))
        # A copy of its own: the parent goes on and deletes it. One that has no trial yet is harmless.
        own = StudyFolder(self._directory).trial(trial_name(len(trials))) / checkpoint_name(mark)
        link(source, own)
        trained = parent if CONFIG in parent.user_attrs else _last_trained(trials, parent)
        attributes: dict[str, Any] = {
            PARENT: trained.number,
            PARENT_SAMPLES: mark,
            REPLACES: replacement.loser.number,
            RESUMES: relative(own),
            _WHY: replacement.why,
        }
        self._study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=params,
                distributions=parent.distributions,
                user_attrs=attributes,
            )
        )
        changed = changes_told(parent.params, params)
        self._notes.append(
            f"trial {len(trials)} continues trial {trained.number} from {mark:,} samples, "
            f"{f'with {changed}' if changed else 'with its values'}: trial {replacement.loser.number} ends, for "
            f"{replacement.why}"
        )

    def _checkpoint_at(self, trial: FrozenTrial, mark: int) -> Path | None:
        """Returns the whole checkpoint of a trial at a mark; None without one, which is told once."""
        recorded = checkpoint_of(trial)
        why = "it has no checkpoint"
        if recorded is not None:
            config = _last_trained(self._trials(), trial).user_attrs[CONFIG]
            folder = resolve(self._directory, recorded).parent
            found = newest_whole({folder: {self._identity, FROM_BEFORE}}, config)
            if found.folder is not None and found.samples == mark:
                return found.folder
            why = next(iter(found.skipped.values()), f"the checkpoint {recorded} is gone")
        if trial.number not in self._lost:
            self._lost.add(trial.number)
            self._notes.append(f"trial {trial.number} is not continued by another one: {why}")
        return None


_RESTS_AT = "rests_at"  # user attribute: samples at the mark where a trial rests; None while it trains
_WHY = "why_replaced"  # user attribute of an heir: why the trial ends in whose place it trains


def _why(trials: Sequence[FrozenTrial], heir: FrozenTrial) -> str:
    first = next(t for t in trials if t.user_attrs.get(REPLACES) == heir.user_attrs[REPLACES])
    why = first.user_attrs.get(_WHY, "another one is better")
    return f"replaced: {why}; trial {first.number} continues trial {first.user_attrs[PARENT]} in its place"


def _is_to_be_ended(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether a trial waits to go on that an heir has replaced meanwhile; it is begun to be ended."""
    return trial.state == TrialState.WAITING and any(
        each.user_attrs.get(REPLACES) == trial.number for each in trials
    )


def _last_trained(trials: Sequence[FrozenTrial], trial: FrozenTrial) -> FrozenTrial:
    """Returns a trial, or the one that it continues, of which the storage knows the configuration."""
    before = continuations.last_begun(trials, trial.number)
    return trial if CONFIG in trial.user_attrs or before is None else trials[before]
