"""The family of a stored study, and the metrics that the family declares."""

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

    A study records them whenever it runs. Those of an earlier version of Thalweg did not: then they are the metrics of
    its best trial and of the presets of its family, which imports the family's task and torch.

    Raises:
        DiscoveryError: The study did not record them, and the family cannot be found from here.
    """
    return record.metrics or _metrics_of_family(family_of(record), record)


def _metrics_of_family(family: Family, record: StudyRecord) -> tuple[Metric, ...]:
    """Returns the metrics of the best trial in their order, then the others of the family's presets.

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
    """Yields the configuration of the best trial; of the first trial if there is no best one."""
    for trial in (record.best(), *record.trials[:1]):
        if trial is not None and trial.config:
            try:
                yield parse(family.config_type, dict(trial.config))
            except ConfigError:
                continue
            return


def comparable(record: StudyRecord) -> list[str]:
    """Returns the names of the search-invariant metrics, the objective first."""
    objective = str(record.definition["metric"])
    fit = [metric.name for metric in metrics_of(record) if metric.search_invariant]
    return [objective, *(name for name in fit if name != objective)]
