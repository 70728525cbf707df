"""Planted leaks between splits are found, and splits without one pass."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from families.knots.config import PRESETS, Knots
from families.knots.task import SPLITS, KnotsTask, Rope
from thalweg.contract import SplitName
from thalweg.search.checks import leakage
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.search.checks.leakage import judge_splits
from thalweg.study import Trial

Examine = Callable[..., Examined]
DAYS = np.random.default_rng(5).standard_normal((130 * 5, 12)).astype(np.float32)
PLACES = {"train": ["bog", "fen"], "val": ["mere"], "test": ["tarn"]}
YEARS = {"train": [1999, 2000], "val": [2001], "test": [2002]}


def only_lr(trial: Trial) -> Knots:
    """A space of one knob."""
    return PRESETS["tiny"].vary(optimization={"lr": trial.suggest_float("lr", 1e-3, 1e-2)})


def windows(first_of_val: int) -> np.ndarray:
    """Windows of five days, one after another; the first one of val may begin earlier."""
    starts = [5 * row for row in range(130)]
    starts[96] = first_of_val
    return np.stack([DAYS[start : start + 5] for start in starts])


@pytest.fixture
def judge(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Judgement]:
    """Judges splits of changed data, with what the family tells of their origins."""

    def judge(
        change: Callable[[dict[str, np.ndarray]], Any] = lambda columns: None,
        origins: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
        fitted: Mapping[str, Sequence[Any]] | None = None,
        seconds: float = 60,
    ) -> Judgement:
        def opened(task: KnotsTask, root: object) -> Rope:
            rope = Rope()
            rope.columns["window"] = windows(480)
            change(rope.columns)
            return rope

        class Telling(KnotsTask):
            """A task that tells where its samples come from."""

            def origins(self, data: Rope, split: SplitName) -> Mapping[str, Sequence[Any]]:
                """What was given."""
                return {kind: by_split[split] for kind, by_split in (origins or {}).items()}

            def fitted_on(self, data: Rope) -> Mapping[str, Sequence[Any]]:
                """What was given."""
                return fitted or {}

        monkeypatch.setattr(KnotsTask, "open", opened)
        examined = examine(only_lr)
        if origins is not None:
            object.__setattr__(examined, "task", Telling)
        return judge_splits(examined, Deadline(seconds))

    return judge


Judge = Callable[..., Judgement]


def copied(name: str, row: int, to: int) -> Callable[[dict[str, np.ndarray]], None]:
    def change(columns: dict[str, np.ndarray]) -> None:
        columns[name][to] = columns[name][row]

    return change


def test_splits_without_a_leak_pass(judge: Judge) -> None:
    found = judge(origins={"place": PLACES, "year": YEARS}, fitted={"year": [1999, 2000]})
    assert (found.mark, found.notes) == ("passed", ())
    assert found.told == "96 samples of a split have nothing in common with others"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            copied("first", 3, 100),
            "got 'first' of sample 3 from training_batch, which is that of sample 4 of val",
        ),
        (
            copied("first", 3, 125),
            "got 'first' of sample 3 from training_batch, which is that of sample 5 of test",
        ),
        (copied("second", 97, 121), "got 'second' of sample 1 from evaluation_batch of val"),
        (copied("unread", 95, 96), "got 'unread' of sample 95 from training_batch"),
        (
            copied("window", 0, 129),
            "got 'window' of sample 0 from training_batch, which is that of sample 9 of test",
        ),
        (
            lambda columns: columns.update(window=windows(479)),
            "got 'window' of sample 95 at place 4 of axis 1 from training_batch, which is that of sample 0 of val",
        ),
    ],
)
def test_samples_and_windows_of_two_splits_are_found(change: Any, told: str, judge: Judge) -> None:
    (fault,) = judge(change).faults
    assert told in fault


def test_a_split_that_begins_a_row_too_early_is_found(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPLITS, "train", (0, 97))
    (fault,) = judge().faults
    assert "of sample 96 from training_batch, which is that of sample 0 of val" in fault


@pytest.mark.parametrize(
    ("origins", "fitted", "told"),
    [
        ({"place": PLACES | {"val": ["fen"]}}, {}, "train and val must have no place in common, got fen"),
        ({"year": YEARS | {"test": [2001]}}, {}, "val and test must have no year in common, got 2001"),
        (
            {"year": YEARS},
            {"year": [1999, 2001]},
            "fitted on train alone, got year 2001 of val",
        ),
        (
            {"place": PLACES},
            {"place": ["bog", "mere", "tarn"]},
            "on train alone, got place mere of val, tarn of test",
        ),
    ],
)
def test_places_years_and_statistics_are_found(origins: Any, fitted: Any, told: str, judge: Judge) -> None:
    (fault,) = judge(origins=origins, fitted=fitted).faults
    assert told in fault


def test_a_family_that_tells_nothing_of_origins_is_told(judge: Judge) -> None:
    (note,) = judge().notes
    assert (
        note == "not compared, for the family does not tell: places, times and what statistics were fitted on"
    )


def numbers_alone(task: KnotsTask, data: Rope, indices: Any, keys: Any) -> dict[str, Any]:
    """A batch for frozen latents, which holds the numbers of samples alone."""
    return {"row": torch.from_numpy(indices)}


def test_samples_without_values_are_judged_by_their_origins(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KnotsTask, "training_batch", numbers_alone)
    sound = judge(origins={"year": YEARS}, fitted={"year": [1999]})
    assert (sound.mark, sound.told) == ("passed", "splits have no year in common")
    assert sound.notes == ("values of samples were not compared, for training draws none or changes all",)
    (fault,) = judge(origins={"year": YEARS | {"val": [2000]}}).faults
    assert fault.startswith("train and val must have no year in common, got 2000")
    (untold,) = judge().faults
    assert untold.startswith("training samples must be known again")


def test_some_samples_alone_make_a_warning(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakage, "MIN_SAMPLES", 16)
    found = judge(copied("first", 95, 96), seconds=0)
    assert not found.faults
    assert found.warnings[0].startswith(
        "of 16 samples of each split, which may have it by chance: splits must"
    )
    assert found.skipped == ("for time: all but 16 samples of each split",)
