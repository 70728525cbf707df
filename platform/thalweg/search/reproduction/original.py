"""What a study's record holds of one trial: all that is needed to train it again without its search space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalweg.contract import Mode
from thalweg.errors import StudyError, nothing
from thalweg.events import EndedAs
from thalweg.search.reproduction.circumstances import SINCE, THREADS, Stretch
from thalweg.search.store.population.lineage import Segment, chain, curve_of
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study import Study
from thalweg.study_folder import StudyFolder
from thalweg.wording import counted

FAILS_AGAIN: tuple[EndedAs, ...] = ("diverged", "infeasible")
"""How trials end that fail in the same way whenever they are trained."""


@dataclass(frozen=True, kw_only=True)
class Original:
    """A trial as its record describes it.

    Attributes:
        study: Name of the study.
        number: Number of the trial.
        family: Package of the family.
        config: The resolved configuration as JSON, with what it inherited.
        metric: The objective.
        mode: Whether smaller or larger is better.
        evaluations: Samples seen at each evaluation of the whole budget, ascending.
        curve: (samples, objective) at each evaluation that it reached.
        metrics: All metrics of its last evaluation; empty if the record has none.
        trained: Circumstances of its training, see `circumstances`; none if an earlier version recorded it.
        protocol: Hash of the evaluation protocol; None if it is not recorded.
        code: Hash of each module that it ran, by its path below the import path; empty if it is not recorded.
        starting_points: Files with the weights of the studies that it started from, by the study's name.
        num_workers: Workers that the study asked for.
        ended_as: Why it ended, as a word.
        reason: Why it failed, as a sentence.
        kept_code: Folder in which the study keeps the code of its trials.
        segments: Samples at the end of each segment, with its configuration, if its values changed on the way; empty if
            `config` is that of the whole training.
    """

    study: str
    number: int
    family: str
    config: Mapping[str, Any]
    metric: str
    mode: Mode
    evaluations: tuple[int, ...]
    curve: tuple[tuple[int, float], ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    trained: tuple[Stretch, ...] = ()
    protocol: str | None = None
    code: Mapping[str, str] = field(default_factory=dict)
    starting_points: Mapping[str, str] = field(default_factory=dict)
    num_workers: int = 1
    ended_as: EndedAs | None = None
    reason: str = ""
    kept_code: Path | None = None
    segments: tuple[tuple[int, Mapping[str, Any]], ...] = ()

    def config_at(self, samples: int) -> Mapping[str, Any]:
        """Returns the configuration under which an evaluation was reached."""
        return next((config for end, config in self.segments if samples <= end), self.config)

    @property
    def title(self) -> str:
        """How sentences name it."""
        return f"trial {self.number} of {self.study}"

    @property
    def num_threads(self) -> int:
        """Threads of torch's CPU kernels in each worker; one if that is not recorded."""
        return max((int(one.get(THREADS, 1)) for one in self.trained[:1]), default=1)

    def points(self, samples: int | None = None) -> tuple[tuple[int, float], ...]:
        """Returns the evaluations that are compared.

        Args:
            samples: Samples after which no evaluation is compared; None compares all that the trial reached.

        Raises:
            StudyError: There is none up to there.
        """
        found = tuple(point for point in self.curve if samples is None or point[0] <= samples)
        if not found and samples is not None and self.curve:
            raise StudyError(
                f"--samples must reach the first evaluation of {self.title}, at {self.curve[0][0]:,} samples, got "
                f"{samples:,}"
            )
        return found


def of_study(record: StudyRecord, number: int | None, directory: Path) -> Original:
    """Returns what a study records of a trial.

    Args:
        record: The study.
        number: Number of the trial; None takes the best one.
        directory: Folder of the study.

    Raises:
        StudyError: There is no such trial, it has not ended, or nothing of it can be compared.
    """
    trial = _trial(record, number)
    _check(record, trial)
    segments = chain(record.trials, trial.number)
    _check_chain(record, segments)
    definition, starts_from = record.definition, segments[0].config.get("starts_from") or ()
    study = {name: definition[name] for name in ("metric", "mode", "samples", "num_evaluations")}
    return Original(
        study=record.name,
        number=trial.number,
        family=str(definition["family"]),
        config=trial.config,
        metric=str(definition["metric"]),
        mode=record.mode,
        evaluations=Study(**study).evaluations,
        curve=curve_of(segments),
        metrics=trial.metrics if trial.curve and trial.samples == trial.curve[-1][0] else {},
        trained=_stretches(segments),
        protocol=trial.protocol,
        code=code_at(record, trial.number),
        starting_points=_weights(StudyFolder(directory), starts_from),
        num_workers=int(definition.get("study", {}).get("num_workers", 1)),
        ended_as=trial.ended_as,
        reason=trial.reason,
        kept_code=StudyFolder(directory).code("x").parent,
        segments=tuple((each.end, each.config) for each in segments) if len(segments) > 1 else (),
    )


