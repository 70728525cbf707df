"""The ledger of a study: an Optuna study that proposes, records and prunes trials, and outlives its process.

Every trial ends as complete, pruned or failed. If its process dies or Ctrl-C stops it, it fails as *interrupted*
and its parameters go back into the queue: a new trial continues from its checkpoint and its curve.
"""

import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from thalweg.config import FamilyConfig
from thalweg.contract import Metric
from thalweg.errors import ConfigError, NonFiniteError, SpaceError, StudyError
from thalweg.events import EndedAs, StudyEnded
from thalweg.search.space import Space
from thalweg.search.store import continuations, private_optuna, records
from thalweg.search.store.definition import (
    FIXED,
    IDENTITY,
    RECORD,
    any_trained,
    as_begun,
    open_study,
    renew,
    search_kept,
    write_definition,
)
from thalweg.search.store.early_stopping import judged_from
from thalweg.search.store.growing.rebuilding import finish_rebuilding
from thalweg.search.store.multi_objective.admission import CostsOf, check_affordable, note_broken, unknown
from thalweg.search.store.population.population_queue import PopulationQueue
from thalweg.search.store.proposals import Proposal, ProposedTrial, Rejection
from thalweg.search.store.records import (
    CONFIG,
    ENDED,
    FOLDER,
    JUDGED_FROM,
    LINEAGE,
    METRICS,
    OUTCOME,
    PARENT_SAMPLES,
    RESUMES,
    StudyRecord,
    TrialRecord,
)
from thalweg.search.store.running.live_trial import Live, keep, note_switch, outcome_of
from thalweg.search.store.storage import (
    Claim,
    SharedClaim,
    close_storage,
    open_storage,
    skipped_lines,
    tell_waits,
)
from thalweg.search.store.study_protocol import StudyCode, StudyProtocol
from thalweg.search.store.trial_queue import TrialQueue
from thalweg.search.store.warm_start import StartingPoints
from thalweg.stage_contract import Stage
from thalweg.study import Study
from thalweg.study_folder import StudyFolder
from thalweg.training import baselines
from thalweg.training.checkpoints.state import Found
from thalweg.training.messages import Report

StagesOf = Callable[[Any], tuple[Stage, ...]]
"""Returns the stages of a configuration."""
_STATES: Mapping[EndedAs, TrialState] = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}


