"""What Ray Train runs and calls for a lane's group, before and after the group's own work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray
from ray import train


def enter(settings: dict[str, Any]) -> None:
    """Says that this worker begins, and works; what Ray Train runs on every rank.

    The import of torch and DeepSpeed, which may hang on a machine whose disk does not answer, comes after the word.

    Args:
        settings: ``channel``, the actor, and what `work` takes.
    """
    me = ray.get_runtime_context().current_actor
    ray.get(settings["channel"].enter.remote(train.get_context().get_world_rank(), me))
    from thalweg.lanes.worker import work

    work(settings)


@dataclass(frozen=True)
class Coroner(train.UserCallback):
    """Tells a lane's channel how Ray Train found its workers; runs where Ray Train's controller does.

    Attributes:
        channel: The lane's channel.
    """

    channel: Any

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Passes on what Ray says of each worker that raised or is gone."""
        self.channel.lose.remote({rank: str(error) for rank, error in worker_exceptions.items()})
