"""The meeting point of a lane, without Ray."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from thalweg.lanes.channel import Channel, Command, Ready, Restarted, Silence
from thalweg.training.messages import Refusal, Report

READY = Ready(process=1, node="here", timings={})


def _report(samples: int) -> Report:
    return Report(samples=samples, samples_seen=samples, value=0.0, metrics={})


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def _run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scene, timeout=5))


def test_answers_come_in_rank_order_once_all_are_there() -> None:
    async def scene() -> None:
        box = Channel(2)
        asks = [asyncio.ensure_future(box.next(rank, "a", READY)) for rank in (1, 0)]
        assert len(await box.receive()) == 2  # type: ignore[arg-type]
        await box.send(Command(verb="advance"))
        assert [(await ask).verb for ask in asks] == ["advance", "advance"]
        late = asyncio.ensure_future(box.receive())
        again = [asyncio.ensure_future(box.next(1, "a", _report(11)))]
        await _settle()
        assert not late.done()
        again.append(asyncio.ensure_future(box.next(0, "a", _report(10))))
        assert [report.samples for report in await late] == [10, 11]  # type: ignore[union-attr]
        for ask in again:
            ask.cancel()

    _run(scene())


def test_a_restarted_group_is_told_to_the_driver_when_all_its_ranks_are_up() -> None:
    async def scene() -> None:
        box = Channel(2)
        asks = [asyncio.ensure_future(box.next(rank, "a", READY)) for rank in (0, 1)]
        await box.receive()
        await box.send(Command(verb="advance"))
        await asyncio.gather(*asks)
        first = asyncio.ensure_future(box.next(0, "b", READY))
        waiting = asyncio.ensure_future(box.receive())
        await _settle()
        assert not waiting.done()
        second = asyncio.ensure_future(box.next(1, "b", READY))
        assert await waiting == Restarted(before=(READY, READY), after=(READY, READY))
        await box.send(Command(verb="stop"))
        assert [(await ask).verb for ask in (first, second)] == ["stop", "stop"]

    _run(scene())


def test_a_straggler_of_the_old_group_is_sent_away() -> None:
    async def scene() -> None:
        box = Channel(1)
        old = asyncio.ensure_future(box.next(0, "a", READY))
        await box.receive()
        new = asyncio.ensure_future(box.next(0, "b", READY))
        await _settle()
        assert (await box.next(0, "a", _report(1))).verb == "stop"
        old.cancel()
        new.cancel()

    _run(scene())


def test_the_reason_why_a_rank_left_is_the_answer_after_the_restart() -> None:
    async def scene() -> None:
        box = Channel(1)
        ask = asyncio.ensure_future(box.next(0, "a", READY))
        await box.receive()
        await box.send(Command(verb="advance"))
        await ask
        await box.give_up("a", Refusal(kind="trial", reason="broken", ended_as="infeasible"))
        new = asyncio.ensure_future(box.next(0, "b", READY))
        answers = await box.receive()
        assert isinstance(answers, list)
        assert answers[0].reason == "broken"
        new.cancel()

    _run(scene())


def test_an_idle_group_that_restarts_takes_the_next_command() -> None:
    async def scene() -> None:
        box = Channel(1)
        old = asyncio.ensure_future(box.next(0, "a", READY))
        await box.receive()
        new = asyncio.ensure_future(box.next(0, "b", READY))
        await _settle()
        await box.send(Command(verb="advance", reached=3))
        assert (await new).reached == 3
        old.cancel()

    _run(scene())


def test_silence_is_measured_while_a_group_works_and_never_between_two() -> None:
    clock = [0.0]

    async def scene() -> None:
        box = Channel(1, clock=lambda: clock[0])
        assert (await box.silence()).seconds is None
        await box.enter(0, b"worker")
        clock[0] = 40.0
        assert (await box.silence()) == Silence(seconds=40.0, starting=True, workers=(b"worker",))
        ask = asyncio.ensure_future(box.next(0, "a", READY))
        await box.receive()
        clock[0] = 1000.0  # nobody asked for anything
        await box.send(Command(verb="advance"))
        await ask
        clock[0] = 1007.0
        await box.beat()
        clock[0] = 1010.0
        assert (await box.silence()) == Silence(seconds=3.0, longest=7.0, workers=(b"worker",))
        await box.lose({0: "gone"})
        clock[0] = 5000.0
        assert (await box.silence()).seconds is None
        await box.enter(0, b"other")
        assert (await box.silence()) == Silence(seconds=0.0, longest=7.0, starting=True, workers=(b"other",))

    _run(scene())


def test_a_restarted_group_brings_what_is_known_of_the_one_that_died() -> None:
    async def scene() -> None:
        box = Channel(1)
        old = asyncio.ensure_future(box.next(0, "a", READY))
        await box.receive()
        await box.send(Command(verb="advance"))
        await old
        await box.lose({0: "gone"})
        other = Ready(process=2, node="here", timings={})
        new = asyncio.ensure_future(box.next(0, "b", other))
        assert await box.receive() == Restarted(said={0: "gone"}, before=(READY,), after=(other,))
        new.cancel()

    _run(scene())
