"""Broadcast: passes the events of a study to its listeners, with baselines and what an earlier session left untold."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from thalweg.config import FamilyConfig, active, nested_leaves, parse
from thalweg.errors import ConfigError, OutputError, StudyError
from thalweg.events import (
    BaselineEvaluated,
    Event,
    Listener,
    Notice,
    StudyEnded,
    StudyStarted,
    TrialEnded,
    TrialKept,
    TrialProgress,
    TrialStarted,
)
from thalweg.search.store.multi_objective.admission import lacking
from thalweg.search.store.optuna_study import Ledger, expendable
from thalweg.search.store.records import LINEAGE, StudyRecord, TrialRecord
from thalweg.study_folder import StudyFolder
from thalweg.training import baselines
from thalweg.training.checkpoints.places import relative, remove


class Broadcast:
    """Passes events to listeners, publishes baselines, and deletes checkpoints that need not be kept.

    Args:
        ledger: The ledger of the study.
        listeners: Receivers of each event.
        directory: Folder of the study.

    Attributes:
        any_trained: Whether a lane has reported an evaluation.
    """

    def __init__(self, ledger: Ledger, listeners: Sequence[Listener], directory: Path) -> None:
        self._ledger = ledger
        self._listeners = listeners
        self._folder = StudyFolder(directory)
        self._baselines_told = False
        self.any_trained = False

    def __call__(self, event: Event) -> None:
        """Publishes one event."""
        if isinstance(event, TrialProgress) and event.timings:  # without them: inherited with a checkpoint
            self.any_trained = True
        if isinstance(event, TrialProgress | TrialEnded) and not self._baselines_told:
            self.tell_baselines()
        if isinstance(event, TrialEnded):
            record = self._ledger.read()
            self._delete_expendable(record)
            self.tell(lacking(record))
        if isinstance(event, StudyEnded):
            with suppress(OutputError, StudyError):  # the storage may be what ended the search
                self._tell_kept()
        for listener in self._listeners:
            listener.handle(event)
        if isinstance(event, StudyStarted):
            self.tell_baselines()  # those of an earlier session
            self._tell_kept()

    def tell(self, sentences: Iterable[str]) -> None:
        """Publishes sentences for people as notices."""
        for text in sentences:
            self(Notice(text=text))

    def tell_baselines(self) -> None:
        """Publishes the baselines if they are known."""
        found = baselines.read(self._folder.checkpoints)
        if found is None:
            return
        self._baselines_told = True
        for name, metrics in found.items():
            self(BaselineEvaluated(name=name, metrics=metrics))

    def _tell_kept(self) -> None:
        record = self._ledger.read()
        for trial in record.trials:
            if trial.status in ("complete", "pruned", "failed"):
                self(kept(trial, self._ledger.space.config_type, record.broken(trial)))

    def _delete_expendable(self, record: StudyRecord) -> None:
        for trial in expendable(self._ledger, record):
            for name in trial.folders:
                remove(self._folder.trial(name), self._folder.path)


def kept(trial: TrialRecord, config_type: type[FamilyConfig], breaks: str = "") -> TrialKept:
    """Returns the event that describes an ended trial, for listeners that may have missed its own events."""
    assert trial.status in ("complete", "pruned", "failed")
    tags = {"seed": trial.config.get("seed"), "continues": trial.continues, "protocol_hash": trial.protocol}
    if trial.parent is not None:
        tags |= {name: getattr(trial, name) for name in LINEAGE}
    reason = trial.reason
    if not trial.interrupted and reason.startswith("interrupted"):
        reason = reason.replace("interrupted", "given up", 1)  # the word alone would promise a continuation
    return TrialKept(
        began=TrialStarted(
            number=trial.number,
            params=trial.params,
            config=_active(trial.config, config_type),
            tags={name: str(value) for name, value in tags.items() if value is not None},
            documents={"config.json": json.dumps(dict(trial.config), indent=2)},
        ),
        curve=trial.curve,
        metrics=trial.metrics,
        ended=TrialEnded(
            number=trial.number,
            status=trial.status,
            value=trial.value,
            samples=trial.samples,
            seconds=trial.seconds,
            reason=reason,
            ended_as=trial.ended_as,
            checkpoint=relative(trial.checkpoint) if trial.checkpoint else None,
            breaks=breaks if trial.status == "complete" else "",
        ),
        began_ms=_milliseconds(trial.started or trial.ended),
        ended_ms=_milliseconds(trial.ended),
    )


def _active(config: Mapping[str, Any], config_type: type[FamilyConfig]) -> dict[str, Any]:
    """Returns the knobs of a recorded configuration that change something; all if the family has changed since."""
    try:
        return active(parse(config_type, dict(config))) if config else {}
    except ConfigError:
        return nested_leaves(config)


def _milliseconds(moment: datetime | None) -> int:
    return int(1000 * (moment.timestamp() if moment else time.time()))
