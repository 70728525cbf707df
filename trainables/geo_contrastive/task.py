"""The tasks of contrastive weather fields, one for each kind of downstream task."""

from collections.abc import Mapping

from trainables.geo_contrastive.assimilation.task import AssimilationTask
from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.diffusion.task import DiffusionTask
from trainables.geo_contrastive.field_task import FieldTask
from trainables.geo_contrastive.forecast.task import ForecastTask
from trainables.geo_contrastive.representation.task import RepresentationTask
from trainables.geo_contrastive.seasons.task import SeasonTask

_TASKS: Mapping[str, type[FieldTask]] = {
    "none": RepresentationTask,
    "forecast": ForecastTask,
    "assimilation": AssimilationTask,
    "diffusion": DiffusionTask,
    "seasons": SeasonTask,
}


def task_for(config: GeoContrastive) -> FieldTask:
    """Returns the task of a configuration."""
    return _TASKS[config.downstream.kind](config)
