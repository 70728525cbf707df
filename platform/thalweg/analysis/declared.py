"""What a stored study is of: its family, and the metrics that the family declares."""

from __future__ import annotations

from collections.abc import Iterator

from thalweg import contract
from thalweg.config import FamilyConfig, parse
from thalweg.contract import Metric
from thalweg.discovery import Family, load_family
from thalweg.errors import ConfigError
from thalweg.search.store.records import StudyRecord


def family_of(record: StudyRecord) -> Family:
    """Returns the family of a study.

    Raises:
        DiscoveryError: It cannot be found from here.
    """
    return load_family(str(record.definition["family"]).removeprefix("trainables."))


def metrics_of(record: StudyRecord) -> tuple[Metric, ...]:
    """Returns the metrics that the family of a study declares, its objective among them.

    They are those with which the study was last run. A study of an earlier version did not record them: its best trial
    and the presets of its family are asked, which imports the family's task, and with it torch.

    Raises:
        DiscoveryError: The study did not record them, and the family cannot be found from here.
    """
    return record.metrics or _metrics_of_family(family_of(record), record)


def _metrics_of_family(family: Family, record: StudyRecord) -> tuple[Metric, ...]:
    """Returns the metrics of the best trial in their order, then any other that a preset is measured by.

    The presets stand in for trials of an earlier version, whose configurations may no longer be valid, and for the
    branches of a space that the best trial did not take.
    """
    found: dict[str, Metric] = {}
    for config in [*_configs(family, record), *family.presets.values()]:
        found |= {
            metric.name: metric
            for metric in contract.metrics_of(family.task(config))
            if metric.name not in found
        }
    return tuple(found.values())


def _configs(family: Family, record: StudyRecord) -> Iterator[FamilyConfig]:
    """Yields the configuration of the best trial, or of the first one without any best."""
    for trial in (record.best(), *record.trials[:1]):
        if trial is not None and trial.config:
            try:
                yield parse(family.config_type, dict(trial.config))
            except ConfigError:
                continue
            return


def comparable(record: StudyRecord) -> list[str]:
    """Names the metrics that mean the same in every trial, the objective first."""
    objective = str(record.definition["metric"])
    fit = [metric.name for metric in metrics_of(record) if metric.search_invariant]
    return [objective, *(name for name in fit if name != objective)]
