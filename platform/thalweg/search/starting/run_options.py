"""Where and how a study runs, and whether its folder can be written."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from thalweg.errors import StudyError
from thalweg.files import writing
from thalweg.search.store.storage import RUNS
from thalweg.search.store.warm_start import StartingPoints


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where and how a study runs.

    Attributes:
        name: Name of the study.
        output: Folder of all studies; each has a folder of its own in it.
        storage: SQLAlchemy URL of a database for the study, instead of a journal in its folder.
        address: Address of a Ray cluster; None starts one on this machine.
        wait_s: Seconds to wait for resources, for instance for an autoscaler.
        take_over: Whether to take over a study in a database from a process on another machine that is gone.
        accept_code_change: Whether to continue a study although the code of its family or space has changed.

    Raises:
        StudyError: The name cannot be that of a folder.
    """

    name: str
    output: Path = RUNS
    storage: str | None = None
    address: str | None = None
    wait_s: float = 30.0
    take_over: bool = False
    accept_code_change: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.-]*", self.name):
            raise StudyError(
                f"a study's name must be letters, digits, '_', '-' and '.', got {self.name!r}; choose another"
            )

    @property
    def directory(self) -> Path:
        """Folder of the study."""
        return self.output.absolute() / self.name

    @property
    def starting_points(self) -> StartingPoints:
        """The starting points of the study's configurations."""
        return StartingPoints(self.directory, own=self.name, storage=self.storage)


def make_writable(directory: Path) -> None:
    """Creates the folder of a study, unless it is there.

    Raises:
        OutputError: It cannot be written.
    """
    with writing("the study's folder", directory, "choose another with --output"):
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # by another process that tries the same


def check_writable(directory: Path) -> None:
    """Checks that the folder of a study can be made, and leaves nothing behind.

    Raises:
        OutputError: It cannot be written.
    """
    missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    try:
        make_writable(directory)
    finally:
        for folder in missing:
            with suppress(OSError):  # it could not be made, or another study has begun in it
                folder.rmdir()
