"""Studies that were run: found by name, and summarised in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from thalweg import discovery
from thalweg.errors import StudyError, ThalwegError, nothing
from thalweg.search.store.laws import change_of, definition_of
from thalweg.search.store.records import StudyRecord, TrialRecord, read_study
from thalweg.search.store.storage import is_driven
from thalweg.study_folder import StudyFolder, studies_in

if TYPE_CHECKING:
    from thalweg.search.space import Space
    from thalweg.search.starting.run_options import Options

State = Literal["running", "complete", "stopped"]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The summary of a study in numbers.

    Attributes:
        name: The study.
        state: ``running`` if a process drives it, ``complete`` if all its trials have ended, else ``stopped``.
        num_trials: Number of trials that its last run asked for.
        counts: Number of trials that ended, by status.
        metric: Name of the objective.
        best: Objective of the best complete trial; None before there is one.
        space: Name under which the study's space is loaded.
    """

    name: str
    state: State
    num_trials: int
    counts: Counter[str]
    metric: str
    best: float | None
    space: str

    @property
    def num_ended(self) -> int:
        """Trials that have ended for good."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A study that cannot be read.

    Attributes:
        name: The study.
        reason: Why it cannot be read.
    """

    name: str
    reason: str


def folders(output: Path) -> list[Path]:
    """Returns the folders of studies below an output folder, by name."""
    return [study.path for study in studies_in(output)]


def find(output: Path, name: str, storage: str | None = None) -> StudyRecord:
    """Reads a study.

    Raises:
        StudyError: There is none of this name; the message names those that there are.
    """
    if storage is None and not StudyFolder(output / name).journal.exists():
        known = [folder.name for folder in folders(output)]
        missing = nothing(f"study {name!r}", str(output), name, known)
        way = "" if known else "`thalweg search SPACE` runs one, "
        raise StudyError(f"{missing}; {way}--output names another folder")
    return read_study(output / name, name, storage)


def summaries(output: Path) -> Iterator[Summary | Unreadable]:
    """Yields a summary of each study in an output folder, or the reason why it cannot be read."""
    for folder in folders(output):
        try:
            yield summary(read_study(folder, folder.name), folder)
        except ThalwegError as error:
            yield Unreadable(name=folder.name, reason=str(error))


def summary(record: StudyRecord, folder: Path) -> Summary:
    """Returns the summary of a study; ``folder`` is its folder."""
    counts, best = ended(record), record.best()
    num_trials = int(record.definition["study"]["num_trials"])
    state: State = "complete" if sum(counts.values()) >= num_trials else "stopped"
    return Summary(
        name=folder.name,
        state="running" if is_driven(folder) else state,
        num_trials=num_trials,
        counts=counts,
        metric=str(record.definition["metric"]),
        best=None if best is None else best.value,
        space=space_name(record),
    )


def space_name(record: StudyRecord) -> str:
    """Returns the name under which a study's space is loaded."""
    return discovery.space_name(str(record.definition["space"]))


def ended(record: StudyRecord) -> Counter[str]:
    """Counts the trials that have ended for good by their status."""
    return Counter(trial.status for trial in record.trials if trial.is_over)


def finished(output: Path, name: str, space: Space) -> StudyRecord | None:
    """Returns a study in a folder if all trials that a space asks for have ended; None if a search has work to do.

    A study by another definition counts as unfinished: the search refuses it, and says why.

    Args:
        output: Folder of all studies.
        name: Name of the study.
        space: The space with the settings of the search.
    """
    folder = output / name
    if not StudyFolder(folder).journal.exists() or is_driven(folder):
        return None
    try:
        record = read_study(folder, name)
    except StudyError:  # the search says what is wrong
        return None
    is_its = not change_of(name, record.definition, definition_of(space))
    return record if is_its and sum(ended(record).values()) >= space.study.num_trials else None


def earlier_trials(options: Options) -> tuple[TrialRecord, ...]:
    """Returns the trials that a study has from earlier sessions; none if it is new."""
    try:
        return read_study(options.directory, options.name, options.storage).trials
    except StudyError:  # opening the study for the search says what is wrong, if anything is
        return ()
