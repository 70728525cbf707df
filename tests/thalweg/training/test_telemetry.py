"""The peak memory of a trial."""

import gc

import pytest
import torch

from thalweg.training.telemetry import PeakMemory

CPU = torch.device("cpu")


@pytest.fixture
def peak(monkeypatch: pytest.MonkeyPatch) -> PeakMemory:
    """A measurement in a process that had no trial before."""
    gc.collect()
    monkeypatch.setattr(PeakMemory, "_level", None)
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


def test_the_next_trial_is_measured_from_the_same_level(peak: PeakMemory) -> None:
    held = torch.ones(64 * 2**18)
    after = PeakMemory(CPU)
    assert 60 < (after.mib() or 0.0) < 80
    assert held.sum() > 0
