"""Ray's private interfaces, used if there is no public one; what of Ray Train is private is in `private_train`."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from thalweg.lanes.interruption import handlers_kept

_NODE_MANAGER = "raylet"
_WORKERS = "--python_worker_command="


@contextmanager
def local_token(folder: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Keeps the token of a local Ray in a folder if the home folder, which is Ray's own choice, cannot be written.

    Args:
        folder: A folder that exists as long as this Ray runs, and that nobody else can read.
        tell: Called with a sentence for people if the home folder cannot be written.
    """
    from ray._private.authentication import authentication_token_generator, authentication_token_setup

    loader: Any = vars(authentication_token_setup)[
        "AuthenticationTokenLoader"
    ].instance()  # compiled, without types
    off = os.environ.get("RAY_AUTH_MODE", "token").lower() != "token"
    if off or loader.has_token(ignore_auth_mode=True):
        yield
        return
    try:
        authentication_token_setup.generate_and_save_token()
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        tell(
            f"Ray's token should be kept in ~/.ray, got {error}; it is kept in {folder} until this study ends"
        )
    else:
        loader.reset_cache()
        yield
        return
    file = folder / "auth_token"
    file.touch(mode=0o600)
    file.write_text(authentication_token_generator.generate_new_authentication_token())
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(file)
    loader.reset_cache()
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_TOKEN_PATH"]
        loader.reset_cache()


@contextmanager
def signals_kept() -> Iterator[None]:
    """Keeps Ray from handling the signals that end this process: it would print a C++ stack trace."""
    from ray._private import utils

    set_handler: Callable[..., None] = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        with handlers_kept():
            yield
    finally:
        utils.set_sigterm_handler = set_handler


@contextmanager
def own_process_groups() -> Iterator[None]:
    """Starts Ray's processes in groups of their own, which a signal to the group of this process does not reach.

    `timeout` and shells send SIGTERM to a whole group. Ray would end first, and with its node manager this process at
    once, before it has recorded why its trials ended. A system without fate sharing needs them in one group.
    """
    from ray._private import services, utils

    patched: Any = services
    popen: Callable[..., Any] = patched.ConsolePopen
    shares_fate: Callable[[], bool] = utils.detect_fate_sharing_support
    if shares_fate():
        patched.ConsolePopen = partial(popen, process_group=0)
    try:
        yield
    finally:
        patched.ConsolePopen = popen


@contextmanager
def fewest_processes() -> Iterator[None]:
    """Starts a local Ray without an autoscaler, and with agents that serve no pages, as `pip install ray` has them.

    Ray's command line can leave its autoscaler out; `ray.init` cannot.
    """
    from ray._private import node, utils

    started: Any = node.Node
    monitor: Callable[..., None] = started.start_monitor
    missing: Callable[[], ImportError | None] = utils.get_dashboard_dependency_error
    started.start_monitor = lambda self: None
    utils.get_dashboard_dependency_error = lambda: ImportError("nobody asks for pages")
    try:
        yield
    finally:
        started.start_monitor = monitor
        utils.get_dashboard_dependency_error = missing


@contextmanager
def workers_executed_by(file: Path | None) -> Iterator[None]:
    """Has a local Ray execute a file in place of Python for each worker; None changes nothing.

    A runtime environment's ``py_executable`` is the public way, but it starts Python twice for each worker.
    """
    from ray._private import services

    patched: Any = services
    popen: Callable[..., Any] = patched.ConsolePopen
    python = _WORKERS + subprocess.list2cmdline([sys.executable])
    executed = None if file is None else _WORKERS + subprocess.list2cmdline([str(file)])

    def start(command: Any, *args: Any, **kwargs: Any) -> Any:
        words = [
            executed + word.removeprefix(python) if word.startswith(python) else word for word in command
        ]
        return popen(words, *args, **kwargs)

    if executed is not None:
        patched.ConsolePopen = start
    try:
        yield
    finally:
        patched.ConsolePopen = popen


