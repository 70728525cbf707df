"""The Ray cluster that lanes run on: the one at an address, or a local one that lives as long as the study."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thalweg.errors import ConnectionFailed

# Read when ray is imported or started, so they are set before either.
_ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker that booked no GPU must not see, and use, all of them
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's own tables; the study prints its own
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` Ray would install everything anew for its workers
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # how soon a dead worker is seen
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the search's
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # CSV, JSON and TensorBoard double the cost of a result
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # the study's storage is the truth, not Tune's
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "86400",
}
_PACKAGES = ("thalweg", "trainables", "search_spaces")


@contextmanager
def connect(address: str | None, log: Path, num_cpus: int | None = None) -> Iterator[str]:
    """Connects to a cluster, or starts one on this machine and stops it afterwards.

    A process that is already connected, such as a notebook, stays so.

    Args:
        address: Address of a running cluster (``auto`` finds the one of this machine), or None.
        log: File for what Ray says; nothing of it reaches the terminal.
        num_cpus: Cores of a local cluster; None takes all.

    Yields:
        The address of the cluster.

    Raises:
        ConnectionFailed: No cluster answers at the address.
    """
    _prepare_environment()
    import ray

    if ray.is_initialized():
        with _redirected(log):
            yield str(ray.get_runtime_context().gcs_address)
        return
    temporary = None if address else tempfile.mkdtemp(prefix="tw", dir=_short_temp())
    try:
        if address:
            _join(address)
        else:
            # Nobody takes this machine back with a notice; a watcher per lane would be a process too many.
            os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
            ray.init(
                address="local",
                num_cpus=num_cpus,
                include_dashboard=True,  # Train's placement-group cleaner asks the state API, which lives there
                dashboard_host="127.0.0.1",
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=temporary,
            )
        with _redirected(log):
            yield str(ray.get_runtime_context().gcs_address)
    finally:
        ray.shutdown()
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def _prepare_environment() -> None:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Each worker process would compile torch, DeepSpeed and Ray anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _short_temp() -> str:
    """Returns a folder whose path leaves room for Ray's sockets, whose paths end at 107 bytes."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= 40 else "/tmp"


def _check_address(address: str) -> None:
    """Finds within seconds that nobody listens at ``HOST:PORT``; Ray itself tries for minutes.

    Raises:
        ConnectionFailed: Nobody does.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=10.0).close()
    except OSError as error:
        raise ConnectionFailed(_no_cluster(address, str(error))) from None


def _no_cluster(address: str, reason: str) -> str:
    return (
        f"a Ray cluster must answer at --address, got {address!r} ({reason}); "
        "start one with `ray start --head` or `ray up cluster.yaml`, or leave --address out"
    )


def _join(address: str) -> None:
    import ray

    _check_address(address)
    modules = [importlib.import_module(name) for name in _PACKAGES]
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"py_modules": modules, "env_vars": dict(_ENVIRONMENT)},
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConnectionFailed(_no_cluster(address, reason)) from None


@contextmanager
def _redirected(log: Path) -> Iterator[None]:
    """Sends the messages of Ray's libraries and of its node manager to a file."""
    from ray._private import worker

    handler = logging.FileHandler(log, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.train", "ray.data", "ray.node")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING)
    # The driver's threads print warnings of the node manager, whatever `log_to_driver` says.
    print_to_stdstream = worker.print_to_stdstream

    def write(data: Mapping[str, Any], ignore_prefix: bool) -> None:
        loggers[-1].warning("%s", "\n".join(data["lines"]))

    worker.print_to_stdstream = write
    try:
        yield
    finally:
        worker.print_to_stdstream = print_to_stdstream
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()
