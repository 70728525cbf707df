"""Torch's process group for the workers of a lane, set up by Ray Train without torch in the process that drives them.

Ray's own ``TorchConfig`` does the same, but its module imports torch wherever it is named: 2 s and 260 MiB in a process
that never trains. So only what runs in the workers imports that module, and calls its private functions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.train.backend import Backend, BackendConfig

from thalweg.lanes import stages

_TIMEOUT_S = 1800
_LEAVING_S = 30.0


@dataclass
class TorchGroup(BackendConfig):
    """How a worker group of Ray Train becomes a process group of torch.

    Attributes:
        backend: ``nccl`` or ``gloo``.
        stage: The file in which the lane's stages are told.
    """

    backend: str = "gloo"
    stage: str = ""

    @property
    def backend_cls(self) -> type[Backend]:
        """What sets the group up."""
        return _TorchGroup

    @property
    def train_func_context(self) -> Any:
        """A context in which a worker's own GPU is torch's default."""
        return _own_gpu

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings, for Ray's records."""
        return {"backend": self.backend, "init_method": "env", "timeout_s": _TIMEOUT_S}


class _TorchGroup(Backend):
    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Joins the workers, with the first one's machine and a free port of it as their meeting point."""
        stages.begin(Path(backend_config.stage), "importing torch")
        address, port = worker_group.execute_single(0, _meeting_point)
        size = len(worker_group)
        joining = [
            worker_group.execute_single_async(
                rank,
                _join,
                backend=backend_config.backend,
                number=rank,
                size=size,
                address=address,
                port=port,
            )
            for rank in range(size)
        ]
        ray.get(joining)

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        """Lets workers leave the group before they end; those that do not answer are ended anyway."""
        leaving = worker_group.execute_async(_leave, size=len(worker_group))
        ray.wait(leaving, num_returns=len(leaving), timeout=_LEAVING_S)


def _meeting_point() -> tuple[str, int]:
    config = _torch_of_ray()
    found: tuple[str, int] = config.get_address_and_port()
    return found


def _join(*, backend: str, number: int, size: int, address: str, port: int) -> None:
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = address, str(port)
    config = _torch_of_ray()
    config._set_torch_distributed_env_vars()
    config._setup_torch_process_group(
        backend=backend, world_rank=number, world_size=size, init_method="env://", timeout_s=_TIMEOUT_S
    )


def _leave(*, size: int) -> None:
    _torch_of_ray()._shutdown_torch(destroy_process_group=size > 1)


@contextmanager
def _own_gpu() -> Iterator[None]:
    with _torch_of_ray().TorchConfigContextManager():
        yield


def _torch_of_ray() -> Any:
    from ray.train.torch import config

    return config