@contextmanager
def without_random_ids() -> Iterator[None]:
    """Keeps imports from drawing random ids by Ray's native generator: after the first, forks draw the same ids.

    Each class of actors that an import defines, as Ray Data's do, draws one, and gets one from the system instead.
    """
    from ray import actor
    from ray._raylet import ActorClassID

    patched: Any = actor
    patched.ActorClassID = _SystemIds
    try:
        yield
    finally:
        patched.ActorClassID = ActorClassID


class _SystemIds:
    @staticmethod
    def from_random() -> Any:
        from ray._raylet import ActorClassID

        return ActorClassID(os.urandom(ActorClassID.size()))


def random_id() -> bytes:
    """Draws an id by Ray's native generator."""
    from ray._raylet import ObjectRef

    drawn: bytes = ObjectRef.from_random().binary()
    return drawn


def set_up(argv: list[str], env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Returns the command and the environment of a worker after its runtime environment has been set up.

    Where that needs more than variables, the command stays one that sets it up.

    Args:
        argv: The script that Ray starts, and its arguments.
        env: The environment in which it starts.
    """
    from ray._private.workers import setup_worker

    if argv[0] != setup_worker.__file__:
        return argv, dict(env)
    setting_up: Any = setup_worker
    options, worker = setting_up.parser.parse_known_args(argv[1:])
    context = setting_up.RuntimeEnvContext.deserialize(options.serialized_runtime_env_context or "{}")
    if (
        context.command_prefix
        or context.override_worker_entrypoint
        or context.py_executable != sys.executable
    ):
        return argv, dict(env)
    return worker, {**env, **context.env_vars}


@contextmanager
def patient(wait_s: float) -> Iterator[None]:
    """Waits up to ``wait_s`` seconds for a busy machine's node to register; Ray has no setting beyond its 30 s.

    A node whose manager has died is not waited for: on a very busy machine it gives up if Ray's agent is slow to start.
    """
    from ray._private import services

    get_node: Callable[..., Any] = services.get_node
    deadline = time.monotonic() + wait_s
    earlier = _ended_children(_NODE_MANAGER)

    def wait(*args: Any, **kwargs: Any) -> Any:
        while True:
            try:
                return get_node(*args, **kwargs)
            except RuntimeError as error:
                if _ended_children(_NODE_MANAGER) - earlier:
                    # Not a RuntimeError, which Ray takes for a node that is late.
                    raise ChildProcessError("the end of Ray's node manager before it was ready") from error
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    services.get_node = wait
    try:
        yield
    finally:
        services.get_node = get_node


def _ended_children(name: str) -> set[int]:
    """Returns the children of this process of this name that have ended and were not waited for; none without /proc."""
    found = set()
    for listed in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread or a child that is gone by now
            for pid in listed.read_text().split():
                status = Path("/proc", pid, "stat").read_text()
                first, last = status.index("("), status.rindex(")")
                if status[first + 1 : last] == name and status[last + 2] == "Z":
                    found.add(int(pid))
    return found


def send_token() -> None:
    """Turns on token authentication if a token is found, as Ray's head does and its clients do not.

    Ray looks into RAY_AUTH_TOKEN, into the file that RAY_AUTH_TOKEN_PATH names, and into ``~/.ray/auth_token``. A
    cluster without authentication ignores the token.
    """
    from ray._private.authentication import authentication_token_setup

    authentication_token_setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def sends_token() -> bool:
    """Returns whether this process sends a token to a cluster."""
    from ray._private.authentication.authentication_utils import is_token_auth_enabled

    return bool(is_token_auth_enabled())


@contextmanager
def node_manager_to(logger: logging.Logger) -> Iterator[None]:
    """Logs the node manager's messages that the driver's threads print, whatever the setting `log_to_driver` is."""
    from ray._private import worker

    print_to_stdstream = worker.print_to_stdstream

    def write(data: Mapping[str, Any], ignore_prefix: bool) -> None:
        logger.warning("%s", "\n".join(data["lines"]))

    worker.print_to_stdstream = write
    try:
        yield
    finally:
        worker.print_to_stdstream = print_to_stdstream
