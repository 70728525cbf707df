"""The trials that a command names: ``STUDY:3`` for a trial, ``STUDY`` for the best one of a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from thalweg.analysis.best import best_trial
from thalweg.errors import StudyError, nothing
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study_folder import StudyFolder
from thalweg.wording import some

MAX_TRIALS = 8
"""More columns fit no terminal."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the trials that are compared.

    Attributes:
        study: Its study.
        folder: The study's folder.
        trial: The trial.
        label: How it is called: ``trial 3``, or ``rivers:3`` beside trials of other studies.
    """

    study: StudyRecord
    folder: Path
    trial: TrialRecord
    label: str

    @property
    def protocol(self) -> str | None:
        """Hash of the evaluation protocol of its study; None if an earlier version recorded none."""
        return next((trial.protocol for trial in (self.trial, *self.study.trials) if trial.protocol), None)


def address_of(word: str, output: Path) -> tuple[str, int | None]:
    """Returns the study and the trial that a word names; None for the best trial of the study."""
    name, colon, number = word.rpartition(":")
    if not colon or not number.isdecimal() or StudyFolder(output / word).journal.exists():
        return word, None
    return name, int(number)


def chosen(
    words: Sequence[str], numbers: Sequence[int], output: Path, find: Callable[[str], StudyRecord]
) -> list[Side]:
    """Returns the trials that a command names, in its order, each of them once.

    Args:
        words: ``STUDY:3`` or ``STUDY``.
        numbers: Trials of the one study that is named, instead.
        output: Folder of all studies.
        find: Reads a study.

    Raises:
        StudyError: There are fewer than two or more than `MAX_TRIALS`, or a trial that is named does not exist.
    """
    addresses = [address_of(word, output) for word in words]
    if numbers:
        addresses = _numbered(addresses, numbers)
    addresses = list(dict.fromkeys(addresses))
    names = dict.fromkeys(name for name, _ in addresses)
    records = {name: find(name) for name in names}
    found = [(records[name], _trial(records[name], number)) for name, number in addresses]
    sides = {
        (record.name, trial.number): Side(
            study=record,
            folder=output / record.name,
            trial=trial,
            label=f"trial {trial.number}" if len(names) == 1 else f"{record.name}:{trial.number}",
        )
        for record, trial in found
    }
    if len(sides) < 2:
        [side] = sides.values()
        there = [str(trial.number) for trial in side.study.ranking() if trial.number != side.trial.number]
        others = f" (complete: {some(there)})" if there else ""
        raise StudyError(
            f"two trials or more are compared, got only {side.study.name}:{side.trial.number}; name another as "
            f"{side.study.name}:NUMBER{others}, another study, or a parameter with --by"
        )
    if len(sides) > MAX_TRIALS:
        raise StudyError(f"at most {MAX_TRIALS} trials are compared, got {len(sides)}; name fewer")
    return list(sides.values())


def _numbered(
    addresses: Sequence[tuple[str, int | None]], numbers: Sequence[int]
) -> list[tuple[str, int | None]]:
    if len(addresses) != 1 or addresses[0][1] is not None:
        told = ", ".join(name if number is None else f"{name}:{number}" for name, number in addresses)
        raise StudyError(
            f"--trials names trials of one study, got {told}; name those of several studies as STUDY:NUMBER"
        )
    return [(addresses[0][0], number) for number in numbers]


def _trial(record: StudyRecord, number: int | None) -> TrialRecord:
    if number is None:
        return best_trial(record)
    for trial in record.trials:
        if trial.number == number:
            if not trial.config:
                why = f", which is {trial.status}{f': {trial.reason}' if trial.reason else ''}"
                raise StudyError(
                    f"a trial is compared by its configuration, got trial {number} of {record.name!r} without one"
                    f"{why}; name another"
                )
            return trial
    there = [str(trial.number) for trial in record.trials]
    raise StudyError(nothing(f"trial {number}", repr(record.name), str(number), there))
