"""The queue of a study's waiting trials: interrupted and promoted ones go on before new ones begin."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from thalweg.search.store import continuations, private_optuna
from thalweg.search.store.learning.promotion import Promotions, checkpoint_of
from thalweg.search.store.records import CONTINUES, OUTCOME, RESUMES
from thalweg.training.checkpoints.places import relative, resolve
from thalweg.training.checkpoints.state import FROM_BEFORE, Found, newest_whole


class TrialQueue:
    """Continues interrupted and promoted trials, finds the checkpoints that they resume from, and puts trials back.

    Args:
        study: The study.
        directory: Its folder.
        identity: Identifier in the study's checkpoints.

    Attributes:
        promotions: The trials that may be promoted.
    """

    def __init__(self, study: optuna.Study, directory: Path, identity: str) -> None:
        self._study = study
        self._directory = directory
        self._identity = identity
        self._notes: list[str] = []
        self.promotions = Promotions(study, directory, identity)

    def take(self, num_trials: int) -> optuna.Trial:
        """Begins a trial: one that was interrupted or is promoted, one of the study's first trials, or a new one."""
        return self._continued() or self._promoted(num_trials) or self._study.ask()

    def resumed(self) -> int | None:
        """Returns the number of a trial that has rested and goes on now; None, for none rests here."""
        return None

    def rests(self, number: int) -> bool:
        """Returns whether a trial waits for others after its last evaluation."""
        return False

    def settle(self) -> Iterator[tuple[int, str]]:
        """Yields trials that the values of others end, with the reason; there are none here."""
        yield from ()

    def replaced(self) -> Iterator[tuple[int, str]]:
        """Yields trials that still run although another one has their place; there are none here."""
        yield from ()

    def why_replaced(self, number: int) -> str:
        """Returns why a trial ends in whose place another one trains; empty, for none does here."""
        return ""

    def inherits(self, attributes: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Returns the configuration of the trial whose checkpoint another one continues; None if it is its own."""
        return None

    def is_at_fault(self, trial: FrozenTrial) -> bool:
        """Returns whether the death of a process may be the fault of a trial that it ran."""
        return True

    def _promoted(self, num_trials: int) -> optuna.Trial | None:
        """Begins a trial that goes on from the rung that stopped it, if there is one to promote."""
        for trial in self.promotions.ready(self.num_new(num_trials))[:1]:
            self._study.add_trial(continuations.continuation(trial, 0, checkpoint_of(trial)))
        return self._continued()

    def _continued(self) -> optuna.Trial | None:
        """Begins a trial that continues another, if one waits: the one that began first."""
        for waiting in self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            if CONTINUES in waiting.user_attrs:
                return private_optuna.take_up(self._study, waiting)
        return None

    def start(self, attributes: Mapping[str, Any], config: Mapping[str, Any]) -> Found:
        """Finds the checkpoint from which a trial that continues another one resumes."""
        if RESUMES not in attributes:
            return Found()
        folder = resolve(self._directory, attributes[RESUMES]).parent
        return newest_whole({folder: {self._identity, FROM_BEFORE}}, config)

    def interrupt(self, reason: str, crashed: bool, max_retries: int) -> Iterator[tuple[int, str, bool]]:
        """Puts every running trial back into the queue, to go on from its newest checkpoint.

        Args:
            reason: Why they were interrupted.
            crashed: Whether their process died.
            max_retries: Crashes without progress up to which a trial is put back.

        Yields:
            Number of a trial that is to be ended, why, and whether it is interrupted rather than given up.
        """
        trials = self._study.get_trials(deepcopy=False)
        continued = {trial.user_attrs.get(CONTINUES) for trial in trials}
        for trial in [trial for trial in trials if trial.state == TrialState.RUNNING]:
            crashes = continuations.crashes(trial) + int(crashed and self.is_at_fault(trial))
            goes_on = crashes <= max_retries
            if trial.number not in continued and goes_on:
                self._study.add_trial(continuations.continuation(trial, crashes, checkpoint_of(trial)))
            # Queued first: a process that dies between the two only ends the trial when it is repeated.
            yield trial.number, reason if goes_on else f"{reason} {crashes} times", goes_on

    def put_back_earlier(self, number: int, found: Found) -> str:
        """Puts back a trial whose checkpoint is gone or damaged, with its curve up to an older checkpoint.

        Returns:
            Why the checkpoint could not be used.
        """
        trial = self.frozen(number)
        place = relative(trial.user_attrs[RESUMES])
        is_there = resolve(self._directory, place).exists()
        lost = f"the checkpoint {place} is {'of another configuration' if is_there else 'gone'}"
        why = "; ".join(found.skipped.values()) or lost
        self.note_start(number, found, why)
        checkpoint = relative(found.folder) if found.folder else None
        crashes = trial.user_attrs.get(continuations.CRASHES, 0)
        self._study.add_trial(continuations.continuation(trial, crashes, checkpoint, found.samples))
        return why

    def note_start(self, number: int, found: Found, why: str) -> None:
        """Notes, for people, where a continued trial resumes and why not later."""
        where = f"after {found.samples:,} samples" if found.folder else "from the start"
        before = continuations.last_begun(self._study.get_trials(deepcopy=False), number)
        note = f"trial {before} is continued {where}: {why}"
        self._notes += [note] if note not in self._notes else []  # the trial in its place finds the same

    def notes(self) -> tuple[str, ...]:
        """Returns what was noted since the last call."""
        notes, self._notes = [*self._notes, *self.promotions.notes()], []
        return tuple(notes)

    def seconds_before(self, attributes: Mapping[str, Any]) -> float:
        """Returns the seconds that a continued trial had run before; 0 if it starts anew, or if its process died."""
        if RESUMES not in attributes or CONTINUES not in attributes:
            return 0.0
        return float(self.frozen(attributes[CONTINUES]).user_attrs.get(OUTCOME, {}).get("seconds", 0.0))

    def num_new(self, num_trials: int) -> int:
        """Returns how many of a study's trials have not begun; interrupted, waiting and promoted ones do not count."""
        trials = self._study.get_trials(deepcopy=False)
        continued = {trial.user_attrs.get(CONTINUES) for trial in trials}
        taken = sum(
            trial.state != TrialState.WAITING
            and not trial.user_attrs.get(OUTCOME, {}).get("interrupted")
            and not (trial.state == TrialState.PRUNED and trial.number in continued)
            for trial in trials
        )
        return max(0, num_trials - taken)

    def num_open(self, num_trials: int) -> int:
        """Returns how many trials may begin now: those that have not, and those that may be promoted."""
        num_new = self.num_new(num_trials)
        return num_new + len(self.promotions.ready(num_new))

    def frozen(self, number: int) -> FrozenTrial:
        """Returns a trial as the storage holds it."""
        return self._study.get_trials(deepcopy=False)[number]
