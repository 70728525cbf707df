"""Registers a study's best model, or the one that its confirmation recommends, with what is known of it."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.analysis.best import best_trial, checkpoint_place
from thalweg.analysis.declared import family_of
from thalweg.analysis.verdict.verdict_files import read_verdict
from thalweg.datasets.catalogue import data_root
from thalweg.errors import StudyError, nothing
from thalweg.hashing import digest
from thalweg.search.confirmation.confirmation import CONFIGURATION, name_of, read_plan
from thalweg.search.reproduction.original import code_at
from thalweg.search.store.records import StudyRecord, TrialRecord, read_study
from thalweg.search.store.storage import output_flag
from thalweg.serving.quantities import Quantity
from thalweg.serving.shipping import tried
from thalweg.tracking.registry.model_version import Registered, add_model_version, check_registry

if TYPE_CHECKING:
    from thalweg.inference import Exported
    from thalweg.serving.shipping import Shipped

_OF_SOFTWARE = ("version/", "python")


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The trial whose model is registered.

    Attributes:
        trial: The trial.
        why: Why this one: ``best of the search``, ``recommended: ...`` or ``chosen``.
        verdict: What a confirmation said of it; empty if there was none.
    """

    trial: TrialRecord
    why: str
    verdict: str = ""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A model that was registered.

    Attributes:
        registered: Its place in the registry.
        quantities: What it takes and gives.
        code_bytes: Size of the code that was shipped with it.
        model_bytes: Size of the exported model.
    """

    registered: Registered
    quantities: tuple[Sequence[Quantity], Sequence[Quantity]]
    code_bytes: int
    model_bytes: int


def choose(record: StudyRecord, directory: Path, number: int | None) -> Chosen:
    """Chooses a trial: the one that is named, else the one that a confirmation recommends, else the best.

    Args:
        record: The study.
        directory: Its folder.
        number: Number of the trial; None leaves it to the study.

    Raises:
        StudyError: There is no such trial, it is not complete, its checkpoint is gone, or the verdict is damaged.
    """
    verdict = _verdict(record, directory)
    recommended = _recommended(verdict)
    if number is not None:
        chosen = Chosen(trial=_complete(record, number), why="chosen", verdict=_said(verdict))
    elif recommended is not None:
        why = f"recommended: {verdict['recommendation']['reason']}"
        chosen = Chosen(trial=_complete(record, recommended), why=why, verdict=_said(verdict))
    else:
        chosen = Chosen(trial=best_trial(record), why="best of the search", verdict=_said(verdict))
    place = checkpoint_place(record, chosen.trial.checkpoint)
    if place != chosen.trial.checkpoint:
        raise StudyError(
            f"a model is registered from its checkpoint, that of trial {chosen.trial.number} of {record.name} is "
            f"{place}; bring it back, choose another --trial, or search anew with a higher keep_checkpoints"
            f"{_own_run(directory, f'trial {chosen.trial.number}')}"
        )
    return chosen


def register(
    record: StudyRecord,
    chosen: Chosen,
    directory: Path,
    uri: str,
    name: str,
    root: Path | None,
    tell: Callable[[str], None],
) -> Kept:
    """Exports a trial's model, tries it where nothing but its own code can be imported, and registers it.

    Args:
        record: The study.
        chosen: The trial.
        directory: The study's folder, absolute.
        uri: MLflow's address, which `check_tracking` accepted.
        name: Name of the model.
        root: Folder of all data.
        tell: Called with sentences for people about what takes a while.

    Raises:
        ThalwegError: The family cannot predict, the data are no longer those of training, or MLflow refuses something.
    """
    number = chosen.trial.number
    check_registry(uri, name, record.name, directory, number)
    from thalweg.inference import load
    from thalweg.training.checkpoints.export import export  # torch and DeepSpeed

    family = family_of(record)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.pt"
        export(Path(str(chosen.trial.checkpoint)), data_root(family, root), model)
        found = load(model)
        quantities = found.quantities
        tell("tries the model where only its own code can be imported")
        code = Path(folder) / "code"
        code.mkdir()
        shipped = tried(family.package, model, code)
        told = tags(record, chosen, found, shipped)
        trial = (record.name, directory, number)
        registered = add_model_version(uri, name, trial, model, shipped, quantities, told)
        return Kept(
            registered=registered,
            quantities=quantities,
            code_bytes=shipped.num_bytes,
            model_bytes=model.stat().st_size,
        )


def tags(record: StudyRecord, chosen: Chosen, found: Exported, shipped: Shipped) -> dict[str, str]:
    """Returns the tags of a version: where it comes from, how good it is, units and statistics, and the code."""
    trial, (taken, given) = chosen.trial, found.quantities
    trained: Mapping[str, Any] = trial.trained[-1] if trial.trained else {}
    software = {name: str(value) for name, value in trained.items() if name.startswith(_OF_SOFTWARE)}
    return {
        "study": record.name,
        "trial": str(trial.number),
        "chosen": chosen.why,
        "verdict": chosen.verdict or "not confirmed",
        "family": family_of(record).name,
        "dataset": str(trial.config.get("dataset", "")),
        "data_fingerprint": str(found.content["data_fingerprint"]),
        "metric": str(record.definition["metric"]),
        "value": repr(trial.value),
        "samples": str(trial.samples),
        "seed": str(trial.config.get("seed", "")),
        "protocol_hash": trial.protocol or "",
        "protocol": json.dumps(found.content["protocol"], default=str),
        "units": json.dumps({each.name: each.unit for each in (*taken, *given)}),
        "normalization": json.dumps(
            {each.name: {"mean": each.mean, "std": each.std} for each in taken if each.mean is not None}
        ),
        "code_hash": digest(code) if (code := code_at(record, trial.number)) else "",
        "code_bytes": str(shipped.num_bytes),
        **software,
    }


def _complete(record: StudyRecord, number: int) -> TrialRecord:
    complete = {trial.number: trial for trial in record.ranking()}
    if number not in complete:
        raise StudyError(
            nothing(f"complete trial {number}", record.name, number, [str(known) for known in complete])
        )
    return complete[number]


def _verdict(record: StudyRecord, directory: Path) -> Mapping[str, Any]:
    """Returns the verdict of a study's confirmation.

    It is empty if there is none, if it is still open, or if it is of an earlier study with this name.
    """
    folder = directory.with_name(name_of(directory.name))
    found, plan = read_verdict(folder), read_plan(folder)
    is_other = plan is not None and not plan.is_of(record)
    return {} if found is None or found.get("open") or is_other else found


def _own_run(directory: Path, configuration: str) -> str:
    """Returns the command that registers the best run of a configuration in its confirmation, which keeps them all."""
    name = name_of(directory.name)
    with suppress(StudyError):  # there is no confirmation
        for trial in read_study(directory.with_name(name), name).ranking():
            is_kept = trial.checkpoint is not None and Path(trial.checkpoint).exists()
            if is_kept and trial.params.get(CONFIGURATION) == configuration:
                where = output_flag(directory.parent)
                return f"; thalweg register {name} --trial {trial.number}{where} takes its best run with a fresh seed"
    return ""


def _recommended(verdict: Mapping[str, Any]) -> int | None:
    """Returns the number of the recommended trial; None if a confirmation recommends none."""
    found = re.fullmatch(r"trial (\d+)", str(verdict.get("recommendation", {}).get("name", "")))
    return int(found[1]) if found else None


def _said(verdict: Mapping[str, Any]) -> str:
    """Returns a verdict in one line: ``trial 7 beats trial 6; trial 7 same trial 3; ...``."""
    champion = verdict.get("champion", "")
    told = [f"{champion} {one['word']} {one['rival']}" for one in verdict.get("verdicts", ())]
    recommendation = verdict.get("recommendation", {})
    if recommendation.get("name"):
        told.append(f"recommended: {recommendation['name']}, {recommendation['reason']}")
    return "; ".join(told)
