"""Parameters of models that take long: a brief look finds the live ones, and what is stopped is called neither."""

from collections.abc import Callable
from typing import Any

import pytest

from families.knots.config import PRESETS, Knots
from thalweg.search.checks import knob_trials
from thalweg.search.checks.dead_knobs import judge_dead_knobs
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.footprint import Footprint
from thalweg.search.checks.judgement import Deadline
from thalweg.search.checks.knob_trials import KnobTrials
from thalweg.search.checks.stopper import StoppedError, Stopper
from thalweg.study import Trial

Examine = Callable[..., Examined]
pytestmark = pytest.mark.slow


def slow(examined: Examined) -> Examined:
    """The space with a model of which no look would end in time."""
    vars(examined).update(seconds_of_sample=1e4)
    return examined


def widths(trial: Trial) -> Knots:
    """A space of two live knobs and a dead one."""
    return PRESETS["tiny"].vary(
        width=trial.suggest_categorical("width", [8, 16]),
        margin=trial.suggest_float("margin", 0.0, 0.5),
        optimization={"lr": trial.suggest_float("lr", 1e-3, 1e-2)},
    )


def briefly(examined: Examined) -> set[str]:
    """The parameters that a brief look observes."""
    trials = KnobTrials(slow(examined), Deadline(600))
    trials.compare_briefly()
    assert all(set(seen.found) == {"alive"} for seen in trials.observed.values())
    return set(trials.observed)


def test_a_brief_look_is_left_out_if_there_is_time_for_a_whole_one(examine: Examine) -> None:
    trials = KnobTrials(examine(widths), Deadline(600))
    trials.compare_briefly()
    assert not trials.observed


def test_a_brief_look_finds_what_is_told_and_what_changes_the_loss(examine: Examine) -> None:
    assert briefly(examine(widths)) == {"width", "lr"}


def test_what_is_told_takes_no_training(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Footprint, "begins_otherwise", lambda *_: False)
    monkeypatch.setattr(Footprint, "_predicted", None)
    assert briefly(examine(widths)) == {"lr"}


def test_what_was_stopped_is_neither_dead_nor_broken(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Stopper):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, *_: Any) -> Any:
            raise StoppedError("no time")

    monkeypatch.setattr(knob_trials, "Stopper", Stopped)
    found = judge_dead_knobs(slow(examine(widths)), Deadline(600))
    assert not found.faults and not found.warnings
    assert found.numbers["alive"] == ["lr"]
    assert found.skipped == ("2 parameters of 3, not tried in time: width, margin",)