def _check_chain(record: StudyRecord, segments: Sequence[Segment]) -> None:
    """Refuses a schedule of which a segment is not recorded, or ran other code than the last one.

    Raises:
        StudyError: The message names the trial and what can be done.
    """
    last = segments[-1].trial
    for segment in segments[:-1]:
        if not segment.config:
            raise StudyError(
                f"a schedule is reproduced segment by segment, got no configuration of trial {segment.trial} of "
                f"{record.name}, which trial {last} continues; reproduce trial {segment.trial}'s heirs from its "
                "checkpoint, or another trial"
            )
        if code_at(record, segment.trial) != code_at(record, last):
            raise StudyError(
                f"segments of a schedule are reproduced with one version of the code, got trial {segment.trial} and "
                f"{last} of {record.name}, between which it changed; add --trial {segment.trial} with that code"
            )


def _stretches(segments: Sequence[Segment]) -> tuple[Stretch, ...]:
    """Returns the circumstances of a whole schedule; those of a segment hold from its first evaluation on."""
    return tuple(
        {**one, SINCE: max(one[SINCE], segment.start + 1 if segment.start else 0)}
        for segment in segments
        for one in segment.trained
    )


def code_at(record: StudyRecord, number: int) -> dict[str, str]:
    """Returns the hashes of the modules that a trial ran.

    Args:
        record: The study.
        number: Number of the trial. A module that changed later is left out if its hash before is not recorded.
    """
    modules: dict[str, str | None] = dict(record.code)
    for change in reversed(record.code_changes):
        if change["from_trial"] > number:
            before = change.get("before", {})
            modules |= {name: before.get(name) for name in change["modules"]}
    return {name: known for name, known in modules.items() if known}


def _trial(record: StudyRecord, number: int | None) -> TrialRecord:
    if number is None:
        best = record.best()
        if best is None:
            raise StudyError(
                f"a study must have a complete trial to have a best one, {record.name!r} has none among "
                f"{counted(len(record.trials), 'trial')}; choose one with --trial"
            )
        return best
    if not 0 <= number < len(record.trials):
        known = [str(trial.number) for trial in record.trials]
        raise StudyError(nothing(f"trial {number}", record.name, number, known))
    return record.trials[number]


def _check(record: StudyRecord, trial: TrialRecord) -> None:
    """Refuses a trial of which nothing can be compared, and says what can be done."""
    title = f"trial {trial.number} of {record.name}"
    if trial.status in ("running", "waiting"):
        raise StudyError(f"a trial must have ended to be reproduced, {title} is {trial.status}; wait for it")
    if trial.interrupted and (later := _continuation(record.trials, trial)) is not None:
        raise StudyError(
            f"an interrupted trial is reproduced with the one that continues it, got {title}, which trial "
            f"{later} continues; add --trial {later}"
        )
    if not trial.config:
        raise StudyError(
            f"a trial must have a configuration to be reproduced, {title} was refused before it began: "
            f"{trial.reason}; `thalweg check` says what its space refuses"
        )
    if not trial.curve and trial.ended_as not in FAILS_AGAIN:
        raise StudyError(
            f"a trial must have reached an evaluation to be reproduced, {title} failed before: {trial.reason}; mend "
            "that, and `thalweg search` tries new trials"
        )


def _continuation(trials: Sequence[TrialRecord], trial: TrialRecord) -> int | None:
    """Returns the number of the trial that continues an interrupted one to its end; None if none does."""
    found: int | None = None
    later = next((one for one in trials if one.continues == trial.number), None)
    while later is not None:
        found, before = later.number, later.number
        later = next((one for one in trials if one.continues == before), None)
    return found


def _weights(folder: StudyFolder, starts_from: Sequence[str]) -> dict[str, str]:
    """Returns the files with the weights that a trial started from.

    Raises:
        StudyError: One of them is gone.
    """
    found = folder.starting_weights_of(starts_from)
    if gone := [file for file in found.values() if not Path(file).is_file()]:
        raise StudyError(
            f"the weights that a trial started from must be in its study's folder, got no {gone[0]}; put the file back"
        )
    return found
