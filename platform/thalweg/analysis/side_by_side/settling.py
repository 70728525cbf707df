"""The command that settles which of some trials, or options of a parameter, is better."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from itertools import count
from pathlib import Path

from thalweg.search.confirmation.confirmation import name_of, read_plan
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.search.store.storage import output_flag


def settled_by_trials(
    named: Sequence[tuple[StudyRecord, TrialRecord]], output: Path, storage: str | None
) -> str:
    """Returns the command that trains trials again with fresh seeds, those of them that are complete.

    Args:
        named: Trials with their studies.
        output: Folder of all studies.
        storage: Database of the studies; None for files.

    Returns:
        The command; for runs of a confirmation the one that tells its verdict. Empty if there is none, for trials of
        several studies or fewer than two that are complete.
    """
    study = named[0][0]
    if any(other.name != study.name for other, _ in named):
        return ""
    confirmed = study.definition.get("confirms")
    if confirmed:
        name = "" if study.name == name_of(confirmed) else f" --as {shlex.quote(study.name)}"
        return _command(confirmed, name, output, storage)
    numbers = {trial.number for _, trial in named}
    best_first = [trial.number for trial in study.ranking() if trial.number in numbers]
    if len(best_first) < 2:  # a stopped trial has no end to be confirmed
        return ""
    return settled_by(study, f" --trials {','.join(map(str, best_first))}", best_first, output, storage)


def settled_by(
    study: StudyRecord, options: str, numbers: Collection[int], output: Path, storage: str | None
) -> str:
    """Returns the command that confirms some trials of a search, under a name that no other confirmation has.

    Args:
        study: The study.
        options: Options that name the trials, with a leading blank.
        numbers: The trials.
        output: Folder of all studies.
        storage: Database of the study; None for files.
    """
    first = name_of(study.name)
    plan = read_plan(output / first)
    if plan is None:
        return _command(study.name, options, output, storage)
    planned = set() if not plan.is_of(study) else {one.name for one in plan.contenders}
    wanted = {f"trial {number}" for number in numbers}
    if wanted <= planned and plan.contenders[0].name in wanted:  # it goes on, or says what it found
        return _command(study.name, "", output, storage)
    free = next(name for name in (f"{first}-{place}" for place in count(2)) if not (output / name).exists())
    return _command(study.name, f"{options} --as {shlex.quote(free)}", output, storage)


def _command(study: str, options: str, output: Path, storage: str | None) -> str:
    database = f" --storage {shlex.quote(storage)}" if storage else ""
    return f"thalweg confirm {shlex.quote(study)}{options}{output_flag(output)}{database}"