class Ledger:
    """Proposes trials, records them and decides which to prune; `open` returns one.

    Attributes:
        directory: The study's folder.
        space: The search space with the study's settings; what it leaves to defaults is as the study began.
        starting_points: Starting points of its configurations, for the warm start.
        num_recovered: Number of trials that an earlier process left running and that were put back into the queue.
        notes: Sentences for people about its opening: lines that could not be read, a definition that was replaced.
        is_new: Whether the study has just been created.
        identity: Identifier in the study's checkpoints.
        record_identity: Identifier in its records, which stays when the study is defined anew.
        protocol: The evaluation protocol that its trials share.
        code: The code that they share.
    """

    def __init__(
        self,
        study: optuna.Study,
        directory: Path,
        space: Space,
        starting_points: StartingPoints,
        claim: Claim,
        claims: ExitStack,
    ) -> None:
        known = (trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False))
        self.is_new = IDENTITY not in study.user_attrs and not any(known)
        if IDENTITY not in study.user_attrs:
            study.set_user_attr(IDENTITY, uuid.uuid4().hex)
        self.identity: str = study.user_attrs[IDENTITY]
        self.record_identity: str = study.user_attrs.get(RECORD, self.identity)
        self.directory = directory
        self.space = space
        self.starting_points = starting_points
        self.num_recovered = 0
        self.notes: tuple[str, ...] = ()
        self._study = study
        self._claim = claim
        self._claims = claims
        self._live: dict[int, Live] = {}
        self._stages_of: StagesOf | None = None
        self._costs_of: CostsOf = unknown
        self._queue = _queue_of(self)
        self.protocol = StudyProtocol(study)
        self.code = StudyCode(study)

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
        """Creates a study or opens it; trials that an earlier process left running are put back into the queue.

        Args:
            directory: The study's folder.
            name: The study's name.
            space: The search space with the study's settings.
            storage: SQLAlchemy URL of a database, instead of a journal in the folder.
            take_over: Whether to take over a study in a database from a process on another host that is gone.

        Raises:
            StudyError: Another process drives the study, its name is used for something else, or its storage
                cannot be opened.
            OutputError: The folder cannot be written.
        """
        with ExitStack() as claims:  # given back here if anything fails, else by `close`
            points = StartingPoints(directory, own=name, storage=storage)
            study, space, claim, notes = _opened(directory, name, space, storage, take_over, claims, points)
            ledger = cls(study, directory, space, points, claim, claims)
            ledger.num_recovered = _recover(ledger, claim.last_died)
            ledger.notes = notes
            ledger._claims = claims.pop_all()
        return ledger

    def tell_waits(self, tell: Callable[[str], None]) -> None:
        """Calls `tell` with a sentence for people whenever the search waits for the study's database."""
        tell_waits(private_optuna.storage_of(self._study), tell)

    def declare(self, metrics: Sequence[Metric]) -> None:
        """Records the metrics of the study's family, so that the study can be read without importing the family."""
        declared = [asdict(metric) for metric in metrics]
        if declared != self._study.user_attrs.get(METRICS):
            self._study.set_user_attr(METRICS, declared)

    def judge_by(self, stages_of: StagesOf, costs_of: CostsOf = unknown) -> None:
        """Lets early stopping know the stages of configurations, and constraints the costs that are known before."""
        self._stages_of, self._costs_of = stages_of, costs_of

    def close(self) -> None:
        """Releases the study, so that another process may drive it."""
        self._claims.close()

    def read(self) -> StudyRecord:
        """Returns everything that the storage holds."""
        return records.read(self._study, self.directory)

    def record_end(self, ended: StudyEnded) -> None:
        """Records how the study's last session ended, and why."""
        self._study.set_user_attr(ENDED, {"end": ended.end, "reason": ended.reason})

    def trials(self) -> list[TrialRecord]:
        """Returns all trials in the order of their numbers."""
        return list(self.read().trials)

    def num_open(self) -> int:
        """Returns how many trials may begin now; interrupted, waiting and promoted ones do not count as begun."""
        return self._queue.num_open(self.space.study.num_trials)

    def ask(self) -> Proposal | Rejection:
        """Begins a trial: an interrupted or promoted one, one of the study's first trials, or a new one.

        One that continues another resumes from its newest undamaged checkpoint, with the curve up to it.
        """
        asked = self._ask()
        while asked is None:
            asked = self._ask()
        return asked

    def _ask(self) -> Proposal | Rejection | None:
        """Begins a trial; None if it was put back to resume from an older checkpoint."""
        if (number := self._queue.resumed()) is not None:
            return _resumed(self._live[number], self._queue.notes())
        trial = self._queue.take(self.space.study.num_trials)
        attributes = trial.user_attrs
        frozen = self._queue.frozen(trial.number)
        curve = tuple(sorted(frozen.intermediate_values.items()))
        self._live[trial.number] = Live(
            trial,
            time.monotonic(),
            {step for step, _ in curve},
            attributes.get(RESUMES),
            self._queue.seconds_before(attributes),
            inherited=int(attributes.get(PARENT_SAMPLES, 0)),
        )
        try:
            config = _configured(self, trial, frozen.system_attrs.get(FIXED))
        except (SpaceError, StudyError, ConfigError) as error:
            self.fail(trial.number, str(error), "infeasible")
            return Rejection(number=trial.number, params=trial.params, error=error)
        document = config.model_dump(mode="json")
        found = self._queue.start(attributes, document)
        if curve and found.samples < curve[-1][0]:
            why = self._queue.put_back_earlier(trial.number, found)
            self._end(trial.number, "infrastructure", f"interrupted: {why}", goes_on=True)
            return None
        trial.set_user_attr(CONFIG, document)
        if self._stages_of is not None:
            _judge_later(trial, self._stages_of(config), self.space.study)
        if found.skipped:
            self._queue.note_start(trial.number, found, "; ".join(found.skipped.values()))
        proposal = _proposal(self._queue, self._study, trial, config, found)
        self._live[trial.number].proposal = proposal
        return proposal

    def report(self, number: int, report: Report) -> bool:
        """Records an evaluation of a running trial.

        Returns:
            False if the point is recorded already, as after a retry from a checkpoint; nothing is recorded then.

        Raises:
            NonFiniteError: The objective is not finite.
            TrialError: It was evaluated under another protocol than the study's.
        """
        live = self._live[number]
        keep(live, report)
        _check_finite(self.space.study, report)
        self.protocol.keep(number, report.protocol)
        live.last = report
        note_broken(live.trial, report, self.space.study)
        step = _step(self.space.study, report)
        if step in live.steps or step <= live.inherited:
            return False
        live.steps.add(step)
        note_switch(live, report)
        live.trial.report(report.value, step)
        return True

    def should_stop(self, number: int) -> bool:
        """Returns whether the study's scheduler stops a running trial at its last evaluation."""
        return self._live[number].trial.should_prune()

    def complete(self, number: int) -> None:
        """Ends a trial at the end of its budget."""
        self._end(number, "complete")

    def prune(self, number: int, reason: str = "") -> None:
        """Ends a trial that the scheduler stopped; keeps its curve."""
        self._end(number, "pruned", reason)

    def fail(self, number: int, reason: str, ended_as: EndedAs) -> None:
        """Ends a trial as failed, with the reason as a sentence and as a word."""
        self._end(number, ended_as, reason)

    def seconds(self, number: int) -> float:
        """Returns how long a trial has been running, including the trial that it continues."""
        return self._live[number].seconds()

    def took_up(self, number: int, seconds_ago: float) -> None:
        """Corrects a trial's start time: its first lane may have taken a while to start."""
        live = self._live[number]
        live.began = max(live.began, time.monotonic() - seconds_ago)

    def interrupt_all(
        self, reason: str = "interrupted", ended_as: EndedAs = "infrastructure", *, crashed: bool = False
    ) -> list[int]:
        """Ends every running trial as interrupted, and puts its parameters back into the queue.

        Args:
            reason: Why they were interrupted, as a sentence.
            ended_as: Why, as a word.
            crashed: Whether their process died. A parameter set that crashes its process more often than the study
                retries a trial, without making progress, is not put back.

        Returns:
            The numbers of the trials.

        Raises:
            OutputError: The storage cannot be written. Trials that it still holds as running are put back when the
                study is opened again, and not counted as crashed.
        """
        ended = []
        try:
            # The process may have died between the beginning of an heir and the end of its predecessor.
            for number, why in self._queue.replaced():
                self._end(number, "pruned", why)
            for number, why, goes_on in self._queue.interrupt(reason, crashed, self.space.study.max_retries):
                self._end(number, ended_as, why, goes_on=goes_on)
                ended.append(number)
        except Exception:
            if not crashed:
                self._claim.excuse()
            raise
        return ended

    def _end(self, number: int, word: EndedAs, reason: str = "", *, goes_on: bool = False) -> None:
        live = self._live.get(number)
        outcome = outcome_of(live, reason) | {"ended_as": word} | ({"interrupted": True} if goes_on else {})
        private_optuna.set_user_attr(self._study, self._queue.frozen(number), OUTCOME, outcome)
        value = live.last.value if word == "complete" and live and live.last else None
        self._study.tell(number, value, state=_STATES.get(word, TrialState.FAIL))
        self._live.pop(number, None)


