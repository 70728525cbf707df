"""Reads the journal of a study without Optuna, whose import would take longer than the reading.

Replays operations as Optuna's `JournalStorageReplayResult` (version 5.0) does for a reader: an operation that Optuna
refuses to its writer changes nothing. Keeps only what `thalweg.search.store.records` needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from thalweg.errors import StudyError
from thalweg.search.store.journal import Journal, readable

RUNNING, COMPLETE, PRUNED, FAIL, WAITING = range(5)
"""States of a trial, the numbers of Optuna's `TrialState`."""


@dataclass(slots=True)
class StoredTrial:
    """A trial with the attributes of Optuna's `FrozenTrial`; ``kinds`` are those of its study."""

    kinds: dict[str, Kind] = field(
        repr=False
    )  # the study itself would be a cycle, which outlives its reading
    number: int
    state: int
    params: dict[str, Any]
    user_attrs: dict[str, Any]
    intermediate_values: dict[int, float]
    datetime_start: datetime | None
    datetime_complete: datetime | None

    @property
    def is_finished(self) -> bool:
        """Whether it has ended; nothing changes it any more."""
        return self.state not in (RUNNING, WAITING)


@dataclass
class StoredStudy:
    """A study with the attributes of Optuna's `Study`.

    Attributes:
        study_name: Its name.
        user_attrs: Its user attributes.
        trials: Its trials in the order of their numbers.
        kinds: Kind of the values of each parameter.
    """

    study_name: str
    user_attrs: dict[str, Any] = field(default_factory=dict)
    trials: list[StoredTrial] = field(default_factory=list)
    kinds: dict[str, Kind] = field(default_factory=dict)


class Kind(NamedTuple):
    """What all values of a parameter have in common within a study.

    Attributes:
        name: Name of Optuna's distribution.
        law: The choices, or whether a range is logarithmic.
    """

    name: str
    law: Any


class _Range(NamedTuple):
    kind: Kind
    external: Callable[[float], Any]


_IN_UTC = "+00:00"
_NUM_LETTERS = len("2026-01-01T00:00:00.000000+00:00")


class Clock:
    """Turns moments as Optuna writes them, in UTC, into local time without a zone.

    The system is asked about a day, not about each moment: that takes most of the time.
    """

    def __init__(self) -> None:
        self._shifts: dict[str, timedelta | None] = {}

    def moment(self, text: str | None) -> datetime | None:
        """Reads a moment in ISO format; one without a zone is local."""
        if text is None:
            return None
        if len(text) == _NUM_LETTERS and text.endswith(_IN_UTC):
            day = text[:10]
            if day not in self._shifts:
                self._shifts[day] = _shift_of_day(day)
            if (shift := self._shifts[day]) is not None:
                return datetime.fromisoformat(text[: -len(_IN_UTC)]) + shift
        return datetime.fromisoformat(text).astimezone().replace(tzinfo=None)


def _shift_of_day(day: str) -> timedelta | None:
    """Returns how far local time is ahead of UTC during a day in UTC; None if that changes meanwhile."""
    first = datetime.fromisoformat(day).replace(tzinfo=UTC)
    last = first.replace(hour=23, minute=59, second=59, microsecond=999999)
    shift = first.astimezone().utcoffset()
    return shift if shift == last.astimezone().utcoffset() else None


