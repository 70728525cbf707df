"""A trial as its run in MLflow describes it, for studies whose folder is gone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast, get_args

from thalweg import discovery
from thalweg.contract import Mode
from thalweg.errors import StudyError, ThalwegError
from thalweg.events import EndedAs
from thalweg.search.reproduction.circumstances import KEPT, SINCE
from thalweg.search.reproduction.original import FAILS_AGAIN, Original, of_study
from thalweg.search.store.records import read_study
from thalweg.study import Study
from thalweg.study_folder import StudyFolder
from thalweg.tracking.reading.trial_run import TrialRun, read_trial_run


def is_run_id(text: str) -> bool:
    """Returns whether a text is an id as MLflow gives them to runs."""
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None


def of_run(uri: str, run_id: str, number: int | None, storage: str | None = None) -> Original:
    """Returns what is recorded of a trial: by its study's storage if that is there, else by MLflow alone.

    Args:
        uri: MLflow's address, which `check_tracking` accepted.
        run_id: Id of the trial's run.
        number: Number of a trial, which has no meaning beside an id; None for none.
        storage: SQLAlchemy URL of a database with the study, instead of a journal in its folder.

    Raises:
        StudyError: There is no such run, it is no trial's, or nothing of it can be compared.
        ConnectionFailed: MLflow does not answer.
    """
    if number is not None:
        raise StudyError(
            f"the id of a run names its trial, got --trial {number} beside it; leave one of them out"
        )
    run = read_trial_run(uri, run_id)
    return _stored(run, storage) or _alone(run)


def _stored(run: TrialRun, storage: str | None) -> Original | None:
    """Returns the trial as its study's storage has it; None if that is gone, or is another study's of this name."""
    try:
        record = read_study(run.directory, run.study, storage)
    except ThalwegError:
        return None
    known = record.trials[run.number] if run.number < len(record.trials) else None
    if known is None or dict(known.config) != dict(run.config):
        return None
    return of_study(record, run.number, run.directory)


def _alone(run: TrialRun) -> Original:
    word = run.tags.get("ended_as", "")
    ended_as = cast("EndedAs", word) if word in get_args(EndedAs) else None
    _check(run, ended_as)
    budget = {name: int(run.settings[name]) for name in ("samples", "num_evaluations")}
    mode = cast("Mode", run.tags["mode"])
    starts_from = run.config.get("starts_from") or ()
    return Original(
        study=run.study,
        number=run.number,
        family=discovery.load_module("trainables", run.tags["family"]).__name__,
        config=run.config,
        metric=run.tags["metric"],
        mode=mode,
        evaluations=Study(metric=run.tags["metric"], mode=mode, **budget).evaluations,
        curve=run.curve,
        metrics=run.metrics,
        trained=(_stretch(run),),
        protocol=run.tags.get("protocol_hash"),
        code=run.code,
        starting_points=_weights(run, starts_from),
        num_workers=int(run.settings.get("num_workers", 1)),
        ended_as=ended_as,
        reason=run.tags.get("reason", ""),
    )


def _stretch(run: TrialRun) -> dict[str, Any]:
    return {SINCE: 0, **{name: run.tags[name] for name in KEPT if name in run.tags}}


def _check(run: TrialRun, ended_as: EndedAs | None) -> None:
    title = f"trial {run.number} of {run.study}"
    if run.tags.get("status") == "running":
        raise StudyError(f"a trial must have ended to be reproduced, {title} is running; wait for it")
    if parent := run.tags.get("parent"):
        raise StudyError(
            f"a schedule is reproduced from its study's folder, which is gone or another one's, got {title}, which "
            f"continues trial {parent} with other values; bring {run.directory} back, or reproduce trial {parent}"
        )
    if run.continued_by is not None:
        raise StudyError(
            f"an interrupted trial is reproduced with the one that continues it, got {title}, which trial "
            f"{run.continued_by} continues; take the id of that run"
        )
    if not run.curve and ended_as not in FAILS_AGAIN:
        raise StudyError(
            f"a trial must have reached an evaluation to be reproduced, {title} failed before: "
            f"{run.tags.get('reason', 'the reason is not recorded')}; mend that, and `thalweg search` tries new trials"
        )


def _weights(run: TrialRun, starts_from: tuple[str, ...]) -> dict[str, str]:
    """Returns the files with the weights that a trial started from, which MLflow does not hold.

    Raises:
        StudyError: The study's folder does not hold them either.
    """
    found = StudyFolder(run.directory).starting_weights_of(starts_from)
    if gone := [file for file in found.values() if not Path(file).is_file()]:
        raise StudyError(
            f"the weights that a trial started from must be in its study's folder, for MLflow does not hold them, got "
            f"no {gone[0]}; put the file back"
        )
    return found