def expendable(ledger: Ledger, record: StudyRecord) -> list[TrialRecord]:
    """Returns the trials of a study, as its record holds them, whose checkpoints may be deleted."""
    study = ledger.space.study
    hopeful = ledger._queue.promotions.hopeful(ledger._queue.num_new(study.num_trials))
    return records.expendable(record, study.keep_checkpoints, hopeful)


def settle(ledger: Ledger) -> Iterator[tuple[int, str, float]]:
    """Ends the trials that others replace, and makes these; yields number, reason and seconds of each that ends."""
    for number, why in ledger._queue.settle():
        seconds = ledger.seconds(number)
        ledger._end(number, "pruned", why)
        yield number, why, seconds


def rests(ledger: Ledger, number: int) -> bool:
    """Returns whether a trial leaves its lane at its last evaluation, until `Ledger.ask` returns it again."""
    found = ledger._queue.rests(number)
    if found:
        ledger._live[number].rest()
    return found


def why_replaced(ledger: Ledger, number: int) -> str:
    """Returns why a trial that begins is to end at once, for another one has its place; empty if none has."""
    return ledger._queue.why_replaced(number)


def _proposal(
    queue: TrialQueue, study: optuna.Study, trial: optuna.Trial, config: FamilyConfig, found: Found
) -> Proposal:
    attributes = trial.user_attrs
    continues = continuations.last_begun(study.get_trials(deepcopy=False), trial.number)
    return Proposal(
        number=trial.number,
        params=trial.params,
        config=config,
        continues=continues,
        promoted=continues is not None and queue.frozen(continues).state == TrialState.PRUNED,
        checkpoint=str(found.folder) if found.folder else None,
        inherits=queue.inherits(attributes),
        lineage={name: attributes[name] for name in LINEAGE if name in attributes},
        curve=tuple(sorted(queue.frozen(trial.number).intermediate_values.items())),
        notes=queue.notes(),
    )


