"""Planted knobs that change nothing are named with their branch, and no other is."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from families.knots.config import PRESETS, Knots
from families.knots.task import KnotsTask, Net
from thalweg.errors import ConfigError
from thalweg.search.checks.dead_knobs import judge_dead_knobs
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.search.checks.knob_trials import KnobTrials
from thalweg.search.checks.validity import judge_validity
from thalweg.search.space import load_space
from thalweg.study import Trial

Examine = Callable[..., Examined]

UNUSED = {
    "forgotten": "the space does not pass it on",
    "overwritten": "a later vary replaces it",
    "rounded": "it is rounded away",
    "clipped": "all of its range is clipped to one value",
}
DEAD = {
    "weight_absent": "no sample has the modality",
    "weight_frozen": "the backbone that it is the loss of is frozen",
    "weight_detached": "the gradient is stopped",
    "weight_gated": "its gate is shut",
    "fade_begin": "the schedule ends before it begins",
    "temperature": "there is one candidate",
    "masked": "no feature is masked, rounded down",
    "blur": "no layer reads the modality",
    "patience": "nobody reads it",
    "second_lr_scale": "there is no second stage",
    "weight_decay": "no group decays",
}
ROUNDING = {"scale": "a layer normalises after it", "film_gain": "it modulates by a mean"}
BRANCHES = {
    "dropout": "depth = 1",
    "heads": "fusion = mean",
    "margin": "loss = squared",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    """The verdict on all knobs at once."""
    folder: Path = tmp_path_factory.mktemp("knots")
    examined = Examined(load_space("spaces.knots"), folder / "runs", folder / "data")
    return judge_dead_knobs(examined, Deadline(600))


def named(sentences: tuple[str, ...], ending: str) -> set[str]:
    """The parameters of sentences in which a text stands."""
    chosen = [text for text in sentences if ending in text]
    lists = [re.search(r"got (.*?), which", text) for text in chosen]
    return {name for found in lists if found for name in found[1].split(", ")}


@pytest.mark.slow
def test_knobs_that_change_nothing_anywhere_are_named(whole: Judgement) -> None:
    assert named(whole.faults, "nothing in any configuration that was tried") - ROUNDING.keys() == set(DEAD)


@pytest.mark.slow
@pytest.mark.parametrize("knob", BRANCHES)
def test_a_knob_that_is_dead_in_a_branch_is_named_with_it(whole: Judgement, knob: str) -> None:
    assert named(whole.faults, f"nothing where {BRANCHES[knob]};") == {knob}


@pytest.mark.slow
def test_knobs_that_change_rounding_alone_are_named(whole: Judgement) -> None:
    either = named(whole.faults, "in any configuration that was tried")
    assert "scale" in named(whole.faults, "no more than rounding does in any")
    assert either - DEAD.keys() == set(ROUNDING)


@pytest.mark.slow
def test_no_live_knob_is_called_dead(whole: Judgement) -> None:
    told = named((*whole.faults, *whole.warnings), "")
    assert told == DEAD.keys() | ROUNDING.keys() | BRANCHES.keys()
    assert not whole.skipped


@pytest.mark.slow
def test_a_brief_look_calls_no_dead_knob_alive(examine: Examine) -> None:
    examined = examine()
    vars(examined).update(seconds_of_sample=1e4)
    trials = KnobTrials(examined, Deadline(600))
    trials.compare_briefly()
    found = {name for name, seen in trials.observed.items() if seen.of("alive")}
    assert found == set(trials.observed)
    asked = {name for draw in trials.bases for name in draw.params}
    dead = DEAD.keys() | ROUNDING.keys() | UNUSED.keys()
    assert not found & dead
    assert len(found) > len(asked - dead) / 2


@pytest.mark.slow
def test_what_reaches_no_configuration_is_told_of_validity(examine: Examine) -> None:
    examined = examine()
    found = judge_validity(examined.space, *examined.drawn)
    assert named(found.faults, "leave it the same whatever") == set(UNUSED)


def space_of(**knobs: Any) -> Callable[[Trial], Knots]:
    """A space that asks for the learning rate and one more knob of the optimizer."""

    def space(trial: Trial) -> Knots:
        asked = {
            name: trial.suggest_float(name, *ends) for name, ends in knobs.items() if isinstance(ends, tuple)
        }
        fixed = {name: value for name, value in knobs.items() if not isinstance(value, tuple)}
        lr = trial.suggest_float("lr", 1e-3, 1e-2)
        return PRESETS["tiny"].vary(optimization={"lr": lr, **asked, **fixed})

    return space


@pytest.mark.slow
def test_a_warm_up_that_is_shorter_than_a_step_is_dead(examine: Examine) -> None:
    short = examine(space_of(warmup_ratio=(1e-6, 1e-3), lr_schedule="constant"))
    found = judge_dead_knobs(short, Deadline(600))
    assert named(found.faults, "nothing in any") == {"warmup_ratio"}
    longer = examine(space_of(warmup_ratio=(1e-6, 0.1), lr_schedule="constant"))
    assert not judge_dead_knobs(longer, Deadline(600)).faults


def test_a_knob_that_acts_at_the_end_of_a_schedule_alone_is_alive(examine: Examine) -> None:
    assert not judge_dead_knobs(examine(space_of(min_lr_ratio=(0.0, 1e-4))), Deadline(600)).faults


@pytest.mark.slow
def test_a_knob_that_numbers_alone_leave_no_room_is_a_warning(examine: Examine) -> None:
    def space(trial: Trial) -> Knots:
        begin = trial.suggest_float("late_begin", 0.0, 1.0)
        return PRESETS["tiny"].vary(
            late_begin=begin, weights={"smooth": trial.suggest_float("smooth", 0.1, 1.0)}
        )

    found = judge_dead_knobs(examine(space, first_trials=({"late_begin": 1.0},)), Deadline(600))
    assert not found.faults
    (warning,) = found.warnings
    assert "got smooth, which changes nothing in some configurations, such as with late_begin = 1;" in warning


@pytest.mark.slow
def test_what_time_does_not_suffice_for_is_told(examine: Examine) -> None:
    found = judge_dead_knobs(examine(), Deadline(0))
    (skipped,) = found.skipped
    assert re.match(r"\d+ parameters of 37, not tried in time: weight_error", skipped)


@pytest.mark.slow
def test_a_configuration_that_cannot_train_is_told(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    def space(trial: Trial) -> Knots:
        return PRESETS["tiny"].vary(width=trial.suggest_categorical("width", [8, 16]))

    def narrow(task: KnotsTask, facts: object) -> Net:
        if task.config.width > 8:
            raise ConfigError(f"width must be 8, got {task.config.width}")
        return Net(task.config)

    assert not judge_dead_knobs(examine(space), Deadline(600)).faults
    monkeypatch.setattr(KnotsTask, "build", narrow)
    (fault,) = judge_dead_knobs(examine(space), Deadline(600)).faults
    assert (
        fault
        == "every configuration must train, got one that does not with width=16: width must be 8, got 16"
    )
