"""What the trials of a recorded study are measured by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from thalweg.config import FamilyConfig, parse
from thalweg.contract import Metric, metrics_of
from thalweg.discovery import Family, load_family
from thalweg.errors import ConfigError
from thalweg.search.records import StudyRecord, TrialRecord


def declared(record: StudyRecord) -> tuple[Metric, ...]:
    """Returns the metrics of a study's trials: those of its best trial in their order, then any other of the family.

    What the presets of the family are measured by stands in for trials of an earlier version, whose configurations may
    no longer be valid, and for the branches of a space of which the best trial took another.
    """
    family = load_family(str(record.definition["family"]).removeprefix("trainables."))
    configs = [*_configs(family, record), *family.presets.values()]
    found: dict[str, Metric] = {}
    for config in configs:
        found |= {
            metric.name: metric for metric in metrics_of(family.task(config)) if metric.name not in found
        }
    return tuple(found.values())


def _configs(family: Family, record: StudyRecord) -> Iterator[FamilyConfig]:
    """Yields the configuration of the best trial, or of the first one without any best."""
    trials: list[TrialRecord | Any] = [record.best(), *record.trials[:1]]
    for trial in trials:
        if trial is not None and trial.config:
            try:
                yield parse(family.config_type, dict(trial.config))
            except ConfigError:
                continue
            return
