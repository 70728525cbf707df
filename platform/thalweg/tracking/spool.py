"""The spool: every event of a study is on disk before it goes to MLflow, so that nothing is lost.

In the study's folder, ``mlflow_spool.SESSION.jsonl`` holds the events of one driver, one a line, and
``mlflow.json`` says how far MLflow has received them and under which runs. A crash between delivering events and
noting it repeats them. This is harmless: an event is stamped when it happens, so the repeated rows are equal.

Delivered spools stay: no other file holds the training curves of a study, and MLflow's database may be deleted or
replaced by another.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from thalweg import events
from thalweg.events import Event, StudyStarted
from thalweg.files import atomic_file, locked, move
from thalweg.lines import append
from thalweg.study_folder import StudyFolder
from thalweg.tracking.address import resolve_uri

_MAX_BYTES = 1_000_000
MAX_WAIT_S = 30.0
"""Longest wait for a process that delivers the record of another study in the same folder."""

_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        events.StudyStarted,
        events.BaselineEvaluated,
        events.TrialStarted,
        events.TrialProgress,
        events.TrialEnded,
        events.TrialKept,
        events.Notice,
        events.StudyExtended,
        events.StudyEnded,
    )
}

_STORED = {"provenance": "facts"}
"""Names in the spool of fields that the code calls otherwise; spools of all versions have them."""
_LOADED = {stored: name for name, stored in _STORED.items()}


@dataclass(frozen=True)
class Moment:
    """An event and when it happened, in milliseconds since 1970."""

    time_ms: int
    event: Event

    def line(self) -> str:
        """Returns the moment as one line of JSON."""
        record = {"time_ms": self.time_ms, "kind": type(self.event).__name__, "event": plain(self.event)}
        return json.dumps(record, default=_plain, separators=(",", ":"))

    @classmethod
    def parse(cls, line: str | bytes) -> Moment:
        """Reads what `line` wrote.

        Raises:
            ValueError: The line is no moment.
        """
        try:
            record = json.loads(line)
            return cls(record["time_ms"], event_from(record["kind"], record["event"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"a line of the spool must be a stamped event, got {line[:80]!r}") from error


def plain(event: Event) -> dict[str, Any]:
    """Returns an event's fields by the names that they have in the spool."""
    return {_STORED.get(part.name, part.name): getattr(event, part.name) for part in fields(event)}


def event_from(kind: str, fields: Mapping[str, Any]) -> Event:
    """Builds an event from its kind and its fields as JSON."""
    fields = {_LOADED.get(name, name): value for name, value in fields.items()}
    for name in ("curves", "curve"):
        if name in fields:
            fields[name] = tuple((step, values) for step, values in fields[name])
    for name, part in (("began", "TrialStarted"), ("ended", "TrialEnded")):
        if name in fields:
            fields[name] = event_from(part, fields[name])
    return _KINDS[kind](**fields)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):  # an event within an event
        return {part.name: getattr(value, part.name) for part in fields(value)}
    return value.item() if hasattr(value, "item") else str(value)


@dataclass
class OpenRun:
    """A run of a trial that has not ended, and the seconds spent so far by activity."""

    run_id: str
    seconds: dict[str, float] = field(default_factory=dict)
    searched: str = ""
    continues: str = ""  # number of the trial that it continues
    reached: int = -1  # samples of the last objective
    described: bool = False  # whether the tags say where it runs


@dataclass
class Leader:
    """A finished trial in the leaderboard."""

    number: int
    value: float
    run_id: str
    searched: str


@dataclass
class DeliveryState:
    """How far MLflow has received a spool, and under which runs."""

    uri: str = ""
    folder: str = ""  # the study's folder; it may be moved or copied
    study_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    identity: str = ""  # of the study, see `StudyStarted`; earlier versions do not record it
    session: int = 0
    offset: int = 0
    started: dict[str, Any] = field(default_factory=dict)
    experiment_id: str = ""
    parent_id: str = ""
    searched: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)  # metrics of the family that runs show
    longest: dict[str, int] = field(default_factory=dict)  # letters of the longest value of each of these
    open: dict[str, OpenRun] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    continued: list[str] = field(default_factory=list)  # numbers of trials that others continue or replace
    leaders: list[Leader] = field(default_factory=list)
    baselines: dict[str, float] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> DeliveryState:
        """Reads a state; returns an empty one if the file is missing or cannot be read."""
        try:
            record = json.loads(path.read_text())
            record["open"] = {number: OpenRun(**run) for number, run in record["open"].items()}
            record["leaders"] = [Leader(**leader) for leader in record["leaders"]]
            return cls(**record)
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def begin(self, number: int, run: OpenRun, replaces: str = "") -> None:
        """Notes that a trial has begun; one that it continues, or in whose place it is, does not count beside it."""
        self.open[str(number)] = run
        for before in (run.continues, replaces):
            if before and before not in self.continued:
                self.continued.append(before)

    def settle(self, folder: Path) -> None:
        """Records the study's folder; a copy of a study whose original still exists gets an identity of its own."""
        original = self.folder
        self.folder = str(folder)
        if original in ("", self.folder):
            return
        if DeliveryState.load(StudyFolder(Path(original)).mlflow_state).study_id == self.study_id:
            self.study_id = DeliveryState().study_id
            self.restart("")

    def restart(self, uri: str) -> None:
        """Goes back to the beginning, for an address that holds nothing of this study."""
        fresh = DeliveryState(uri=uri, folder=self.folder, study_id=self.study_id, identity=self.identity)
        for part in fields(fresh):
            setattr(self, part.name, getattr(fresh, part.name))

    def save(self, path: Path) -> None:
        """Writes the state in one step: a reader sees the old or the new one."""
        with atomic_file(path) as draft:
            draft.write_text(json.dumps(asdict(self)))


