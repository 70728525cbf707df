"""Ray Train's private interfaces, used if there is no public one; a new version of Ray can break this module too.

Ray Train runs each worker group with four more processes: a controller, an actor that synchronizes its workers'
reports, one that frees its resources if the controller dies, and one, for all groups, that asks for machines. A lane
needs none of them. Its controller runs in the process of its Tune trainable; its workers report to its channel; and
Tune books its resources, and frees them when the trainable's process ends, for whatever reason.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group import WorkerGroup, state, worker_group
from ray.train.v2._internal.execution.worker_group.placement_group_handle import DefaultPlacementGroupHandle
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util import get_current_placement_group


class LaneTrainer(DataParallelTrainer):
    """Ray Train's trainer, whose `fit` controls the workers in this process, and in this thread, until they end."""

    def _initialize_and_run_controller(self, **settings: Any) -> Any:
        _synchronize_nobody()
        unused = (DatasetsCallback, PlacementGroupCleanerCallback)
        callbacks = [callback for callback in settings["callbacks"] if not isinstance(callback, unused)]
        size: Any = self.scaling_config
        given = {**settings, "callbacks": callbacks, "scaling_policy": _FixedSize(size)}
        controller: Any = _LaneController(**given)
        asyncio.run(controller.run())
        return controller.get_result()


class _FixedSize(FixedScalingPolicy):
    """Asks nobody for machines: what a lane needs is asked for before it starts, and then booked by Tune."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Starts no actor that would ask."""

    def _maybe_send_resource_request(self) -> None:
        """Asks nobody."""


class _LaneWorkers(WorkerGroup):
    """Workers in the placement group in which this process runs, if it runs in one, and without helper actors."""

    def _create_placement_group(self, *args: Any) -> Any:
        group = get_current_placement_group()
        return super()._create_placement_group(*args) if group is None else _Booked(group)

    @staticmethod
    def _get_worker_runtime_env(custom_runtime_env: Any) -> Any:
        """Passes on no variables of this process, so that processes that Ray has started ahead can be used."""
        return dict(custom_runtime_env)

    def _init_train_context_on_workers(
        self, workers: Any, sync_actor: Any, train_context_args: dict[str, list[Any]]
    ) -> None:
        ray.get(
            [
                worker.actor.init_train_context.remote(
                    train_run_context=self._train_run_context,
                    distributed_context=worker.distributed_context,
                    synchronization_actor=None,
                    storage_context=self._storage_context,
                    worker_callbacks=self._worker_callbacks_to_propagate,
                    controller_actor=None,
                    **{name: values[number] for name, values in train_context_args.items()},
                )
                for number, worker in enumerate(workers)
            ]
        )
        self._decorate_worker_log_file_paths(workers)

    def set_required_barrier_ranks(self, ranks: Any) -> bool:
        """Returns that no worker is kept waiting by another one's report."""
        return False


class _LaneController(TrainController):
    worker_group_cls = _LaneWorkers


class _Booked(DefaultPlacementGroupHandle):
    """A placement group that somebody else has booked and will free."""

    def shutdown(self) -> None:
        """Keeps what is booked, for the next workers of the lane."""


class _Nobody:
    """In place of the actor that Ray Train would start to synchronize reports of workers, which a lane's never make."""

    def options(self, **_: Any) -> _Nobody:
        """Returns itself: there is nothing to place."""
        return self

    def remote(self, **_: Any) -> _Nobody:
        """Returns itself: there is nothing to start."""
        return self


def _synchronize_nobody() -> None:
    """Lets worker groups that this process controls do without an actor for their reports."""
    starting: Any = worker_group
    ending: Any = state
    starting.SynchronizationActor = _Nobody()
    ending._shutdown_sync_actor = lambda actor: None
