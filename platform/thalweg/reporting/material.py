"""What a report is made from: the record of a study, and all that is computed from it, gathered once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from thalweg.analysis import leaderboard
from thalweg.analysis.declared import family_of
from thalweg.analysis.importance.parameters import StudyImportance, importance_of
from thalweg.analysis.leaderboard import Leaderboard
from thalweg.analysis.studies import Summary, space_name, summary
from thalweg.analysis.verdict.confirmed import Confirmed
from thalweg.analysis.verdict.judged_confirmation import confirmations
from thalweg.analysis.verdict.reading_log import Reading, readings
from thalweg.contract import Metric
from thalweg.datasets.catalogue import data_root
from thalweg.errors import ConfigError, StudyError, ThalwegError
from thalweg.events import StudyStarted
from thalweg.reporting.recorded_sessions import sessions
from thalweg.search.domains import Domain
from thalweg.search.space import Space, load_space
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study import Study

_MAX_REPLAYED = 200
"""Trials that are replayed to learn what the branches of a space ask."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """A study with all that its report tells.

    Attributes:
        record: The study.
        folder: Its folder.
        board: Its leaderboard.
        summary: How far it has come.
        sessions: How each of its sessions began, as recorded; none if nothing was.
        space: Its search space as it is now; None if it cannot be loaded from here.
        confirmed: Verdicts of its confirmations, by their names.
        on_test: Those on the split ``test``, of the confirmations for which it was read.
        unconfirmed: Why a verdict cannot be read; empty if there is none or it can.
        readings: Readings of the split ``test``.
        importance: Importance of its parameters; None if it cannot be estimated.
        unweighed: Why it cannot.
    """

    record: StudyRecord
    folder: Path
    board: Leaderboard
    summary: Summary
    sessions: tuple[StudyStarted, ...]
    space: Space | None
    confirmed: Mapping[str, Confirmed]
    on_test: Mapping[str, Confirmed]
    unconfirmed: str
    readings: tuple[Reading, ...]
    importance: StudyImportance | None
    unweighed: str

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.record.name

    @property
    def objective(self) -> str:
        """Name of the objective."""
        return self.board.objective

    @cached_property
    def ranking(self) -> list[TrialRecord]:
        """The complete trials, best first."""
        return self.record.ranking()

    @cached_property
    def judged(self) -> Mapping[str, Confirmed]:
        """Verdicts of the confirmations that have come to a look, by their names."""
        return {
            name: found
            for name, found in self.confirmed.items()
            if any(one.seeds for one in found.findings if one.kind == "configuration")
        }

    @cached_property
    def parameters(self) -> list[str]:
        """Names of all searched parameters, in the order in which the space asked for them."""
        return list(dict.fromkeys(name for trial in self.record.trials for name in trial.params))

    @cached_property
    def declared(self) -> Mapping[str, Metric]:
        """The metrics that the family declares, by name."""
        return {metric.name: metric for metric in self.board.metrics}

    @cached_property
    def domains(self) -> Mapping[str, Domain]:
        """What the space asks, by parameter, as far as it can be loaded and still asks what it asked."""
        found: dict[str, Domain] = {}
        for trial in [*self.ranking, *self.record.trials][:_MAX_REPLAYED]:
            if self.space is not None and not trial.params.keys() <= found.keys():
                with suppress(ThalwegError):
                    found |= self.space.replay(trial.params)[1].asked
        return {name: found[name] for name in self.parameters if name in found}

    @cached_property
    def study(self) -> Study | None:
        """The settings of its last run; None if this version of Thalweg does not know them."""
        try:
            return Study.model_validate(self.record.definition["study"])
        except ValidationError:
            return None

    @property
    def tags(self) -> Mapping[str, str]:
        """What the last session recorded: versions, hardware, data and code."""
        return self.sessions[-1].tags if self.sessions else {}


def gather(record: StudyRecord, folder: Path, storage: str | None = None) -> Material:
    """Gathers what the report of a study tells.

    Args:
        record: The study.
        folder: Its folder.
        storage: Database that holds it; None for its journal.

    Raises:
        ConfigError: It is a confirmation, which is told with the search that it confirms.
        StudyError: None of its trials has ended, or a record of it is damaged.
    """
    if record.definition.get("confirms"):
        raise ConfigError(
            f"a report is of a search, got {record.name!r}, which confirms {record.definition['confirms']!r}; name "
            "that: its report holds the verdict"
        )
    board = leaderboard.of_study(record, folder)
    if not board.ended():
        raise StudyError(
            f"a report needs a trial that has ended, {record.name!r} has none of {len(record.trials)}; search first, "
            "or wait for one"
        )
    importance, unweighed = _importance(record)
    confirmed, on_test, unconfirmed = _confirmed(record, folder, storage)
    return Material(
        record=record,
        folder=folder,
        board=board,
        summary=summary(record, folder),
        sessions=sessions(folder),
        space=_space(record),
        confirmed=confirmed,
        on_test=on_test,
        unconfirmed=unconfirmed,
        readings=tuple(readings(record, folder, _data(record))),
        importance=importance,
        unweighed=unweighed,
    )


def _importance(record: StudyRecord) -> tuple[StudyImportance | None, str]:
    try:
        return importance_of(record), ""
    except StudyError as error:
        return None, str(error)


def _confirmed(
    record: StudyRecord, folder: Path, storage: str | None
) -> tuple[Mapping[str, Confirmed], Mapping[str, Confirmed], str]:
    try:
        found = list(confirmations(record, folder.parent, storage))
    except ThalwegError as error:  # a report without its verdict says so
        return {}, {}, str(error)
    return (
        {name: verdict for name, verdict, _ in found},
        {name: verdict for name, _, verdict in found if verdict is not None},
        "",
    )


def _data(record: StudyRecord) -> Path | None:
    with suppress(ThalwegError):
        return data_root(family_of(record))
    return None


def _space(record: StudyRecord) -> Space | None:
    with suppress(ThalwegError):
        return load_space(space_name(record))
    return None
