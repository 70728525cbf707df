"""The plan of a confirmation: who runs and with which seeds, written down before any of them has run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from thalweg.config import FamilyConfig, check, parse
from thalweg.discovery import space_name
from thalweg.errors import StudyError
from thalweg.events import EndedAs
from thalweg.files import atomic_file, copy_folder, writing
from thalweg.search.confirmation.contenders import Contender
from thalweg.search.space import Space, load_space
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study import Study, Trial
from thalweg.study_folder import StudyFolder

_FORMAT = 1
CONFIGURATION, SEED = "configuration", "seed"
Run = tuple[str, int]
"""Name of a contender, and the index of its seed."""
NO_FAULT: frozenset[EndedAs] = frozenset({"data", "infrastructure", "preempted", "stopped_by_user"})
"""How a run is lost: its machine, its data or the search failed it, which says nothing of its configuration."""


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """A plan that stays as it was made, so that the same command goes on with it.

    Attributes:
        study: The study that is confirmed.
        contenders: Who runs, the champion first.
        seeds: Values of the knob ``seed``, the same for each contender, in the order in which they are taken.
        matters: Smallest difference of the objective that matters; None takes the median spread over seeds.
        stopped: Trials of the study that were stopped early, so that nobody knows whether they are worse.
    """

    study: str
    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...]
    matters: float | None = None
    stopped: int = 0

    def params(self, runs: Sequence[Run]) -> tuple[dict[str, Any], ...]:
        """Returns runs as parameter sets of the confirmation's space."""
        return tuple({CONFIGURATION: name, SEED: self.seeds[index]} for name, index in runs)

    def runs(self, record: StudyRecord) -> Iterator[tuple[Run, TrialRecord]]:
        """Yields the runs of a confirmation that ended by themselves, complete or failed, with their trials."""
        return ((run, trial) for run, trial in self._ended(record) if trial.ended_as not in NO_FAULT)

    def lost(self, record: StudyRecord) -> Iterator[tuple[Run, TrialRecord]]:
        """Yields the runs that were lost through no fault of their configuration, once for each attempt."""
        return ((run, trial) for run, trial in self._ended(record) if trial.ended_as in NO_FAULT)

    def _ended(self, record: StudyRecord) -> Iterator[tuple[Run, TrialRecord]]:
        names, places = {one.name for one in self.contenders}, {s: i for i, s in enumerate(self.seeds)}
        for trial in record.trials:
            name, seed = trial.params.get(CONFIGURATION), trial.params.get(SEED)
            over = trial.status in ("complete", "failed") and not trial.interrupted
            if over and name in names and seed in places:
                yield (str(name), places[seed]), trial

    def is_of(self, record: StudyRecord) -> bool:
        """Returns whether its trials are those of a study: another one may have been searched under its name since."""
        configs = {f"trial {trial.number}": trial.config for trial in record.trials}
        known = [one for one in self.contenders if one.name.startswith("trial ")]
        return self.study == record.name and all(configs.get(one.name) == one.config for one in known)


def name_of(study: str) -> str:
    """Returns the name of the study that confirms another one."""
    return f"{study}.confirm"


def fresh_seeds(study: StudyRecord, count: int, label: str = "confirm") -> tuple[int, ...]:
    """Returns seeds that no trial of a study has had, always the same ones for its name.

    Args:
        study: The study.
        count: How many.
        label: Tells confirmations of one study apart, so that a second one does not see the seeds of the first.
    """
    taken = {trial.config.get("seed") for trial in study.trials}
    found: list[int] = []
    index = 0
    while len(found) < count:
        told = hashlib.sha256(f"{study.name}/{label}/{index}".encode()).digest()
        seed = int.from_bytes(told[:4], "big") % 2**31
        if seed not in taken and seed not in found:
            found.append(seed)
        index += 1
    return tuple(found)


