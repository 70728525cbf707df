"""The peak memory of a trial."""

import gc

import pytest
import torch

from thalweg.training.memory import PeakMemory

CPU = torch.device("cpu")


@pytest.fixture
def peak() -> PeakMemory:
    """A measurement that begins now."""
    gc.collect()
    found = PeakMemory(CPU)
    if found.mib() is None:
        pytest.skip("this system does not let a process reset its high-water mark")
    return found


def test_the_peak_outlives_what_caused_it(peak: PeakMemory) -> None:
    before = peak.mib() or 0.0
    held = torch.ones(64 * 2**18)  # 64 MiB
    del held
    assert before + 60 < (peak.mib() or 0.0) < before + 80


def test_a_restart_forgets_it(peak: PeakMemory) -> None:
    held = torch.ones(64 * 2**18)
    del held
    peak.restart()
    assert (peak.mib() or 0.0) < 30


def test_what_is_held_before_the_start_does_not_count(peak: PeakMemory) -> None:
    held = torch.ones(64 * 2**18)
    peak.restart()
    assert (peak.mib() or 0.0) < 30
    assert held.sum() > 0