def is_delivered(folder: Path, uri: str) -> bool:
    """Returns whether MLflow at an address has received all events of a study; False if the study has none.

    Args:
        folder: The study's folder.
        uri: MLflow's address.
    """
    sessions = StudyFolder(folder).sessions()
    state = DeliveryState.load(StudyFolder(folder).mlflow_state)
    last = max([*sessions, state.session])
    return bool(state.parent_id) and state.uri == resolve_uri(uri) and not Spool(folder, last).num_waiting()


def set_aside_other(folder: Path, started: StudyStarted) -> Path | None:
    """Moves the record of another study, whose folder this study has taken over, out of the way.

    Nothing of that record is overwritten, here or in MLflow.

    Args:
        folder: The study's folder.
        started: The event with which this study begins.

    Returns:
        Where the record lies now; None if there was none of another study.

    Raises:
        OSError: The record cannot be moved, or another process is still delivering it.
    """
    names = StudyFolder(folder)
    if not _is_of_another(names, started):
        return None
    with locked(names.mlflow_lock, max_wait_s=MAX_WAIT_S):
        aside = names.mlflow_aside(DeliveryState.load(names.mlflow_state).study_id)
        aside.path.mkdir(exist_ok=True)
        for session in names.sessions():
            move(names.spool(session), aside.spool(session))
        if names.mlflow_state.exists():  # last: until it is moved the record counts as that of another study
            move(names.mlflow_state, aside.mlflow_state)
    return aside.path


def _is_of_another(names: StudyFolder, started: StudyStarted) -> bool:
    known = DeliveryState.load(names.mlflow_state).identity
    if known and started.identity:
        return known != started.identity
    return started.is_new and (names.mlflow_state.exists() or bool(names.sessions()))


class Spool:
    """The spools of one study's folder, up to one driver's session.

    Args:
        folder: The study's folder.
        session: Number of the session, larger than those before it.

    Attributes:
        names: The names below the folder.
        path: The spool of the session.
        state_path: How far MLflow has received the spools.
    """

    def __init__(self, folder: Path, session: int) -> None:
        self.folder = folder
        self.names = StudyFolder(folder)
        self.session = session
        self.path = self.names.spool(session)
        self.state_path = self.names.mlflow_state

    @classmethod
    def begin(cls, folder: Path, time_ms: int) -> Spool:
        """Opens the spool of a new session.

        Raises:
            OSError: The folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        names = StudyFolder(folder)
        last = max([*names.sessions(), DeliveryState.load(names.mlflow_state).session])
        spool = cls(folder, max(time_ms, last + 1))
        spool.path.touch()
        return spool

    def append(self, lines: list[str]) -> None:
        """Adds moments as lines at the end.

        Raises:
            OSError: The folder cannot be written.
        """
        append(self.path, "".join(f"{line}\n" for line in lines).encode())

    def read(self, state: DeliveryState) -> tuple[list[bytes], int, int]:
        """Returns the next whole lines after a state, and the session and offset behind them."""
        for session in self.names.sessions():
            if state.session <= session <= self.session:
                offset = state.offset if session == state.session else 0
                lines, end = _read(self.names.spool(session), offset)
                if lines:
                    return lines, session, end
        return [], state.session, state.offset

    def num_waiting(self) -> int:
        """Number of events that MLflow has not received."""
        num, state = 0, DeliveryState.load(self.state_path)
        while True:
            lines, state.session, state.offset = self.read(state)
            if not lines:
                return num
            num += len(lines)

    def moments(self) -> Iterator[Moment]:
        """Reads all events from the first session on, delivered or not; skips lines that hold no event."""
        state = DeliveryState()
        while True:
            lines, state.session, state.offset = self.read(state)
            if not lines:
                return
            for line in lines:
                with suppress(ValueError):
                    yield Moment.parse(line)


def _read(path: Path, offset: int) -> tuple[list[bytes], int]:
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(_MAX_BYTES)
        while b"\n" not in data and (more := file.read(_MAX_BYTES)):  # a line longer than the limit
            data += more
    whole = data[: data.rfind(b"\n") + 1]
    return whole.splitlines(), offset + len(whole)
