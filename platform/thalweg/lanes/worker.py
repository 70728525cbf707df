"""The loop of one worker of a lane: Ray Train starts it once, and it trains trial after trial."""

from __future__ import annotations

import os
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import torch
import torch.distributed as dist
from ray import train

from thalweg.errors import (
    ConfigError,
    FamilyError,
    LostCheckpoint,
    NonFiniteError,
    OutOfMemory,
    OutputError,
    ThalwegError,
    TrialError,
    UndefinedError,
    ended_as,
)
from thalweg.files import is_full_disk
from thalweg.lanes.causes_of_death import leave_evidence
from thalweg.lanes.channel import Answer, Command, Ready
from thalweg.training.engine import engine
from thalweg.training.guards.recorded_code import check_code
from thalweg.training.messages import Refusal, Report, TrialOrder
from thalweg.training.process_group import ProcessGroup, is_group_fault, join
from thalweg.training.session import DataCache, Session

_SHARED = (ConfigError, LostCheckpoint, NonFiniteError, UndefinedError)
_BEAT_S = 1.0
"""Seconds between the heartbeats of a worker that makes progress."""


def work(settings: dict[str, Any]) -> None:
    """Executes the commands from the lane's channel until it is told to stop; runs on every rank.

    Args:
        settings: ``channel``, the actor, ``num_threads`` per worker, and ``traces``, the folder for the traceback of a
            worker that a signal ends.
    """
    began = time.perf_counter()
    trace = Path(settings["traces"]) / f"trace-{socket.gethostname()}-{os.getpid()}.txt"
    evidence = leave_evidence(trace)
    group = join(settings["num_threads"])
    joined = time.perf_counter()
    engine.warm_up()
    ready = Ready(
        process=os.getpid(),
        node=socket.gethostname(),
        timings={"join_s": joined - began, "warm_up_s": time.perf_counter() - joined},
        evidence=evidence,
    )
    with _heard(settings["channel"], group):
        _serve(settings["channel"], Crew(group), _group_name(group), ready)
    trace.unlink(missing_ok=True)


def _serve(channel: Any, crew: Crew, name: str, answer: Answer) -> None:
    while True:
        command: Command = ray.get(channel.next.remote(train.get_context().get_world_rank(), name, answer))
        if command.verb == "stop":
            crew.drop()
            return
        try:
            answer = crew.follow(command)
        except Exception as error:
            if not is_group_fault(error):
                ray.get(channel.give_up.remote(name, _refusal(error, crew)))
            raise


@contextmanager
def _heard(channel: Any, group: ProcessGroup) -> Iterator[None]:
    """Sends heartbeats while batches are sampled; that this thread runs would prove nothing by itself."""
    done = threading.Event()

    def beat() -> None:
        last = 0
        while not done.wait(_BEAT_S):
            if group.beats.count != last:
                last = group.beats.count
                channel.beat.remote()

    threading.Thread(target=beat, daemon=True, name="beats").start()
    try:
        yield
    finally:
        done.set()


def _group_name(group: ProcessGroup) -> str:
    name = [uuid.uuid4().hex]
    if group.size > 1:
        dist.broadcast_object_list(name, src=0)
    return name[0]


def _refusal(error: BaseException, crew: Crew) -> Refusal:
    known = isinstance(error, ThalwegError)
    # The reason is one line of an error in a family's code; whoever mends it needs the traceback too.
    traced = not known or (isinstance(error, TrialError) and error.__cause__ is not None)
    reason = str(error) if known else f"{type(error).__name__}: {error}"
    full = is_full_disk(error)
    if full and not isinstance(error, OutputError):
        reason = f"a disk must have space, got {reason}; free some and give the same command again"
    reason, can_halve = _unless_smaller(reason, error, crew)
    return Refusal(
        kind="study" if full or isinstance(error, OutputError | FamilyError) else "trial",
        reason=reason,
        ended_as="infrastructure" if full else ended_as(error),
        details="" if not traced else "".join(traceback.format_exception(error)),
        samples=crew.samples,
        can_halve=can_halve,
    )


def _unless_smaller(reason: str, error: BaseException, crew: Crew) -> tuple[str, bool]:
    """Returns whether smaller micro-batches may help, and a reason that says why not if memory ran out."""
    if not isinstance(error, OutOfMemory) or crew.obstacle is None:
        return reason, False
    return (f"{reason} ({crew.obstacle})", False) if crew.obstacle else (reason, True)


class Crew:
    """Trains the lane's trials on this rank, one after the other.

    Args:
        group: The process group.
    """

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self._cache = DataCache()
        self._session: Session | None = None
        self._knows_code = False

    @property
    def samples(self) -> int:
        """Samples of the last report of the present trial."""
        last = self._session.last if self._session else None
        return last.samples if last else 0

    @property
    def obstacle(self) -> str | None:
        """Why micro-batches of the present trial cannot be halved, empty if they can; None if none has been trained."""
        return None if self._session is None else self._session.obstacle()

    def follow(self, command: Command) -> Answer:
        """Executes a command.

        Raises:
            Exception: A failure after which the other ranks of the group cannot go on.
        """
        assert command.order is not None
        try:
            return self._advance(command.order, command.reached)
        except Exception as error:
            if is_group_fault(error) or not self._alike(error):
                raise
            refusal = _refusal(error, self)
        self.drop()  # once the error is gone, whose traceback holds what its step had allocated
        return refusal

    def _advance(self, order: TrialOrder, reached: int) -> Report:
        if self._session is None or self._session.order != order:
            self.drop()
            self._check_code(order)
            self._session = Session(order, self._group, self._cache)
        report = self._session.advance(reached)
        if report.done:
            self.drop()
        return report

    def _check_code(self, order: TrialOrder) -> None:
        """Compares the family's code with the record before its first import, after which this process keeps it."""
        if not self._knows_code:
            check_code(order.family, order.code)
            self._knows_code = True

    def _alike(self, error: Exception) -> bool:
        """Whether every rank has failed in the same way, so that no rank waits for another.

        All ranks share the configuration and the summed losses. Data and folders may be wrong on one machine only, and
        a family may break the contract on the samples of one rank only.
        """
        return self._group.size == 1 or isinstance(error, _SHARED)

    def drop(self) -> None:
        """Frees the present trial."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
