"""The journal of a study: Optuna's operations in a file, one JSON document a line, in chronological order.

A writer holds a kernel lock, which is released when it dies: Optuna's own lock files outlive ``kill -9`` and stall
the next run for 30 s. A failed write is undone, so that the next one begins a new line.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate, repeat
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from thalweg.errors import OutputError, StudyError
from thalweg.files import writing
from thalweg.lines import append

_START = b'{"op_code":'
_BATCH_BYTES = 2**15  # larger ones leave the processor's cache
_BETWEEN = "between two lines of a journal"
_TRIAL_LINE = re.compile(rb'\{"op_code":([5-9]),"worker_id":"[\w-]+","trial_id":(\d+)[,}]')
_STUDY_LINE = re.compile(rb'\{"op_code":([23]),"worker_id":"[\w-]+","study_id":\d+[,}]')
_LOST = {  # Optuna's operations that may be skipped without changing the meaning of the others
    2: "a note on the study",
    3: "a note on the study",
    5: "a parameter of trial {}",
    6: "the beginning or the end of trial {}",
    7: "an evaluation of trial {}",
    8: "a note on trial {}",
    9: "a note on trial {}",
}
_logger = logging.getLogger(__name__)


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turns what goes wrong while a journal is read into an error that names it.

    Args:
        file: The journal.

    Raises:
        StudyError: It is broken.
        OutputError: It cannot be read or written.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AssertionError) as error:
        raise StudyError(
            f"a journal must hold one JSON document per line, got {file}: {error}; "
            "restore the file, or give the study another name"
        ) from error
    except OSError as error:
        raise OutputError(f"a journal must be readable and writable, got {file}: {error.strerror}") from None


class Journal:
    """The backend that Optuna's journal storage reads and appends to: a `BaseJournalBackend` in all but name.

    It inherits nothing of Optuna's, so that `thalweg.search.store.journal_reader` reads it without importing Optuna.

    A line that cannot be read is skipped if that does not change the meaning of the others. Trials are identified by
    the order in which they were created, so a line that may have created one is not skipped.

    Args:
        file: The journal; made if missing.

    Attributes:
        skipped: A sentence for each skipped line.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._starts = [0]  # offset of each document that was read, and of the next one
        self._skipped: dict[int, str] = {}
        if not file.exists():
            file.touch()

    @property
    def skipped(self) -> tuple[str, ...]:
        """A sentence for each skipped line."""
        return tuple(self._skipped.values())

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Adds operations, all or none.

        Raises:
            OutputError: The file cannot be written.
        """
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        way_out = "mend that and run the same command again: the study goes on where it stood"
        with writing("the journal of a study", self._file, way_out):
            append(self._file, text.encode(), locked=True)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yields the operations from a number on; leaves out half a line at the end, which is still being written.

        Raises:
            StudyError: A line that cannot be read may have created a trial or the study.
        """
        del self._starts[log_number_from + 1 :]
        offset = self._starts[log_number_from]
        with self._file.open("rb") as journal:
            journal.seek(offset)
            for line in journal:
                if not line.endswith(b"\n"):
                    return
                log = self._log_of(line, offset)
                offset += len(line)
                if log is not None:
                    self._starts.append(offset)
                    yield log

    def read_batches(self) -> Iterator[list[dict[str, Any]]]:
        """Yields the operations of `read_logs` from the first one on, many at a time, in a third of its time.

        Raises:
            StudyError: A line that cannot be read may have created a trial or the study.
        """
        offset = 0
        with self._file.open("rb") as journal:
            while lines := journal.readlines(_BATCH_BYTES):
                if not lines[-1].endswith(b"\n"):
                    del lines[-1]
                logs = _documents(lines)
                if logs is None:  # line by line what is damaged is found
                    starts = accumulate(map(len, lines), initial=offset)
                    found = map(self._log_of, lines, starts)
                    logs = [log for log in found if log is not None]
                offset += sum(map(len, lines))
                yield logs

    def _log_of(self, line: bytes, offset: int) -> dict[str, Any] | None:
        log = _parse(line)
        if log is None:
            self._skip(line, offset)
        return log

    def _skip(self, line: bytes, offset: int) -> None:
        if offset in self._skipped:
            return
        with self._file.open("rb") as journal:
            number = journal.read(offset).count(b"\n") + 1
        found = _TRIAL_LINE.match(line) or _STUDY_LINE.match(line)
        if found is None or line.count(_START) > 1 or b"\0" in line:
            raise StudyError(
                f"a journal must hold one JSON document per line, got {line[:40]!r} in line {number} of {self._file}, "
                f"which may have begun a trial; restore the file, or go on from what lies before (`head -n "
                f"{number - 1}`), or give the study another name"
            )
        lost = _LOST[int(found[1])].format(*(part.decode() for part in found.groups()[1:]))
        self._skipped[offset] = f"line {number} of {self._file} cannot be read and is skipped: {lost} is lost"
        _logger.warning("%s", self._skipped[offset])


def _documents(lines: list[bytes]) -> list[dict[str, Any]] | None:
    """Reads lines as one JSON array; None unless each of them is one whole operation.

    A text between them tells lines that are two halves of one document, or hold two documents, from whole ones.
    """
    try:
        found = from_json(b"[%b]" % f',"{_BETWEEN}",'.encode().join(lines))
    except ValueError:
        return None
    logs: list[dict[str, Any]] = found[::2]
    is_whole = len(logs) == len(lines) and found[1::2].count(_BETWEEN) == len(found) - len(logs)
    if not is_whole or not set(map(type, logs)) <= {dict}:
        return None
    return logs if all(map(dict.__contains__, logs, repeat("op_code"))) else None


def _parse(line: bytes) -> dict[str, Any] | None:
    """Reads a line; if the half of a failed write precedes the operation, skips that half.

    The half was never part of the study: its writer received an error.
    """
    if (log := _document(line)) is not None:
        return log
    start = line.rfind(_START)
    return _document(line[start:]) if start > 0 and not _holds_a_whole_one(line[:start]) else None


def _document(text: bytes) -> dict[str, Any] | None:
    try:
        log = from_json(text)  # several times as fast as json
    except ValueError:
        try:
            log = json.loads(text)  # which takes halves of surrogate pairs, too
        except ValueError:
            return None
    return log if isinstance(log, dict) and "op_code" in log else None


def _holds_a_whole_one(text: bytes) -> bool:
    """Returns whether the text begins with a whole operation, of which only the line break was damaged."""
    decoded = text.decode(errors="replace")
    try:
        _, end = json.JSONDecoder().raw_decode(decoded)
    except ValueError:
        return False
    return end < len(decoded)
