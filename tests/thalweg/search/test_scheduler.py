"""What a study hears of trials that Tune lost."""

from pathlib import Path
from typing import Any

import pytest
from ray.tune.experiment import Trial

from thalweg.lanes.causes_of_death import MAX_REASON_LENGTH
from thalweg.search.controller import StudyController
from thalweg.search.tune_adapters import StudyScheduler


class Ears(StudyController):
    """Remembers what it hears, and has no study."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str]] = []
        self.halted: list[Exception] = []
        self._running = {}

    def retry(self, number: int, reason: str) -> None:
        """Hears of a retry."""
        self.heard.append((number, reason))

    def halt(self, error: Exception) -> None:
        """Hears of what stops the study."""
        self.halted.append(error)


class LostTrial(Trial):
    """A trial that Tune marked as failed."""

    error_file = ""

    def __init__(self, file: str) -> None:
        self.trial_id = file
        self.config: dict[str, Any] = {"number": 3}
        self.status = Trial.ERROR
        self.error_file = file


class Waiting(LostTrial):
    """A trial that is in line and may be started."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.status = Trial.PENDING


class Controller:
    """The part of Tune's controller that a scheduler asks."""

    def __init__(self, trials: list[Trial], stopped: list[Trial]) -> None:
        self.trials = trials
        self.stop_trial = stopped.append

    def get_trials(self) -> list[Trial]:
        """All trials."""
        return self.trials


def _heard(text: str | None, folder: Path) -> str:
    file = folder / "error.txt"
    if text is not None:
        file.write_text(text)
    ears = Ears()
    StudyScheduler(ears).on_trial_error(None, LostTrial(str(file)))
    ((number, reason),) = ears.heard
    assert number == 3
    return reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Traceback\n  line\nValueError: no\n\n", "ValueError: no"),
        (None, "its lane died"),
        ("\n", "its lane died"),
    ],
)
def test_the_reason_is_the_last_line(text: str | None, reason: str, tmp_path: Path) -> None:
    assert _heard(text, tmp_path) == reason


def test_a_lack_of_memory_is_said_in_one_sentence(tmp_path: Path) -> None:
    ray = "ray.exceptions.OutOfMemoryError: Task was killed\nRefer to the documentation on how to ... threshold."
    assert "its machine ran out of memory" in _heard(ray, tmp_path)
    assert "micro_batch_size" in _heard(ray, tmp_path)


def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    assert len(_heard("x" * 5000, tmp_path)) == MAX_REASON_LENGTH + 3


def test_nothing_is_said_to_be_tried_again_on_a_full_disk(tmp_path: Path) -> None:
    file = tmp_path / "error.txt"
    file.write_text("Traceback\nOSError: [Errno 28] No space left on device: '/tmp/ray'\n")
    ears, trial, stopped = Ears(), LostTrial(str(file)), list[Trial]()
    scheduler = StudyScheduler(ears)
    scheduler.on_trial_error(None, trial)
    trial.status = Trial.PENDING  # Tune queues it again
    scheduler.choose_trial_to_run(Controller([trial, Waiting("")], stopped))
    assert stopped == [trial]
    assert [str(error).startswith("OSError: ") for error in ears.halted] == [True]
    assert ears.heard == []
