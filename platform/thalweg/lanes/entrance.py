"""The entry point of a worker for Ray Train, and a callback that reports workers that fail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import train

from thalweg.lanes import stages
from thalweg.lanes.causes_of_death import PREEMPTED


def enter(settings: dict[str, Any]) -> None:
    """Registers this worker with the channel, then serves it; Ray Train runs this on every rank.

    It registers before it imports torch and DeepSpeed, which may hang on a machine whose disk does not answer.

    Args:
        settings: ``channel``, the actor, ``stage``, the file for the lane's stages, and what `work` takes.
    """
    # As bytes: to receive it as it is, the channel's process would import all of Ray Train.
    me = ray.cloudpickle.dumps(ray.get_runtime_context().current_actor)  # type: ignore[no-untyped-call]
    ray.get(settings["channel"].enter.remote(train.get_context().get_world_rank(), me))
    stages.begin(Path(settings["stage"]), "importing DeepSpeed")
    from thalweg.lanes.worker import work

    work(settings)


@dataclass(frozen=True)
class Coroner(train.UserCallback):
    """Reports failed workers to a lane's channel; runs in the process of Ray Train's controller.

    Attributes:
        channel: The lane's channel.
    """

    channel: Any

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Passes on Ray's error text for each worker that raised or is gone."""
        self.channel.lose.remote({rank: _told(error) for rank, error in worker_exceptions.items()})


def _told(error: Exception) -> str:
    """Returns Ray's text about a worker; it begins with `PREEMPTED` if Ray knows that its node was preempted."""
    # Ray Train wraps the error of an actor that does not answer.
    actor = getattr(error, "health_check_failure", error)
    return f"{PREEMPTED}: {error}" if getattr(actor, "preempted", False) else str(error)
