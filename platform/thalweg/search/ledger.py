"""The one truth of a study: an Optuna study that proposes, is told, decides, and survives its process.

Every trial ends as complete, pruned or failed. One whose process died, or that Ctrl-C stopped, is failed as
*interrupted* and put back into the queue with the same parameters: a new trial that continues from its
checkpoint and its curve.
"""

import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from thalweg.config import FamilyConfig
from thalweg.contract import Metric
from thalweg.errors import ConfigError, NonFiniteError, SpaceError, StudyError, ThalwegError, TrialError
from thalweg.search import continuations, records
from thalweg.search.definition import open_study, renew, write_definition
from thalweg.search.proposed import ProposedTrial
from thalweg.search.records import (
    CHECKPOINT,
    CONFIG,
    CONTINUES,
    FOLDER,
    METRICS,
    OUTCOME,
    RESUMES,
    StudyRecord,
    TrialRecord,
)
from thalweg.search.sources import Sources
from thalweg.search.space import Space
from thalweg.search.storage import Claim, SharedClaim, close_storage, losses, open_storage, tell_waits
from thalweg.training import baselines
from thalweg.training.orders import CHECKPOINTS
from thalweg.training.places import relative, resolve
from thalweg.training.state import FROM_BEFORE, Found, newest_whole

