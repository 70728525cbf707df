"""Records of a study and its trials, read from its storage at any time, also while it runs."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from thalweg.contract import Metric, Mode
from thalweg.errors import StudyError
from thalweg.events import EndedAs
from thalweg.search.store import journal_reader
from thalweg.search.store.journal_reader import StoredStudy, StoredTrial
from thalweg.search.store.multi_objective.constraints import Constraints
from thalweg.search.store.storage import close_storage, open_storage
from thalweg.study_folder import StudyFolder, checkpoint_name, trial_name
from thalweg.training.checkpoints.places import resolve
from thalweg.training.messages import best_of

if TYPE_CHECKING:  # reading a study must not wait for this import
    import optuna
    from optuna.trial import FrozenTrial

At = Literal["last", "best"]
"""Which evaluation of a trial: its last one, whose value counts for the trial, or its best one."""
RecordStatus = Literal["waiting", "running", "complete", "pruned", "failed"]

DEFINITION = "thalweg"  # user attribute of an Optuna study
FOLDER = "folder"  # user attribute of a study in a database: its folder when it last ran
CONFIG, OUTCOME = "config", "outcome"  # user attributes of an Optuna trial
CHECKPOINT = "checkpoint"  # user attribute: the trial's own checkpoint, relative to the study's folder
ENDED = "ended"  # user attribute of a study: how its last session ended, and why
METRICS = "metrics"  # user attribute of a study: what its family declares
CONTINUES = "continues"  # user attribute: number of the interrupted trial that this one continues
JUDGED_FROM = (
    "judged_from"  # user attribute: samples before which a trial in stages is not compared with others
)
BROKEN = "broken"  # user attribute: a bound of a cost that the trial breaks; it stops no other trial
PROTOCOL = "protocol"  # user attribute of a study: hash of the protocol, and number of the first trial
PROTOCOL_PARTS = "protocol_parts"  # user attribute of a study: what the hash is of
CODE = "code"  # user attribute of a study: hashes of the modules, and the changes that were accepted
SWITCH_S = "switch_s"  # user attribute: seconds that it cost to take up a trial from a checkpoint
TRAINED = "trained"  # user attribute: circumstances of its training, see `search.reproduction.circumstances`
PARENT = "parent"  # user attribute: number of the trial whose checkpoint this one continues with other values
PARENT_SAMPLES = "parent_samples"  # user attribute: samples at that checkpoint
REPLACES = "replaces"  # user attribute: number of the trial in whose place in a population this one trains
LINEAGE = (PARENT, PARENT_SAMPLES, REPLACES)
RESUMES = "resumes"  # user attribute: the checkpoint from which a continued trial starts

_STATUS: Mapping[int, RecordStatus] = {  # Optuna's states are whole numbers
    journal_reader.WAITING: "waiting",
    journal_reader.RUNNING: "running",
    journal_reader.COMPLETE: "complete",
    journal_reader.PRUNED: "pruned",
    journal_reader.FAIL: "failed",
}

_ENDED_AS: Mapping[int, EndedAs] = {journal_reader.COMPLETE: "complete", journal_reader.PRUNED: "pruned"}


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial as the storage holds it.

    Attributes:
        number: Number within the study.
        status: How it ended, ``running``, or ``waiting`` for a parameter set that is yet to be tried.
        value: The objective at its last evaluation.
        params: The searched parameters.
        config: The resolved configuration, as JSON; empty if the space refused the parameters.
        samples: Samples seen at the last evaluation.
        metrics: All metrics of the last evaluation.
        seconds: Seconds from the proposal to the end.
        reason: Why it failed, or was replaced by another trial of its population; empty if neither.
        ended_as: Why it ended, as a word; None before it has, or if an earlier version of Thalweg recorded a failure.
        curve: (samples, objective) at each evaluation.
        checkpoint: Path of its newest checkpoint, or of the one that it resumes from.
        protocol: Hash of the evaluation protocol.
        interrupted: Whether it failed only because the search stopped; another trial continues it.
        continues: Number of the trial that it continues: one that was interrupted, or stopped at a rung and promoted.
        promoted: Whether it was stopped at a rung, and another trial goes on from there.
        parent: Number of the trial of a population that it continues with other values; None if it has none. Its curve
            begins where that one was left.
        parent_samples: Samples up to which that one trained it; 0 without one.
        replaces: Number of the trial in whose place in a population it trains.
        replaced_by: Number of the trial that trains in its place in a population.
        rested_s: Seconds on no lane, while it waited for the other members of its population.
        switch_s: Seconds that it cost to take it up from a checkpoint; None if it began anew.
        started: When it began.
        ended: When it ended.
        trained: Circumstances of its training, see `search.reproduction.circumstances`; none by earlier versions.
    """

    number: int
    status: RecordStatus
    value: float | None
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    samples: int
    metrics: Mapping[str, float]
    seconds: float
    reason: str
    curve: tuple[tuple[int, float], ...]
    checkpoint: str | None
    protocol: str | None = None
    interrupted: bool = False
    ended_as: EndedAs | None = None
    continues: int | None = None
    promoted: bool = False
    parent: int | None = None
    parent_samples: int = 0
    replaces: int | None = None
    replaced_by: int | None = None
    rested_s: float = 0.0
    switch_s: float | None = None
    started: datetime | None = None
    ended: datetime | None = None
    trained: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good; no other trial continues it or trains in its place."""
        ended = self.status in ("complete", "pruned", "failed")
        return ended and not self.interrupted and not self.promoted and self.replaced_by is None

    @property
    def folders(self) -> frozenset[str]:
        """Names of the folders that may hold its checkpoints: its own, and that of the trial that it continues."""
        found = {trial_name(self.number)}
        return frozenset(found | {Path(self.checkpoint).parent.name} if self.checkpoint else found)


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """An evaluation of a trial, with the checkpoint of its weights.

    Attributes:
        samples: Samples at which it was due.
        value: The objective.
        checkpoint: Path of its checkpoint, if it is kept.
    """

    samples: int
    value: float | None
    checkpoint: str | None


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study as its storage holds it.

    Attributes:
        name: Its name.
        definition: Space, family, metric, mode, samples and settings of its last run.
        trials: All trials in the order of their numbers.
        metrics: Metrics that its family declared when it was last run; empty if an earlier version of Thalweg ran it.
        ended: How its last session ended, and why; empty while its first one runs, and if an earlier version ran it.
        protocol: What the evaluation protocol of its trials consists of: family, settings, and the data's fingerprint
            as ``data``; empty if an earlier version ran it.
        code: Hash of each module that its last trials were trained with; empty if an earlier version ran it.
        code_changes: Changes of the code that were accepted, each with the number of the first trial that ran it,
            ``from_trial``, the hashes of the changed ``modules``, and those ``before``.
    """

    name: str
    definition: Mapping[str, Any] = field(default_factory=dict)
    trials: tuple[TrialRecord, ...] = ()
    metrics: tuple[Metric, ...] = ()
    ended: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    code_changes: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_population(self) -> bool:
        """Whether its trials are members of populations, whose values change while they train."""
        return any(trial.parent is not None for trial in self.trials) or bool(
            self.definition.get("study", {}).get("population")
        )

    @property
    def mode(self) -> Mode:
        """Whether smaller or larger is better."""
        mode: Mode = self.definition["mode"]
        return mode

    @property
    def also(self) -> Mapping[str, Mode]:
        """Its further objectives, and whether smaller or larger values are better."""
        return self.definition.get("study", {}).get("also") or {}

    @property
    def objectives(self) -> Mapping[str, Mode]:
        """The metric and the further objectives, with their modes."""
        return {str(self.definition["metric"]): self.mode, **self.also}

    @property
    def constraints(self) -> Constraints:
        """Its constraints."""
        return Constraints.of_definition(self.definition)

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether the checkpoint of its best trial is kept when other trials end."""
        return bool(self.definition.get("study", {}).get("keep_checkpoints", 1))

    @property
    def overrides(self) -> Mapping[str, Any]:
        """What options of its command replaced of its space: data set and budget, by the options' names."""
        return self.definition.get("overrides") or {}

    def ranking(self) -> list[TrialRecord]:
        """Returns the complete trials, best first, those that break a constraint behind all others.

        Of equal ones, the earlier is first.
        """
        return ranking(self.trials, self.mode, self.constraints)

    def broken(self, trial: TrialRecord) -> str:
        """Says which constraints a trial breaks; empty for none."""
        return self.constraints.broken(trial.metrics)

    def evaluation(self, trial: TrialRecord, at: At = "last") -> EvaluationRecord:
        """Returns the last evaluation of a trial, whose value counts for it, or its best one."""
        last = EvaluationRecord(samples=trial.samples, value=trial.value, checkpoint=trial.checkpoint)
        if at == "last" or not trial.curve:
            return last
        samples, value = best_of(trial.curve, self.mode)
        if samples == trial.curve[-1][0]:
            return last
        beside = Path(trial.checkpoint).with_name(checkpoint_name(samples)) if trial.checkpoint else None
        return EvaluationRecord(
            samples=samples, value=value, checkpoint=None if beside is None else str(beside)
        )

    def of_trials(self, ended_as: EndedAs | None) -> StudyRecord:
        """Returns the study with those of its trials that ended as a word says; with all of them for None."""
        if ended_as is None:
            return self
        return replace(self, trials=tuple(trial for trial in self.trials if trial.ended_as == ended_as))

    def best(self) -> TrialRecord | None:
        """Returns the best complete trial; None before there is one."""
        return next(iter(self.ranking()), None)


