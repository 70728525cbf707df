"""Ray Train's private interfaces, used if there is no public one; a new version of Ray can break this module too."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray
from ray.train.v2._internal import constants
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.worker_group import worker_group
from ray.util.placement_group import get_placement_group, placement_group_table, remove_placement_group


def name_this_cluster() -> None:
    """Makes Ray Train's clean-up connect to this cluster, however many run on the machine.

    The actor that removes a dead lane's placement group finds its cluster by RAY_ADDRESS only. Ray Train passes to
    its actors only the variables on its own list.
    """
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    constants.ENV_VARS_TO_PROPAGATE.add("RAY_ADDRESS")


class EarlyCleaner(PlacementGroupCleanerCallback):
    """Lets a lane's resources be known as its own as soon as they are booked.

    Ray Train's clean-up by itself learns of them once the workers are up: those of a lane that ends before would stay
    booked for as long as the search lasts. Runs in the process of Ray Train's controller.

    Args:
        lane: Name of the lane, with which the names of its groups of resources begin.
    """

    def __init__(self, lane: str) -> None:
        super().__init__()
        self._lane = lane

    def before_worker_group_start(self, worker_group_context: Any) -> None:
        """Has the next group of resources that this process books named and registered."""
        module: Any = worker_group  # without types of what it imports
        book: Callable[..., Any] = module.placement_group

        def book_and_register(*args: Any, **kwargs: Any) -> Any:
            module.placement_group = book
            booked = book(*args, **{**kwargs, "name": f"{self._lane}/{uuid.uuid4().hex}"})
            cleaner: Any = self._cleaner
            if cleaner is not None:
                # The clean-up takes a second to start, or more on a busy machine, and hears of nothing before. It is
                # not waited for: what a lane that is killed so early leaves is freed by the one in its place.
                cleaner.register_placement_group.remote(booked)
            return booked

        module.placement_group = book_and_register


def free(lane: str) -> None:
    """Frees what a lane of this name that is gone has left booked.

    Args:
        lane: Name of the lane.
    """
    for group in placement_group_table().values():
        if group["name"].startswith(f"{lane}/") and group["state"] != "REMOVED":
            with suppress(ValueError):  # Ray Train's own clean-up was faster
                remove_placement_group(get_placement_group(group["name"]))


def adapt(trainer: Any, lane: str) -> None:
    """Frees what a lane has booked whenever it ends, and starts no manager of Ray's data sets.

    Such a manager is a process of each group of workers; a family opens its data itself.

    Args:
        trainer: A trainer that was given no data set, before it starts.
        lane: Name of the lane.
    """
    create: Callable[[], list[Any]] = trainer._create_default_callbacks

    def adapted() -> list[Any]:
        return [
            EarlyCleaner(lane) if isinstance(callback, PlacementGroupCleanerCallback) else callback
            for callback in create()
            if not isinstance(callback, DatasetsCallback)
        ]

    trainer._create_default_callbacks = adapted