_FIXED = "fixed_params"  # where Optuna keeps what `enqueue_trial` was given
_IDENTITY = (
    "identity"  # user attribute of the study: what its checkpoints bear, wherever it is moved or copied
)
_PROTOCOL = "protocol"  # user attribute of the study: [hash, number of the first trial]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A trial that begins.

    Attributes:
        number: Number within the study.
        params: What the space asked.
        config: What is to be trained, with what it inherits from other studies.
        continues: The interrupted trial whose place it takes.
        checkpoint: Where that trial's state lies; None starts from nothing.
        curve: (samples, objective) that it inherits with the checkpoint.
        notes: Sentences for people about what it could not inherit.
    """

    number: int
    params: Mapping[str, Any]
    config: FamilyConfig
    continues: int | None = None
    checkpoint: str | None = None
    curve: tuple[tuple[int, float], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A trial that failed before it began: the space refused its parameters, or a study to start from is missing.

    Attributes:
        number: Number within the study.
        params: What the space had asked until then.
        error: What was raised.
    """

    number: int
    params: Mapping[str, Any]
    error: ThalwegError


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a trial reports at an evaluation.

    Attributes:
        samples: Samples seen.
        value: The objective.
        metrics: Everything that the evaluation gave.
        protocol: Hash of the protocol at which it was done.
        checkpoint: Where the trial's state lies.
        final: Whether it ends the budget.
    """

    samples: int
    value: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    protocol: str | None = None
    checkpoint: str | None = None
    final: bool = False


@dataclass
class _Live:
    trial: optuna.Trial
    began: float
    steps: set[int]
    checkpoint: str | None
    earlier: float = 0.0  # seconds of the trial that it continues
    last: Evaluation | None = None


class Ledger:
    """Asks, records and decides; use `open`.

    Attributes:
        directory: The study's folder.
        space: The search space with the study's settings.
        sources: The studies that its configurations start from.
        num_recovered: Trials of an earlier process that were found running and put back.
        notes: What people should know of the opening: lines that could not be read, a definition that was replaced.
        is_new: Whether the study has just been created.
        identity: What the study's checkpoints bear.
    """

    def __init__(
        self,
        study: optuna.Study,
        directory: Path,
        space: Space,
        sources: Sources,
        claim: Claim,
        claims: ExitStack,
    ) -> None:
        known = (trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False))
        self.is_new = _IDENTITY not in study.user_attrs and not any(known)
        if _IDENTITY not in study.user_attrs:
            study.set_user_attr(_IDENTITY, uuid.uuid4().hex)
        self.identity: str = study.user_attrs[_IDENTITY]
        self.directory = directory
        self.space = space
        self.sources = sources
        self.num_recovered = 0
        self.notes: tuple[str, ...] = ()
        self._study = study
        self._claim = claim
        self._claims = claims
        self._live: dict[int, _Live] = {}
        self._notes: list[str] = []
        self._protocol: list[Any] | None = study.user_attrs.get(_PROTOCOL)

    @classmethod
    def open(
        cls,
        directory: Path,
        name: str,
        space: Space,
        *,
        storage: str | None = None,
        take_over: bool = False,
    ) -> "Ledger":
        """Creates a study or continues it; trials that an earlier process left running are put back.

        Args:
            directory: The study's folder.
            name: The study's name.
            space: What is searched, with the settings of the study.
            storage: A database instead of a journal in the folder, in SQLAlchemy's form.
            take_over: Whether to drive a study in a database whose driver on another host is gone.

        Raises:
            StudyError: Another process drives the study, its name is used for something else, or its storage
                cannot be opened.
            OutputError: The folder cannot be written.
        """
        with ExitStack() as claims:  # given back here if anything fails, else by `close`
            claim = Claim(directory)
            claims.callback(claim.release)
            opened = open_storage(directory, storage)
            claims.callback(close_storage, opened)
            study = open_study(opened, name, space)
            if storage is not None:
                shared = SharedClaim(study, take_over=take_over)
                claims.callback(shared.release)
            study, change = renew(study, space)
            if change:
                baselines.forget(directory / CHECKPOINTS)
            if storage is not None:
                if change:
                    shared.move(study)
                study.set_user_attr(FOLDER, str(directory.absolute()))
            write_definition(study, space)
            sources = Sources(directory, own=name, storage=storage)
            ledger = cls(study, directory, space, sources, claim, claims)
            ledger.num_recovered = ledger._recover(claim.last_died)
            ledger.notes = (*losses(opened), *([change] if change else []))
            ledger._claims = claims.pop_all()
        return ledger

    def _recover(self, died: bool) -> int:
        """Puts back what the process before left running: it died, or could not write any more when it ended."""
        reason = "interrupted: its process died" if died else "interrupted: the search was stopped"
        ended = [self._frozen(number) for number in self.interrupt_all(reason, crashed=died)]
        return sum(bool(trial.user_attrs[OUTCOME].get("interrupted")) for trial in ended)

    def tell_waits(self, tell: Callable[[str], None]) -> None:
        """Lets somebody hear when the study's database is waited for."""
        tell_waits(self._study._storage, tell)

    def declare(self, metrics: Sequence[Metric]) -> None:
        """Records what the family of the study declares, for a look at it that does not import the family."""
        declared = [asdict(metric) for metric in metrics]
        if declared != self._study.user_attrs.get(METRICS):
            self._study.set_user_attr(METRICS, declared)

    def close(self) -> None:
        """Lets another process drive the study."""
        self._claims.close()

    def read(self) -> StudyRecord:
        """Returns everything that the storage holds."""
        return records.read(self._study, self.directory)

    def trials(self) -> list[TrialRecord]:
        """Returns all trials in the order of their numbers."""
        return list(self.read().trials)

    def best(self) -> TrialRecord | None:
        """Returns the best complete trial."""
        return self.read().best()

    def num_open(self) -> int:
        """Returns how many trials may still begin: interrupted and waiting ones do not count."""
        taken = sum(
            trial.state != TrialState.WAITING and not trial.user_attrs.get(OUTCOME, {}).get("interrupted")
            for trial in self._study.get_trials(deepcopy=False)
        )
        return max(0, self.space.study.num_trials - taken)

    def ask(self) -> Proposal | Rejection:
        """Begins a trial: one that was interrupted, one of the study's first trials, or a new one.

        One that was interrupted begins where its newest whole checkpoint is, with the curve until there.
        """
        asked = self._ask()
        while asked is None:
            asked = self._ask()
        return asked

    def _ask(self) -> Proposal | Rejection | None:
        """Begins a trial; None where it is put back to begin earlier than its curve ends."""
        trial = self._continued() or self._study.ask()
        attributes = trial.user_attrs
        frozen = self._frozen(trial.number)
        curve = tuple(sorted(frozen.intermediate_values.items()))
        self._live[trial.number] = _Live(
            trial,
            time.monotonic(),
            {step for step, _ in curve},
            attributes.get(RESUMES),
            self._spent(attributes.get(CONTINUES)) if RESUMES in attributes else 0.0,
        )
        try:
            config = self.sources.take(self.space(ProposedTrial(trial, frozen.system_attrs.get(_FIXED))))
        except (SpaceError, StudyError, ConfigError) as error:
            self.fail(trial.number, str(error))
            return Rejection(number=trial.number, params=trial.params, error=error)
        document = config.model_dump(mode="json")
        found = self._start(attributes, document)
        if curve and found.samples < curve[-1][0]:
            self._begin_earlier(trial.number, found)
            return None
        trial.set_user_attr(CONFIG, document)
        if found.skipped:
            self._tell_start(trial.number, found, "; ".join(found.skipped.values()))
        notes, self._notes = self._notes, []
        trials = self._study.get_trials(deepcopy=False)
        return Proposal(
            number=trial.number,
            params=trial.params,
            config=config,
            continues=continuations.last_begun(trials, trial.number),
            checkpoint=str(found.folder) if found.folder else None,
            curve=curve,
            notes=tuple(notes),
        )

    def _continued(self) -> optuna.Trial | None:
        """Takes up a trial that was interrupted: those that wait go first, in the order in which they began."""
        for waiting in self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            if CONTINUES in waiting.user_attrs:
                self._study._thread_local.cached_all_trials = None
                self._study._storage.set_trial_state_values(waiting._trial_id, state=TrialState.RUNNING)
                return optuna.Trial(self._study, waiting._trial_id)
        return None

    def _start(self, attributes: Mapping[str, Any], config: Mapping[str, Any]) -> Found:
        """Finds where a trial goes on that continues another one."""
        if RESUMES not in attributes:
            return Found()
        folder = resolve(self.directory, attributes[RESUMES]).parent
        return newest_whole({folder: {self.identity, FROM_BEFORE}}, config)

    def _begin_earlier(self, number: int, found: Found) -> None:
        """Puts a trial back whose checkpoint is gone or damaged, with what its older one leaves of the curve."""
        trial = self._frozen(number)
        place = relative(trial.user_attrs[RESUMES])
        is_there = resolve(self.directory, place).exists()
        lost = f"the checkpoint {place} is {'of another configuration' if is_there else 'gone'}"
        why = "; ".join(found.skipped.values()) or lost
        self._tell_start(number, found, why)
        checkpoint = relative(found.folder) if found.folder else None
        crashes = trial.user_attrs.get(continuations.CRASHES, 0)
        self._study.add_trial(continuations.continuation(trial, crashes, checkpoint, found.samples))
        self._end(number, TrialState.FAIL, reason=f"interrupted: {why}", interrupted=True)

    def _tell_start(self, number: int, found: Found, why: str) -> None:
        where = f"after {found.samples:,} samples" if found.folder else "from the start"
        before = continuations.last_begun(self._study.get_trials(deepcopy=False), number)
        note = f"trial {before} is continued {where}: {why}"
        self._notes += [note] if note not in self._notes else []  # the trial in its place finds the same

    def report(self, number: int, evaluation: Evaluation) -> bool:
        """Records an evaluation of a running trial.

        Returns:
            False where the point is known, as after a retry from a checkpoint; nothing is recorded then.

        Raises:
            NonFiniteError: The objective is not finite.
            TrialError: It was evaluated at another protocol than the study's.
        """
        live = self._live[number]
        checkpoint = relative(evaluation.checkpoint) if evaluation.checkpoint else None
        if checkpoint not in (None, live.checkpoint):
            live.trial.set_user_attr(CHECKPOINT, checkpoint)
            live.checkpoint = checkpoint
        if not math.isfinite(evaluation.value):
            raise NonFiniteError(
                f"{self.space.study.metric} must be finite, got {evaluation.value} "
                f"after {evaluation.samples} samples"
            )
        self._check_protocol(number, evaluation.protocol)
        live.last = evaluation
        step = self._step(evaluation)
        if step in live.steps:
            return False
        live.steps.add(step)
        live.trial.report(evaluation.value, step)
        return True

    def check_protocol(self, protocol: str) -> None:
        """Refuses to go on at another evaluation protocol than that of the study's trials.

        Raises:
            StudyError: They differ.
        """
        if self._protocol is not None and protocol != self._protocol[0]:
            raise StudyError(
                f"a study keeps its evaluation protocol: {self._study.study_name!r} has {self._protocol[0]}, "
                f"got {protocol}; continue it with the data that it began with, or give the new study another name"
            )

    def should_stop(self, number: int) -> bool:
        """Says whether the study's scheduler stops a running trial at the point that it reported last."""
        return self._live[number].trial.should_prune()

    def complete(self, number: int) -> None:
        """Ends a trial at the end of its budget."""
        last = self._live[number].last
        assert last is not None
        self._end(number, TrialState.COMPLETE, value=last.value)

    def prune(self, number: int) -> None:
        """Ends a trial that the scheduler stopped; its curve is kept."""
        self._end(number, TrialState.PRUNED)

    def fail(self, number: int, reason: str) -> None:
        """Ends a trial that cannot go on."""
        self._end(number, TrialState.FAIL, reason=reason)

    def seconds(self, number: int) -> float:
        """Returns for how long a trial has been running, with the time of the one that it continues."""
        live = self._live[number]
        return live.earlier + time.monotonic() - live.began

    def took_up(self, number: int, seconds_ago: float) -> None:
        """Corrects when a trial began: its first lane may have needed a while to start."""
        live = self._live[number]
        live.began = max(live.began, time.monotonic() - seconds_ago)

    def interrupt_all(self, reason: str = "interrupted", *, crashed: bool = False) -> list[int]:
        """Ends every running trial as interrupted, and puts its parameters back into the queue.

        Args:
            reason: Why they were interrupted.
            crashed: Whether their process died. A parameter set that takes its process down more often than
                the study retries a trial, without getting any further, is not put back.

        Returns:
            The numbers of the trials.

        Raises:
            OutputError: The storage cannot be written. Those that are still running in it are put back when the study
                is opened again, and not counted as crashed.
        """
        try:
            return self._interrupt_all(reason, crashed)
        except Exception:
            if not crashed:
                self._claim.excuse()
            raise

    def _interrupt_all(self, reason: str, crashed: bool) -> list[int]:
        trials = self._study.get_trials(deepcopy=False)
        continued = {trial.user_attrs.get(CONTINUES) for trial in trials}
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        for trial in running:
            crashes = continuations.crashes(trial) + int(crashed)
            hopeless = crashes > self.space.study.max_retries
            if trial.number not in continued and not hopeless:
                checkpoint = trial.user_attrs.get(CHECKPOINT, trial.user_attrs.get(RESUMES))
                self._study.add_trial(continuations.continuation(trial, crashes, checkpoint))
            # Queued first: a process that dies between the two lines repeats the second one only.
            why = f"{reason} {crashes} times" if hopeless else reason
            self._end(trial.number, TrialState.FAIL, reason=why, interrupted=not hopeless)
        return [trial.number for trial in running]

    def _spent(self, number: int | None) -> float:
        """Returns the seconds of a trial that ended, as far as they are known: a process that dies tells none."""
        if number is None:
            return 0.0
        return float(self._frozen(number).user_attrs.get(OUTCOME, {}).get("seconds", 0.0))

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _step(self, evaluation: Evaluation) -> int:
        """Names the evaluation point: a batch may carry a trial beyond it, but rungs compare equal points."""
        study = self.space.study
        if evaluation.final:
            return study.samples
        return max((p for p in study.evaluations if p <= evaluation.samples), default=evaluation.samples)

    def _check_protocol(self, number: int, protocol: str | None) -> None:
        if protocol is None:
            return
        if self._protocol is None:
            self._protocol = [protocol, number]
            self._study.set_user_attr(_PROTOCOL, self._protocol)
        if protocol != self._protocol[0]:
            raise TrialError(
                f"trials of a study must be evaluated at one protocol, got {protocol} where trial "
                f"{self._protocol[1]} has {self._protocol[0]}; search no knob that changes the evaluation"
            )

    def _end(
        self,
        number: int,
        state: TrialState,
        *,
        value: float | None = None,
        reason: str = "",
        interrupted: bool = False,
    ) -> None:
        live = self._live.get(number)
        last = live.last if live else None
        outcome: dict[str, Any] = {
            "seconds": round(self.seconds(number), 3) if live else 0.0,
            "reason": reason,
        }
        if last is not None:
            finite = {name: number for name, number in last.metrics.items() if math.isfinite(number)}
            outcome |= {"samples": last.samples, "metrics": finite, "protocol": last.protocol}
        if interrupted:
            outcome["interrupted"] = True
        storage, trial_id = self._study._storage, self._frozen(number)._trial_id
        storage.set_trial_user_attr(trial_id, OUTCOME, outcome)
        self._study.tell(number, value, state=state)
        self._live.pop(number, None)
