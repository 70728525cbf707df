"""The tasks of contrastive weather fields, one for each kind of downstream task."""

from collections.abc import Mapping

from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.field_task import FieldTask
from trainables.geo_contrastive.forecast.task import ForecastTask
from trainables.geo_contrastive.representation.task import RepresentationTask

_TASKS: Mapping[str, type[FieldTask]] = {"none": RepresentationTask, "forecast": ForecastTask}


def task_for(config: GeoContrastive) -> FieldTask:
    """Returns the task of a configuration."""
    return _TASKS[config.downstream.kind](config)