def read_study(directory: Path, name: str, storage: str | None = None) -> StudyRecord:
    """Reads a study without changing it; it may still be running.

    Raises:
        StudyError: There is no such study, or it was not made by Thalweg.
    """
    journal = StudyFolder(directory).journal
    if storage is None and not journal.exists():
        raise StudyError(
            f"a study's folder must hold {journal.name}, got {directory}; name a study that was run"
        )
    if storage is None:
        with _no_collection():
            return read(journal_reader.read_journal(journal, name), directory)
    import optuna

    opened = open_storage(directory, storage)
    try:
        study = optuna.load_study(study_name=name, storage=opened)
        return read(study, _home(study, directory))
    except KeyError:
        known = ", ".join(sorted(optuna.get_all_study_names(opened))) or "none"
        raise StudyError(f"no study {name!r} in {storage} (found: {known})") from None
    finally:
        close_storage(opened)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pauses the search for cycles, of which there are none here: it would visit all that was read again and again."""
    runs = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if runs:
            gc.enable()


def _home(study: optuna.Study, directory: Path) -> Path:
    """Returns the folder of a study in a database; studies of other output folders may be in the same database."""
    known = study.user_attrs.get(FOLDER)
    return Path(known) if known and not StudyFolder(directory).checkpoints.is_dir() else directory


def read(study: optuna.Study | StoredStudy, directory: Path) -> StudyRecord:
    """Turns a study into records.

    Args:
        study: The study.
        directory: Its folder at present; it may have been another when it ran.

    Raises:
        StudyError: It was not made by Thalweg.
    """
    definition = study.user_attrs.get(DEFINITION)
    if definition is None:
        raise StudyError(f"study {study.study_name!r} was not made by thalweg; give this one another name")
    stored = study.trials if isinstance(study, StoredStudy) else study.get_trials(deepcopy=False)
    continued = {trial.user_attrs.get(CONTINUES) for trial in stored}
    heirs: dict[int, int] = {}
    for trial in stored:
        if (loser := trial.user_attrs.get(REPLACES)) is not None:
            heirs.setdefault(loser, trial.number)
    trials = tuple(record(trial, directory, continued, heirs) for trial in stored)
    metrics = tuple(Metric(**known) for known in study.user_attrs.get(METRICS, ()))
    end = study.user_attrs.get(ENDED, {})
    ended = ": ".join(filter(None, (end.get("end"), end.get("reason"))))
    code = study.user_attrs.get(CODE, {})
    return StudyRecord(
        name=study.study_name,
        definition=definition,
        trials=trials,
        metrics=metrics,
        ended=ended,
        protocol=study.user_attrs.get(PROTOCOL_PARTS, {}),
        code=code.get("modules", {}),
        code_changes=tuple(code.get("changes", ())),
    )


def record(
    trial: FrozenTrial | StoredTrial,
    directory: Path,
    continued: Collection[int | None],
    heirs: Mapping[int, int] = MappingProxyType({}),
) -> TrialRecord:
    """Turns a trial into a record.

    Args:
        trial: The trial.
        directory: The study's folder.
        continued: Numbers of the trials that others continue.
        heirs: Numbers of the trials in the places of others, by these.
    """
    checkpoint = trial.user_attrs.get(CHECKPOINT, trial.user_attrs.get(RESUMES))
    outcome = trial.user_attrs.get(OUTCOME, {})
    curve = tuple(sorted(trial.intermediate_values.items()))
    return TrialRecord(
        number=trial.number,
        status=_STATUS[trial.state],
        value=curve[-1][1] if curve else None,
        params=dict(trial.params),
        config=trial.user_attrs.get(CONFIG, {}),
        samples=outcome.get("samples", curve[-1][0] if curve else trial.user_attrs.get(PARENT_SAMPLES, 0)),
        metrics=outcome.get("metrics", {}),
        seconds=outcome.get("seconds", 0.0),
        reason=outcome.get("reason", ""),
        curve=curve,
        checkpoint=str(resolve(directory, checkpoint)) if checkpoint else None,
        protocol=outcome.get("protocol"),
        interrupted=outcome.get("interrupted", False),
        ended_as=outcome.get("ended_as") or _ENDED_AS.get(trial.state),
        continues=trial.user_attrs.get(CONTINUES),
        promoted=trial.state == journal_reader.PRUNED and trial.number in continued,
        parent=trial.user_attrs.get(PARENT),
        parent_samples=trial.user_attrs.get(PARENT_SAMPLES, 0),
        replaces=trial.user_attrs.get(REPLACES),
        replaced_by=heirs.get(trial.number),
        rested_s=outcome.get("rested", 0.0),
        switch_s=trial.user_attrs.get(SWITCH_S),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        trained=tuple(trial.user_attrs.get(TRAINED, ())),
    )


def ranking(
    trials: Sequence[TrialRecord], mode: Mode, constraints: Constraints | None = None
) -> list[TrialRecord]:
    """Returns the complete trials: first those that keep the constraints, of these the best, of equal ones the earlier.

    Args:
        trials: Trials of a study.
        mode: Whether smaller or larger values are better.
        constraints: Its constraints; None for none.
    """
    complete = [(trial.value, trial) for trial in trials if trial.status == "complete"]
    sign = 1.0 if mode == "min" else -1.0
    scored = [
        (bool(constraints and constraints.broken(trial.metrics)), sign * value, trial.number, trial)
        for value, trial in complete
        if value is not None
    ]
    return [trial for *_, trial in sorted(scored, key=lambda item: item[:3])]


def expendable(study: StudyRecord, keep: int, hopeful: Collection[int] = ()) -> list[TrialRecord]:
    """Retention: returns the trials whose checkpoints may be deleted.

    The checkpoints of running trials are kept, those of the best ``keep`` complete ones, those of interrupted ones
    until the trial that continues them has ended, and those of ``hopeful`` ones, which may be promoted.
    """
    trials = study.trials
    needed = [*study.ranking()[:keep], *(t for t in trials if t.status in ("running", "waiting"))]
    needed += [trial for trial in trials if trial.number in hopeful]
    # By the trial's folder: the trial that continues it may have found a newer checkpoint there.
    kept = {name for trial in needed for name in trial.folders}
    return [trial for trial in trials if kept.isdisjoint(trial.folders)]
