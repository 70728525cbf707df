"""Computations that are stopped between two operations."""

import os
from pathlib import Path

import pytest
import torch

from thalweg.search.checks.judgement import Deadline
from thalweg.search.checks.stopper import StoppedError, Stopper, own_mib


def test_nothing_changes_while_there_is_time() -> None:
    weight = torch.ones(3, requires_grad=True)
    with Stopper(Deadline(600)):
        (slope,) = torch.autograd.grad((weight * 2).sum(), weight)
    assert slope.tolist() == [2.0, 2.0, 2.0]


def test_a_forward_pass_is_stopped_once_its_time_has_passed() -> None:
    with pytest.raises(StoppedError, match="a computation must end in its time"), Stopper(Deadline(0)):
        torch.ones(3).exp()


def test_a_backward_pass_is_stopped_once_its_time_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    weight = torch.ones(3, requires_grad=True)
    with Stopper(Deadline(10)):
        total = weight.exp().exp().sum()
        now[0] = 11.0
        with pytest.raises(StoppedError):
            torch.autograd.grad(total, weight)


def test_a_computation_is_stopped_before_memory_runs_short() -> None:
    with pytest.raises(StoppedError, match="of 1 MiB taken"), Stopper(Deadline(600), max_mib=1.0):
        torch.ones(3).exp()


def test_memory_of_this_process_is_as_the_kernel_tells(tmp_path: Path) -> None:
    (tmp_path / "statm").write_text("9 256 3 1 0 4 0\n")
    assert own_mib(tmp_path / "statm") == 256 * os.sysconf("SC_PAGE_SIZE") / 2**20
    assert own_mib(tmp_path / "nowhere") == 0.0
