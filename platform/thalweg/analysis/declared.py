"""What a stored study is of: its family, and the metrics that the family declares."""

from __future__ import annotations

from thalweg.contract import Metric
from thalweg.discovery import Family, load_family
from thalweg.search.records import StudyRecord


def family_of(record: StudyRecord) -> Family:
    """Returns the family of a study.

    Raises:
        DiscoveryError: It cannot be found from here.
    """
    return load_family(str(record.definition["family"]).removeprefix("trainables."))


def metrics_of(record: StudyRecord) -> tuple[Metric, ...]:
    """Returns the metrics that the family of a study declares, its objective among them.

    They are those with which the study was last run; of a study of an earlier version, which did not record them, what
    the family declares now. That imports the family's task, and with it torch.

    Raises:
        DiscoveryError: The study did not record them, and the family cannot be found from here.
    """
    return record.metrics or family_of(record).task_type.metrics


def comparable(record: StudyRecord) -> list[str]:
    """Names the metrics that mean the same in every trial, the objective first."""
    objective = str(record.definition["metric"])
    fit = [metric.name for metric in metrics_of(record) if metric.search_invariant]
    return [objective, *(name for name in fit if name != objective)]