def _queue_of(ledger: Ledger) -> TrialQueue:
    given = ledger._study, ledger.directory, ledger.identity
    if ledger.space.study.population is None:
        return TrialQueue(*given)
    return PopulationQueue(
        *given, ledger.space.study, lambda trial: ledger.starting_points.take(ledger.space(trial))
    )


def _resumed(live: Live, notes: tuple[str, ...]) -> Proposal:
    """Returns the proposal of a trial that rested and goes on."""
    assert live.proposal is not None
    live.resume()
    return replace(live.proposal, resumed=True, notes=notes)


def extend(ledger: Ledger, trials: Sequence[Mapping[str, Any]]) -> None:
    """Adds parameter sets to a study's first trials, and as many to its number of trials."""
    study = ledger.space.study
    ledger.space = ledger.space.with_settings(
        first_trials=(*study.first_trials, *trials), num_trials=study.num_trials + len(trials)
    )
    write_definition(ledger._study, ledger.space)


def _configured(ledger: Ledger, trial: optuna.Trial, fixed: Any) -> FamilyConfig:
    """Returns the configuration of a trial, some of whose parameters may have been given.

    Raises:
        ThalwegError: The space refuses it, it costs too much, or a study to start from is missing.
    """
    config = ledger.starting_points.take(ledger.space(ProposedTrial(trial, fixed)))
    costs = ledger._live[trial.number].costs = ledger._costs_of(config)
    check_affordable(trial, config, costs, ledger.space.study)
    return config


def _judge_later(trial: optuna.Trial, stages: tuple[Stage, ...], study: Study) -> None:
    """Notes if a trial trains what its metric needs only after the first rung."""
    if study.rungs and (samples := judged_from(stages, study)) > study.rungs[0]:
        trial.set_user_attr(JUDGED_FROM, samples)


def _check_finite(study: Study, report: Report) -> None:
    if not math.isfinite(report.value):
        raise NonFiniteError(
            f"{study.metric} must be finite, got {report.value} after {report.samples} samples"
        )


def _recover(ledger: Ledger, died: bool) -> int:
    """Puts back trials that the last process left running because it died, or could not write when it ended."""
    reason = "interrupted: its process died" if died else "interrupted: the search was stopped"
    ended = [ledger._queue.frozen(number) for number in ledger.interrupt_all(reason, crashed=died)]
    return sum(bool(trial.user_attrs[OUTCOME].get("interrupted")) for trial in ended)


def _opened(
    directory: Path,
    name: str,
    space: Space,
    storage: str | None,
    take_over: bool,
    claims: ExitStack,
    points: StartingPoints,
) -> tuple[optuna.Study, Space, Claim, tuple[str, ...]]:
    """Opens a study's storage for this process alone; the last item returned are sentences for people.

    The space returned has the search that the study began with.
    """
    claim = Claim(directory)
    claims.callback(claim.release)
    opened = open_storage(directory, storage)
    claims.callback(close_storage, opened)
    finish_rebuilding(opened, name, take_over=take_over)
    study = open_study(opened, name, space, points.take)
    if storage is not None:
        shared = SharedClaim(study, take_over=take_over)
        claims.callback(shared.release)
    study, change = renew(study, space, points.take)
    if change and not any_trained(study):
        baselines.forget(StudyFolder(directory).checkpoints)
    if storage is not None:
        if change:
            shared.move(study)
        study.set_user_attr(FOLDER, str(directory.absolute()))
    begun = as_begun(space, study)
    write_definition(study, begun)
    notes = (*skipped_lines(opened), *([change] if change else []), *search_kept(space, begun))
    return study, begun, claim, notes


def _step(study: Study, report: Report) -> int:
    """Returns the evaluation's nominal samples: a batch may go beyond them, but rungs compare equal numbers."""
    if report.done:
        return study.samples
    return max((p for p in study.evaluations if p <= report.samples), default=report.samples)
