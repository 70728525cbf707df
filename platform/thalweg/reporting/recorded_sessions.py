"""The sessions of a study as its folder records them: versions, hardware, data and code of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from thalweg.events import StudyStarted
from thalweg.study_folder import StudyFolder
from thalweg.tracking.spool import Moment

_KIND = f'"kind":"{StudyStarted.__name__}"'.encode()


def sessions(folder: Path) -> tuple[StudyStarted, ...]:
    """Returns how each session of a study began, the first one first; none if nothing was recorded.

    Args:
        folder: The study's folder.
    """
    names = StudyFolder(folder)
    return tuple(event for session in names.sessions() for event in _starts(names.spool(session)))


def _starts(spool: Path) -> Iterator[StudyStarted]:
    with spool.open("rb") as lines:
        for line in lines:
            if _KIND in line[:100]:  # of many thousands of events one or two are of this kind
                with suppress(ValueError):
                    event = Moment.parse(line).event
                    if isinstance(event, StudyStarted):
                        yield event
