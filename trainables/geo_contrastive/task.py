"""The task of contrastive weather fields."""

from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.field_task import FieldTask
from trainables.geo_contrastive.representation.task import RepresentationTask


def task_for(config: GeoContrastive) -> FieldTask:
    """Returns the task of a configuration."""
    return RepresentationTask(config)
