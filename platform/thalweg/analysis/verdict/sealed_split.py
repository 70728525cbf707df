"""The sealed split ``test``: runs of a confirmation are evaluated on it once, and every reading is logged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from thalweg.analysis.comparison import BestBaseline, Comparison
from thalweg.analysis.declared import family_of
from thalweg.analysis.verdict.confirmed import Confirmed, judge
from thalweg.analysis.verdict.reading_log import log_reading
from thalweg.errors import DataError, StudyError
from thalweg.files import atomic_file, writing
from thalweg.search.store.records import StudyRecord
from thalweg.study_folder import StudyFolder, trial_name
from thalweg.wording import counted


def on_test(
    confirmed: Confirmed,
    record: StudyRecord,
    search: StudyRecord,
    folders: tuple[Path, Path],
    data_root: Path,
    command: str,
    tell: Callable[[str], None],
) -> Confirmed:
    """Evaluates the runs of a confirmation on the split ``test`` and judges them, over seeds and over places and years.

    What was evaluated is not read again.

    Args:
        confirmed: The verdict on validation.
        record: The confirmation.
        search: The study that it confirms.
        folders: Folders of the confirmation and of the study.
        data_root: Folder of the family's data sets.
        command: The command, for the log.
        tell: Called with sentences for people.

    Raises:
        ThalwegError: The data have no such split, or it cannot give the objective, or a checkpoint is gone.
    """
    file, known = StudyFolder(folders[0]).test_scores, _known(folders[0])
    trials = [trial for one in confirmed.repeated for trial in one.trials.values()]
    due = [t for t in trials if t.status == "complete" and str(t.number) not in known["runs"]]
    if due:
        from thalweg.training.hold_out import evaluate  # torch and DeepSpeed

        log_reading(search, folders[1], data_root, command, f"{counted(len(due), 'run')} of {record.name}")
        for trial in due:
            tell(f"evaluates trial {trial.number} of {record.name} on the split test")
            found = evaluate(
                Path(trial.checkpoint or "none"),
                data_root,
                name=trial_name(trial.number),
                units=StudyFolder(folders[0]).test_unit_sums,
            )
            if why := found.unmeasured.get(confirmed.metric):
                raise DataError(
                    f"a verdict on the split test must be one by {confirmed.metric}, which it cannot give: {why}; "
                    "confirm without --test, or search on data whose split can"
                )
            known["runs"][str(trial.number)] = dict(found.test)
            known["baselines"] = {name: dict(metrics) for name, metrics in found.baselines.items()}
            with writing("metrics on the split test", file, "free space"), atomic_file(file) as draft:
                draft.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return _judged(known, confirmed, record, search, folders[0])


def judged_before(
    confirmed: Confirmed, record: StudyRecord, search: StudyRecord, directory: Path
) -> Confirmed | None:
    """Judges the runs of a confirmation on the split ``test`` by what was read before; reads nothing of the split.

    Args:
        confirmed: The verdict on validation.
        record: The confirmation.
        search: The study that it confirms.
        directory: Folder of the confirmation.

    Returns:
        The verdict; None if no run was evaluated on the split.
    """
    known = _known(directory)
    return _judged(known, confirmed, record, search, directory) if known["runs"] else None


def _known(directory: Path) -> dict[str, Any]:
    """Returns the metrics on the split ``test`` that were read for a confirmation: of runs, and of baselines.

    Raises:
        StudyError: Their file is damaged.
    """
    file = StudyFolder(directory).test_scores
    try:
        known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except ValueError as error:
        raise StudyError(
            f"the metrics on the split test must be whole, got {file} ({error}); put the file back, or delete it to "
            "read the split once more"
        ) from None
    return {"runs": {}, "baselines": {}, **known}


def _judged(
    known: Mapping[str, Any],
    confirmed: Confirmed,
    record: StudyRecord,
    search: StudyRecord,
    directory: Path,
) -> Confirmed:
    from thalweg.analysis.verdict.kept_units import compare_over_units  # torch

    moved = tuple(_moved(trial, known["runs"], confirmed.metric) for trial in record.trials)
    comparison = Comparison(known["baselines"], record.metrics, confirmed.metric, search.mode)
    best: BestBaseline | None = comparison.best(confirmed.metric)
    found = judge(confirmed.plan, replace(record, trials=moved), search, best)
    return compare_over_units(found, directory, family_of(search), "test")


def _moved(trial: Any, runs: Mapping[str, Mapping[str, float]], metric: str) -> Any:
    """Returns the record of a trial with its metrics on the split ``test``; one that was not evaluated runs still."""
    if trial.status != "complete":
        return trial
    found = runs.get(str(trial.number))
    if found is None:
        return replace(trial, status="running")
    return replace(trial, metrics=found, value=found.get(metric))
