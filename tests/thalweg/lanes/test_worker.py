"""What a rank does with an error of a trial, without Ray."""

import errno
import os

import pytest
import torch

from thalweg.errors import (
    ConfigError,
    DataError,
    FamilyError,
    NonFiniteDataError,
    NonFiniteError,
    OutOfMemory,
    OutputError,
)
from thalweg.lanes.channel import Command
from thalweg.lanes.worker import Crew
from thalweg.training.messages import Refusal, Report, TrialOrder
from thalweg.training.process_group import ProcessGroup

ORDER = TrialOrder(
    trial="t", family="f", config={}, metric="m", evaluations=(1,), data_root="d", directory="c"
)


def _crew(size: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> Crew:
    crew = Crew(ProcessGroup(0, size, torch.device("cpu")))

    def fail(order: TrialOrder, reached: int) -> Report:
        raise error

    monkeypatch.setattr(crew, "_advance", fail)
    return crew


@pytest.mark.parametrize("kind", [OutputError, DataError, FamilyError, KeyError])
def test_an_error_that_other_ranks_may_not_have_is_not_answered_while_they_wait(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = _crew(2, kind("the disk is full"), monkeypatch)
    with pytest.raises(kind, match="the disk is full"):
        crew.follow(Command(verb="advance", order=ORDER))


@pytest.mark.parametrize(
    ("size", "error", "kind", "word"),
    [
        (2, ConfigError("no"), "trial", "infeasible"),
        (2, NonFiniteError("no"), "trial", "diverged"),
        (2, NonFiniteDataError("no"), "trial", "data"),
        (1, DataError("no"), "trial", "data"),
        (1, OutOfMemory("no"), "trial", "out_of_memory"),
        (1, OutputError("no"), "study", "infrastructure"),
    ],
)
def test_an_error_that_all_ranks_have_is_the_answer(
    size: int, error: Exception, kind: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = _crew(size, error, monkeypatch).follow(Command(verb="advance", order=ORDER))
    assert isinstance(answer, Refusal)
    assert (answer.kind, answer.reason, answer.ended_as) == (kind, "no", word)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_under_another_error_is_not_the_trials_fault(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError("the writer of an archive failed")
    error.__cause__ = OSError(number, os.strerror(number))
    answer = _crew(1, error, monkeypatch).follow(Command(verb="advance", order=ORDER))
    assert isinstance(answer, Refusal)
    assert (answer.kind, answer.ended_as) == ("study", "infrastructure")
    assert answer.reason.startswith(
        "a disk must have space, got RuntimeError: the writer of an archive failed; "
    )
