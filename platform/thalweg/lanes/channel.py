"""The channel between a lane's driver and its workers: an actor that passes commands to all ranks and collects answers.

Ray Train reports arrive with seconds of delay and only in one direction; a call to this actor takes
milliseconds. Workers wait inside `next`, so an idle lane costs nothing.

A worker group that Ray Train restarts comes back under a new name. The command of the old group is lost, and
the driver receives `Restarted` instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from thalweg.lanes.causes_of_death import Evidence
from thalweg.training.messages import Refusal, Report, TrialOrder


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command to every rank of a lane.

    Attributes:
        verb: ``advance`` trains to the next evaluation, ``stop`` ends the lane.
        order: The trial to advance.
        reached: Samples of the last report that the driver holds.
    """

    verb: Literal["advance", "stop"]
    order: TrialOrder | None = None
    reached: int = 0


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A worker is up and idle.

    Attributes:
        process: Process id, for people and for tests.
        node: Name of the machine.
        timings: Seconds that its start took, by activity.
        evidence: Data that will help to explain its death.
    """

    process: int
    node: str
    timings: Mapping[str, float]
    evidence: Evidence | None = None


@dataclass(frozen=True, kw_only=True)
class Restarted:
    """The worker group died and a new one is up; the current command was lost.

    Attributes:
        said: Ray's error text for each worker that raised or is gone, by rank.
        before: The workers of the old group, by rank.
        after: The workers of the new group, by rank.
    """

    said: Mapping[int, str] = field(default_factory=dict)
    before: tuple[Ready, ...] = ()
    after: tuple[Ready, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Time since the last heartbeat of a worker group.

    Attributes:
        seconds: Seconds since the last heartbeat; None while there is no group, such as between two.
        longest: Longest time between two heartbeats during work so far, in seconds.
        starting: Whether the group is not up yet.
        workers: Pickled handles of the workers' actors.
    """

    seconds: float | None
    longest: float = 0.0
    starting: bool = False
    workers: tuple[bytes, ...] = ()


Answer = Ready | Report | Refusal


class Channel:
    """The actor. It handles one command at a time.

    Args:
        num_workers: Ranks of the lane.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, num_workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._num_workers = num_workers
        self._clock = clock
        self._group = ""
        self._ready: dict[int, Ready] = {}
        self._collected: dict[int, Answer] = {}
        self._commands: list[asyncio.Queue[Command]] = []
        self._answers: asyncio.Queue[list[Any] | Restarted] = asyncio.Queue()
        self._busy = False
        self._started = False
        self._lost: Restarted | list[Any] | None = None
        self._said: dict[int, str] = {}
        self._entered: dict[int, bytes] = {}
        self._starting = True
        self._heard = self._clock()
        self._longest = 0.0

    async def next(self, rank: int, group: str, answer: Answer) -> Command:
        """Takes a rank's answer and waits for the next command.

        Args:
            rank: Rank of the caller.
            group: Name of the caller's worker group; a new name is a restarted group.
            answer: Result of the last command; `Ready` at first.
        """
        self._hear()
        if group != self._group:
            if not isinstance(answer, Ready):
                return Command(verb="stop")
            self._begin(group)
        if isinstance(answer, Ready):
            self._arrive(rank, answer)
        else:
            self._collect(rank, answer)
        return await self._commands[rank].get()

    def _begin(self, group: str) -> None:
        first = not self._group
        self._group = group
        before = tuple(self._ready[rank] for rank in sorted(self._ready))
        self._ready, self._collected = {}, {}
        self._commands = [asyncio.Queue() for _ in range(self._num_workers)]
        if self._busy and not first and self._lost is None:
            self._lost = Restarted(said=self._said, before=before)
        self._busy, self._said = False, {}

    def _arrive(self, rank: int, answer: Ready) -> None:
        self._ready[rank] = answer
        if len(self._ready) < self._num_workers:
            return
        self._starting = False
        everyone = [self._ready[number] for number in range(self._num_workers)]
        if isinstance(self._lost, Restarted):
            self._answers.put_nowait(replace(self._lost, after=tuple(everyone)))
        elif self._lost is not None:
            self._answers.put_nowait(self._lost)
        elif not self._started:
            self._started = True
            self._answers.put_nowait(everyone)
        self._lost = None

    def _collect(self, rank: int, answer: Answer) -> None:
        self._collected[rank] = answer
        if len(self._collected) == self._num_workers:
            self._busy = False
            self._answers.put_nowait([self._collected[number] for number in range(self._num_workers)])
            self._collected = {}

    async def give_up(self, group: str, refusal: Refusal) -> None:
        """Takes the reason why a rank fails; it becomes the answer once the group has been replaced."""
        if group == self._group and self._busy:
            self._lost = [refusal]

    async def enter(self, rank: int, worker: bytes) -> None:
        """Registers a worker that begins to start.

        Args:
            rank: Rank of the worker.
            worker: Pickled handle of its actor, by which it can be killed.
        """
        self._hear()
        self._entered[rank] = worker
        self._starting = True

    async def beat(self) -> None:
        """Takes a heartbeat: a worker has made progress."""
        self._hear()

    async def lose(self, said: Mapping[int, str]) -> None:
        """Takes Ray Train's error texts, by rank, for workers that raised or are gone."""
        self._said = dict(said)
        self._entered = {}

    async def silence(self) -> Silence:
        """Returns the time since the last heartbeat."""
        if not self._entered:
            return Silence(seconds=None, longest=self._longest)
        return Silence(
            seconds=self._clock() - self._heard,
            longest=self._longest,
            starting=self._starting,
            workers=tuple(self._entered.values()),
        )

    def _hear(self) -> None:
        was, self._heard = self._heard, self._clock()
        if self._entered and self._busy and not self._starting:
            self._longest = max(self._longest, self._heard - was)

    async def send(self, command: Command) -> None:
        """Sends a command to every rank."""
        self._heard = self._clock()
        self._busy = command.verb != "stop"
        for queue in self._commands:
            queue.put_nowait(command)

    async def receive(self) -> list[Any] | Restarted:
        """Waits for the answers of all ranks, in rank order."""
        return await self._answers.get()
