"""The Ray cluster that lanes run on: the one at an address, or a local one that lives as long as the study."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from thalweg.disk import store_place
from thalweg.disk.store_place import STORE_VARIABLE
from thalweg.errors import ConnectionFailed
from thalweg.lanes import private_ray
from thalweg.lanes.forking import forked_workers
from thalweg.lanes.shipment import shipped

_START_S = 300
"""Longest time that the node of a busy machine may take to start."""

# Read when ray is imported or started, so they are set before either.
_ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker that booked no GPU must not see, and use, all of them
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's own tables; the study prints its own
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": str(_START_S),  # its process starts without its pages too
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` Ray would install everything again for its workers
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # how soon a dead worker is seen
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the search handles Ctrl-C
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # CSV, JSON and TensorBoard double the cost of a result
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # the study resumes from its own storage, not from Tune's
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "86400",
}


def warm_up() -> None:
    """Begins to import what workers of this machine need, in a process of its own, from which they are forked.

    `connect` does so too; a process that knows early that it will start Ray here saves seconds.
    """
    prepare_environment()
    # A local machine is not preempted; the watcher would cost a process per lane.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    forked_workers.begin()


@contextmanager
def connect(
    address: str | None,
    log: Path,
    num_cpus: int | None = None,
    tell: Callable[[str], None] = lambda text: None,
    packages: Collection[str] = (),
) -> Iterator[str]:
    """Connects to a cluster, or starts one on this machine and stops it afterwards.

    A process that is already connected, such as a notebook's, stays connected.

    Args:
        address: Address of a running cluster (``auto`` finds the one of this machine), or None.
        log: File for Ray's messages; none of them reaches the terminal.
        num_cpus: Cores of a local cluster; None takes all.
        tell: Called with a sentence for people before a step that may take a while.
        packages: Packages at the top that a cluster at an address is sent besides Thalweg's own.

    Yields:
        The address of the cluster.

    Raises:
        ConnectionFailed: No cluster answers at the address, or none starts on this machine.
    """
    prepare_environment()
    import ray

    with _redirected(log), ExitStack() as closing:
        if ray.is_initialized():
            forked_workers.end_unused()
            yield str(ray.get_runtime_context().gcs_address)
            return
        temporary = None if address else tempfile.mkdtemp(prefix="tw", dir=forked_workers.short_temp())
        try:
            if address:
                _join(address, packages)
            else:
                tell("starting Ray on this machine")
                warm_up()
                executed = closing.enter_context(forked_workers.serving())
                closing.enter_context(private_ray.local_token(Path(str(temporary)), tell))
                _start(num_cpus, temporary, log, executed)
            yield str(ray.get_runtime_context().gcs_address)
        finally:
            _leave(temporary)


def _leave(temporary: str | None) -> None:
    """Ends the connection, and a Ray of this machine; a second Ctrl-C begins that anew, and leaves nothing behind."""
    import ray

    try:
        ray.shutdown()
    except KeyboardInterrupt:
        ray.shutdown()
        raise
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def _start(num_cpus: int | None, temporary: str | None, log: Path, executed: Path | None = None) -> None:
    """Starts Ray on this machine.

    Raises:
        ConnectionFailed: It does not start; processes that it has started end with this one.
    """
    import ray

    try:
        with (
            private_ray.patient(_START_S),
            private_ray.signals_kept(),
            private_ray.own_process_groups(),
            private_ray.fewest_processes(),
            private_ray.workers_executed_by(executed),
        ):
            ray.init(
                address="local",
                num_cpus=num_cpus,
                include_dashboard=False,  # ten processes of web pages that nobody has asked for
                log_to_driver=False,
                logging_level=logging.WARNING,
                _temp_dir=temporary,
            )
    except Exception as error:  # Ray raises nothing narrower
        raise ConnectionFailed(
            f"Ray must start on this machine within {_START_S} s, got {_brief(error)} "
            f"({os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}; {log} may say more); "
            "end what else runs here and try again, or name a running cluster with --address"
        ) from error


def _brief(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def prepare_environment() -> None:
    """Sets the variables that Ray, Tune and Train read, unless they are set."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    store_place.settle()
    # Each worker process would compile torch, DeepSpeed and Ray again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _check_address(address: str) -> None:
    """Checks within seconds that something listens at ``HOST:PORT``; Ray itself tries for minutes.

    Raises:
        ConnectionFailed: Nothing does.
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


def _no_entrance(address: str, reason: str) -> str:
    """Returns the message for a server that answers but refuses this process."""
    sent = "the one that was sent is another" if private_ray.sends_token() else "none was sent"
    return (
        f"a Ray cluster must answer at --address, got {address!r} ({reason}); if it asks for a token, as a head does "
        f"that finds one, {sent}: set RAY_AUTH_MODE=token and copy ~/.ray/auth_token of the head here, or set "
        "RAY_AUTH_TOKEN; else compare the versions of Ray"
    )


def _join(address: str, packages: Collection[str]) -> None:
    import ray

    _check_address(address)
    private_ray.send_token()
    chosen = {name: os.environ[name] for name in (STORE_VARIABLE,) if name in os.environ}
    try:
        with private_ray.signals_kept(), shipped(packages) as modules:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.WARNING,
                runtime_env={"py_modules": modules, "env_vars": {**_ENVIRONMENT, **chosen}},
            )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise ConnectionFailed(_no_entrance(address, _brief(error))) from None


class _Log(logging.FileHandler):
    """A log that loses what a full disk does not take, where logging would print a traceback into the live view."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a message if it can, also if the file cannot even be made."""
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Closes the file, whatever it still had to take."""
        with suppress(OSError):
            super().close()


@contextmanager
def _redirected(log: Path) -> Iterator[None]:
    """Redirects the messages of Ray's libraries and of its node manager to a file."""
    handler = _Log(log, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.train", "ray.data", "ray.node")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING)
    try:
        with private_ray.node_manager_to(loggers[-1]):
            yield
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()
