"""Why trials ended, as a user reads it after a search: each word through the fault that it stands for."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_lanes import local_lanes
from typer.testing import Result

from thalweg.events import Event, TrialEnded, TrialProgress
from thalweg.search.store.records import StudyRecord, read_study
from thalweg.tracking import recorder

WORDS = ["complete", "diverged", "out_of_memory", "infeasible", "data", "pruned", "infeasible"]


class Saboteur:
    """A recorder that cuts the file of inputs in the middle of the study."""

    events: list[Event]

    def __init__(self, uri: str, tell: Callable[[str], None]) -> None:
        Saboteur.events = []

    def handle(self, event: Event) -> None:
        """Cuts the file once the first trial has ended."""
        self.events.append(event)
        if isinstance(event, TrialEnded) and event.number == 0:
            whole = Path("inputs.npy").read_bytes()
            Path("inputs.npy").write_bytes(whole[: len(whole) // 2])

    def close(self) -> None:
        """Nothing to deliver."""


def _record(folder: Path) -> StudyRecord:
    return read_study(folder / "thalweg_runs" / "troubles", "troubles")


@pytest.mark.slow
def test_each_fault_ends_a_trial_with_its_own_word(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MLflowRecorder", Saboteur)
    np.save(tmp_path / "inputs.npy", np.zeros((120, 4), np.float32))
    with local_lanes():
        result = run("search", "spaces.troubles", "--study", "troubles", "--no-check")
    assert result.exit_code == 0, result.output
    assert [trial.ended_as for trial in _record(tmp_path).trials] == WORDS
    ended = {event.number: event.ended_as for event in Saboteur.events if isinstance(event, TrialEnded)}
    assert [ended[number] for number in range(len(WORDS))] == WORDS
    told = " ".join(result.output.split())
    assert "trial 1 failed as diverged after 0 samples: the loss must stay finite" in told
    assert "trial 4 failed as data after 0 samples: inputs.npy must be a complete npy file" in told
    halved = "trial-00005 trains in micro-batches of 4, the same batch: larger ones did not fit into memory"
    assert halved in told
    assert "5 failed (2 infeasible, 1 diverged, 1 out_of_memory, 1 data)" in told

    shown = " ".join(run("show", "troubles", "--ended-as", "out_of_memory").output.split())
    assert "1 trial: 0 complete, 0 pruned, 1 failed (1 out_of_memory)" in shown
    assert "1 trial failed (2) as out_of_memory: the memory of a worker must hold" in shown
    assert "(micro-batches of 1 cannot be halved)" in shown
    assert "diverged" not in shown
    wrong = run("show", "troubles", "--ended-as", "slow")
    assert wrong.exit_code == 2 and "'preempted'" in wrong.output


@pytest.mark.parametrize(
    ("number", "word", "code"), [(signal.SIGINT, "stopped_by_user", 130), (signal.SIGTERM, "preempted", 143)]
)
def test_a_signal_says_whether_a_person_or_a_machine_stopped_the_search(
    number: signal.Signals,
    word: str,
    code: int,
    run: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Ender(Saboteur):
        def handle(self, event: Event) -> None:
            """Ends this process at the first evaluation."""
            if isinstance(event, TrialProgress):
                os.kill(os.getpid(), number)

    recorders: Any = recorder
    monkeypatch.setattr(recorders, "MLflowRecorder", Ender)
    with local_lanes():
        result = run("search", "spaces.troubles", "--study", "troubles", "--no-check")
    assert result.exit_code == code, result.output
    first, *_ = _record(tmp_path).trials
    assert (first.status, first.interrupted, first.ended_as) == ("failed", True, word)
    assert f"trial 0 interrupted as {word}" in " ".join(result.output.split())