def write_plan(plan: Confirmation, directory: Path) -> None:
    """Writes a plan into the folder of a confirmation.

    Raises:
        OutputError: It cannot be written.
    """
    file = StudyFolder(directory).confirmation
    with writing("the plan of a confirmation", file, "choose another --output"):
        directory.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as draft:
            draft.write_text(json.dumps({"format": _FORMAT, **asdict(plan)}, indent=1), encoding="utf-8")


def read_plan(directory: Path) -> Confirmation | None:
    """Reads the plan of a confirmation; None if there is none.

    Raises:
        StudyError: It is damaged, or of a later version.
    """
    file = StudyFolder(directory).confirmation
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        if told.pop("format") != _FORMAT:
            raise ValueError("another format")
        told["contenders"] = tuple(Contender(**each) for each in told["contenders"])
        return Confirmation(**{**told, "seeds": tuple(told["seeds"])})
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise StudyError(
            f"the plan of a confirmation must be whole, got {file} ({error}); put it back, or confirm under another "
            "name with --as"
        ) from None


def plans_of(study: str, output: Path) -> Iterator[tuple[Path, Confirmation]]:
    """Yields the confirmations of a study, each with its folder, ordered by name.

    Args:
        study: Name of the study.
        output: Folder of all studies.

    Raises:
        StudyError: A plan is damaged, or of a later version.
    """
    for file in sorted(output.glob(f"*/{StudyFolder(output).confirmation.name}")):
        plan = read_plan(file.parent)
        if plan is not None and plan.study == study:
            yield file.parent, plan


def adopt_starting_points(source: Path, directory: Path) -> None:
    """Copies the weights that a study starts from, so that a confirmation starts from the same ones.

    Raises:
        OutputError: They cannot be written.
    """
    theirs, own = StudyFolder(source).starting_points, StudyFolder(directory).starting_points
    if theirs.is_dir() and not own.exists():
        with writing("weights to start from", own, "free space, or choose another --output"):
            directory.mkdir(parents=True, exist_ok=True)
            copy_folder(theirs, own)


def confirmed_space(plan: Confirmation, record: StudyRecord, runs: Sequence[Run], **settings: Any) -> Space:
    """Returns a search space whose trials are the runs of a confirmation: recorded configurations with other seeds.

    Full budget, no early stopping; the checkpoints of all runs are kept for the hold-out. A run that was lost is named
    once for each attempt, and once more.

    Args:
        plan: The plan.
        record: The study that is confirmed.
        runs: The runs, in their order.
        settings: Settings of the study that replace those of the search, such as ``num_lanes``; None keeps them.

    Raises:
        ConfigError: A recorded configuration is none of the family as it is now.
    """
    own = load_space(space_name(str(record.definition["space"])))
    configs = {one.name: parse(own.config_type, dict(one.config)) for one in plan.contenders}
    given = {name: value for name, value in settings.items() if value is not None}
    study = _study(record, plan.params(runs), len(plan.contenders) * len(plan.seeds), given)

    def space(trial: Trial) -> FamilyConfig:
        name = trial.suggest_categorical(CONFIGURATION, list(configs))
        return check(configs[name].model_copy(update={SEED: trial.suggest_categorical(SEED, plan.seeds)}))

    overrides = {**record.overrides, "samples": study.samples} if record.overrides else {}
    return replace(own, function=space, study=study, confirms=plan.study, overrides=overrides)


def _study(
    record: StudyRecord, params: Sequence[Mapping[str, Any]], max_runs: int, given: Mapping[str, Any]
) -> Study:
    stored = record.definition["study"]
    kept = ("num_lanes", "num_workers", "cpus_per_worker", "gpus_per_worker", "max_retries", "max_silence_s")
    settings = {name: stored[name] for name in kept if name in stored} | dict(given)
    return Study(
        metric=str(record.definition["metric"]),
        mode=record.mode,
        samples=int(record.definition["samples"]),
        num_evaluations=int(record.definition["num_evaluations"]),
        sampler="random",
        scheduler="none",
        keep_checkpoints=max_runs,
        first_trials=tuple(dict(each) for each in params),
        num_trials=max(1, len(params)),
        **settings,
    )