class Replay:
    """Replays the operations of a journal into studies and trials."""

    def __init__(self) -> None:
        self.studies: dict[int, StoredStudy] = {}
        self._num_studies = 0
        self._num_trials = 0
        self._open: dict[int, StoredTrial] = {}  # by Optuna's number; nothing changes one that has ended
        self._moment = Clock().moment
        self._acts: Mapping[int, Callable[[Mapping[str, Any]], None]] = {
            0: self._create_study,
            1: lambda log: self._forget_study(log["study_id"]),
            2: self._note_on_study,
            3: lambda log: None,  # Optuna's own notes on a study
            4: self._create_trial,
            5: self._set_param,
            6: self._set_state,
            7: self._evaluate,
            8: self._note_on_trial,
            9: lambda log: None,  # Optuna's own notes on a trial
            10: lambda log: None,  # discards what other storages keep
        }

    def apply(self, logs: Iterable[Mapping[str, Any]]) -> None:
        """Applies operations.

        Raises:
            LookupError, TypeError, ValueError: One is none of Optuna's.
        """
        acts = self._acts
        for log in logs:
            acts[log["op_code"]](log)

    def _create_study(self, log: Mapping[str, Any]) -> None:
        name = log["study_name"]
        if all(study.study_name != name for study in self.studies.values()):
            self.studies[self._num_studies] = StoredStudy(name)
            self._num_studies += 1

    def _forget_study(self, number: int) -> None:
        self.studies.pop(number, None)

    def _note_on_study(self, log: Mapping[str, Any]) -> None:
        if study := self.studies.get(log["study_id"]):
            study.user_attrs.update(log["user_attr"])

    def _create_trial(self, log: Mapping[str, Any]) -> None:
        study = self.studies.get(log["study_id"])
        if study is None:
            return
        trial = StoredTrial(
            kinds=study.kinds,
            number=len(study.trials),
            state=log.get("state", RUNNING),
            params={},
            user_attrs=dict(log.get("user_attrs", {})),
            intermediate_values={
                int(step): value for step, value in log.get("intermediate_values", {}).items()
            },
            datetime_start=self._moment(log["datetime_start"]),
            datetime_complete=self._moment(log.get("datetime_complete")),
        )
        ranges = log.get("distributions", {})
        for name, value in log.get("params", {}).items():
            asked = _range_of(ranges[name])
            trial.params[name] = asked.external(value)
            study.kinds.setdefault(name, asked.kind)
        study.trials.append(trial)
        if not trial.is_finished:
            self._open[self._num_trials] = trial
        self._num_trials += 1

    def _set_param(self, log: Mapping[str, Any]) -> None:
        if trial := self._open.get(log["trial_id"]):
            name, asked = log["param_name"], _range_of(log["distribution"])
            if trial.kinds.setdefault(name, asked.kind) == asked.kind:
                trial.params[name] = asked.external(log["param_value_internal"])

    def _set_state(self, log: Mapping[str, Any]) -> None:
        number, state = log["trial_id"], log["state"]
        trial = self._open.get(number)
        if trial is None or state == trial.state == RUNNING:
            return
        if state == RUNNING:
            trial.datetime_start = self._moment(log["datetime_start"])
        elif state != WAITING:
            trial.datetime_complete = self._moment(log["datetime_complete"])
        trial.state = state
        if trial.is_finished:
            del self._open[number]

    def _evaluate(self, log: Mapping[str, Any]) -> None:
        if trial := self._open.get(log["trial_id"]):
            trial.intermediate_values[log["step"]] = log["intermediate_value"]

    def _note_on_trial(self, log: Mapping[str, Any]) -> None:
        if trial := self._open.get(log["trial_id"]):
            trial.user_attrs.update(log["user_attr"])


def read_journal(file: Path, name: str) -> StoredStudy:
    """Reads a study from its journal.

    Args:
        file: The journal.
        name: The study's name.

    Raises:
        StudyError: A line cannot be read, or there is no such study; the message names those that there are.
        OutputError: The file cannot be read.
    """
    replay = Replay()
    with readable(file):
        for logs in Journal(file).read_batches():
            replay.apply(logs)
    found = {study.study_name: study for study in replay.studies.values()}
    if name not in found:
        raise StudyError(f"no study {name!r} in {file.parent} (found: {', '.join(sorted(found)) or 'none'})")
    return found[name]


@cache
def _range_of(text: str) -> _Range:
    """Reads a distribution as Optuna writes it: what its values are, and how a stored number becomes one."""
    document = json.loads(text)
    name, laws = document["name"], document["attributes"]
    if name == "CategoricalDistribution":
        choices = tuple(laws["choices"])
        return _Range(Kind(name, choices), lambda value: choices[int(value)])
    whole = name.startswith("Int")
    return _Range(Kind(name, laws.get("log")), int if whole else _same)


def _same(value: float) -> float:
    return value
