"""The log of readings of the sealed split ``test``: every one is told for ever after, to all studies of the same data.

A reading is logged with the study that it was for, beside its data, and in the folder of all studies. The last two are
found by the data's fingerprint, so that another study of these data knows of it, also if one of the folders is gone or
cannot be written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from thalweg.errors import OutputError, StudyError
from thalweg.files import atomic_file, locked, writing
from thalweg.hashing import digest
from thalweg.search.store.records import StudyRecord
from thalweg.study_folder import StudyFolder
from thalweg.wording import counted, some

_FOLDER = ".test_readings"


@dataclass(frozen=True)
class Reading:
    """One reading of the split ``test``.

    Attributes:
        when: Date and time in UTC, ISO 8601.
        command: The command that read it.
        what: What was evaluated.
        study: The study that it was for; empty if an earlier version of Thalweg logged it.
    """

    when: str
    command: str
    what: str
    study: str = ""


def log_folder(record: StudyRecord, directory: Path) -> Path:
    """Returns the folder that logs readings for a study: of a confirmation, that of the study that it confirms."""
    confirms = record.definition.get("confirms")
    return directory.parent / str(confirms) if confirms else directory


def readings(record: StudyRecord, directory: Path, data: Path | None) -> list[Reading]:
    """Returns the readings of the split of a study's data, for this study or another one, the first one first.

    Args:
        record: The study.
        directory: Its folder.
        data: Folder of the data sets of its family; None if it is not known.

    Raises:
        StudyError: A log is damaged.
    """
    own = log_folder(record, directory)
    found = [replace(each, study=each.study or own.name) for each in _read(StudyFolder(own).test_readings)]
    found += [each for file in _of_data(record, own, data) for each in _read(file)]
    return sorted(dict.fromkeys(found), key=lambda each: each.when)


def log_reading(
    record: StudyRecord, directory: Path, data: Path | None, command: str, what: str
) -> list[Reading]:
    """Logs a reading before it begins, and returns all readings of the split of these data.

    Args:
        record: The study that it is for.
        directory: Its folder.
        data: Folder of the data sets of its family; None if it is not known.
        command: The command.
        what: What is evaluated.

    Raises:
        OutputError: The log cannot be written; nothing is read then.
        StudyError: A log is damaged.
    """
    readings(record, directory, data)  # refuses damaged logs
    own = log_folder(record, directory)
    new = Reading(datetime.now(UTC).isoformat(timespec="seconds"), command, what, own.name)
    _add(StudyFolder(own).test_readings, new)
    for file in _of_data(record, own, data):
        with suppress(OutputError):  # data are often read-only; the study's own log is written
            _add(file, new)
    return readings(record, directory, data)


def told(known: Sequence[Reading], study: str) -> str:
    """Returns a sentence on how often the split of a study's data was read, and when first."""
    if not known:
        return "the split test was never read"
    first = known[0]
    when = f"{first.when} by `{first.command}`"
    others = [each.study for each in known if each.study != study]
    if len(known) == 1:
        return (
            f"the split test was read once, {when}{f' for {first.study}, of the same data' if others else ''}"
        )
    among = f" ({len(others)} of them for {some(dict.fromkeys(others))}, of the same data)" if others else ""
    return (
        f"the split test was read {counted(len(known), 'time')}{among}, first {when}, last {known[-1].when} by "
        f"`{known[-1].command}`: what was changed between readings was not chosen blindly"
    )


def _of_data(record: StudyRecord, own: Path, data: Path | None) -> Iterator[Path]:
    """Yields the logs of the study's data: that beside them, unless they have no folder, and that of all studies."""
    fingerprint = record.protocol.get("data")
    if fingerprint is None:  # an earlier version recorded none
        return
    name = f"{digest({'data': fingerprint})}.json"
    if data is not None and data.is_dir():
        yield data / _FOLDER / name
    yield own.parent / _FOLDER / name


def _read(file: Path) -> list[Reading]:
    try:
        return [Reading(**each) for each in json.loads(file.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, TypeError, ValueError) as error:
        raise StudyError(
            f"the log of readings of the split test must be whole, got {file} ({error}); put it back: without it "
            "nobody knows how often the split was read"
        ) from None


def _add(file: Path, new: Reading) -> None:
    with writing("the log of readings", file, "free space; nothing was read"):
        file.parent.mkdir(parents=True, exist_ok=True)  # a study in a database may have run elsewhere
        with locked(file.with_suffix(".lock"), temporary=True):
            known = [*_read(file), new]
            with atomic_file(file) as draft:
                draft.write_text(json.dumps([asdict(each) for each in known], indent=1), encoding="utf-8")
