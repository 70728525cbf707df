"""Signals that end a process, in this process and in others."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from thalweg.lanes.interruption import (
    Ended,
    ending_at_once,
    ending_raises,
    ending_waits,
    handlers_kept,
    signal_of,
)

ENDING = [signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _not_ignored() -> Iterator[None]:
    """Undoes what `nohup` does to a whole test run: a signal that is ignored stays so."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", ENDING)
def test_the_first_signal_raises_and_the_next_ones_do_not_disturb_the_clean_up(
    number: signal.Signals,
) -> None:
    before = [signal.getsignal(each) for each in ENDING]
    cleaned = False
    with pytest.raises(KeyboardInterrupt) as raised, ending_raises():
        try:
            with ending_raises():
                os.kill(os.getpid(), number)
                raise AssertionError("it was not raised")
        finally:
            for each in ENDING:
                os.kill(os.getpid(), each)
            cleaned = True
    assert cleaned
    assert signal_of(raised.value) == number
    assert [signal.getsignal(each) for each in ENDING] == before


def test_ctrl_c_is_told_apart() -> None:
    assert signal_of(KeyboardInterrupt()) == signal.SIGINT
    assert signal_of(Ended(signal.SIGTERM)) == signal.SIGTERM


def test_a_signal_is_known_although_a_library_raises_another_exception_in_its_place() -> None:
    with pytest.raises(KeyboardInterrupt) as raised, ending_raises():
        try:
            with ending_raises():
                os.kill(os.getpid(), signal.SIGTERM)
        except Ended:  # as Ray does while it waits
            assert signal_of(KeyboardInterrupt()) == signal.SIGTERM
            raise KeyboardInterrupt from None
    assert isinstance(raised.value, Ended)
    assert signal_of(raised.value) == signal.SIGTERM
    with pytest.raises(KeyboardInterrupt) as raised, ending_raises():
        raise KeyboardInterrupt
    assert signal_of(raised.value) == signal.SIGINT


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_raises():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_others_do_to_the_handlers_is_undone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with handlers_kept():
        signal.signal(signal.SIGTERM, lambda number, frame: None)
    assert signal.getsignal(signal.SIGTERM) == before


def test_another_thread_than_the_main_one_does_not_mind() -> None:
    entered = []

    def enter() -> None:
        with ending_raises():
            entered.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize("number", [signal.SIGINT, *ENDING])
def test_a_block_of_imports_ends_the_process_whatever_a_library_catches(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with ending_at_once():
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                os.kill(os.getpid(), number)
            finally:
                os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + number
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [signal.SIGINT, *ENDING])
def test_a_signal_is_held_back_to_the_end_of_a_block_which_it_calls_off(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, *ENDING)]
    called_off, went_on = threading.Event(), False
    with pytest.raises(KeyboardInterrupt) as raised, ending_raises():
        with ending_waits(called_off):
            os.kill(os.getpid(), number)
            assert called_off.wait(20.0)
            went_on = True
        raise AssertionError("it was not raised at the end")
    assert went_on
    assert signal_of(raised.value) == number
    assert [signal.getsignal(each) for each in (signal.SIGINT, *ENDING)] == before


def test_a_block_without_a_signal_is_not_called_off() -> None:
    called_off = threading.Event()
    with ending_waits(called_off):
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert not called_off.is_set()


def test_a_signal_comes_before_an_error_of_the_block_that_it_calls_off() -> None:
    with pytest.raises(KeyboardInterrupt), ending_waits(threading.Event()):
        os.kill(os.getpid(), signal.SIGINT)
        raise ValueError("called off")


def test_a_second_signal_ends_the_process_at_once() -> None:
    child = os.fork()
    if child == 0:
        with ending_waits(threading.Event()):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGTERM
