"""What a user reads of an error inside a family's own code."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from families.toy.task import SquaredErrors, ToyTask
from tests.thalweg.training.conftest import Orders, Run
from thalweg.errors import ConfigError, OutOfMemory, TrialError
from thalweg.training.guards.family_code import blaming
from thalweg.training.process_group import ProcessGroup, is_group_fault
from thalweg.training.session import DataCache, Session


@pytest.mark.parametrize(
    "place", ["build", "open", "training_batch", "evaluation_batch", "predict", "baselines"]
)
@pytest.mark.parametrize("zero_stage", [0, 3])
def test_an_error_in_a_family_names_place_and_cause(
    place: str, zero_stage: int, order: Orders, run: Run
) -> None:
    asked = replace(order(fails_in=place, opt={"zero_stage": zero_stage}), baselines=True)
    with pytest.raises(
        TrialError,
        match=rf"^the code of families\.toy must run, got KeyError: '{place}' in \S*families/toy/task\.py:\d+ ",
    ) as caught:
        run(asked)
    assert isinstance(caught.value.__cause__, KeyError)
    assert type(caught.value) is TrialError


def test_an_error_of_torch_in_a_loss_names_the_line_of_the_family(
    order: Orders, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyTask, "_batch", lambda self, data, rows: {"inputs": torch.zeros(len(rows), 5)})
    monkeypatch.setattr(SquaredErrors, "counts", lambda self, batch, progress: {"first": 1.0})
    with pytest.raises(
        TrialError, match=r"RuntimeError: .*mat1 and mat2 .* in \S*families/toy/task\.py:\d+ forward"
    ):
        run(order())


def test_an_error_on_the_way_back_says_so(order: Orders, run: Run) -> None:
    with pytest.raises(TrialError, match=r"RuntimeError: .* in the backward pass of its loss"):
        run(order(fails_in="backward"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: torch.empty(2**60),
        lambda: bytearray(2**62),
        lambda: exec("raise torch.OutOfMemoryError('CUDA out of memory')", {"torch": torch}),
    ],
)
def test_too_little_memory_is_no_fault_of_the_family(
    ask: Callable[[], Any], order: Orders, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SquaredErrors, "parts", lambda self, model, batch, progress: ask())
    with pytest.raises(
        OutOfMemory, match=r"^the memory of a worker must hold .*; lower optimization\.micro_"
    ) as told:
        run(order())
    assert "mend" not in str(told.value)


def test_errors_of_thalweg_and_of_its_surroundings_pass(order: Orders, world: ProcessGroup) -> None:
    with pytest.raises(ConfigError, match="widht"):
        Session(order(widht=3), world, DataCache())
    for error in (
        OSError(errno.ENOSPC, "no space left on device"),
        RuntimeError("Gloo connectFullMesh failed"),
        KeyboardInterrupt(),
        KeyError("of nobody"),
    ):
        with pytest.raises(type(error)) as caught, blaming("families.toy"):
            raise error
        assert caught.value is error


def test_a_full_disk_under_an_error_of_a_family_passes() -> None:
    with pytest.raises(RuntimeError) as caught, blaming(__name__.rpartition(".")[0]):
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/scratch/days.npy")
        except OSError as error:
            raise RuntimeError("the cache of the days cannot be written") from error
    assert type(caught.value) is RuntimeError


def test_an_error_of_a_family_is_no_fault_of_its_group_whatever_words_it_holds() -> None:
    with pytest.raises(TrialError) as caught, blaming(__name__.rpartition(".")[0]):
        raise KeyError("igloo")
    assert not is_group_fault(caught.value)
    assert is_group_fault(RuntimeError("[gloo/transport] Connection closed by peer"))
