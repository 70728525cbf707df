"""Schedules: their values, their laws, and how configurations hold them."""

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import Field

from families.toy.config import Toy
from families.toy.task import SquaredErrors
from thalweg.config import Knobs, active, flat, identity, idle_knobs
from thalweg.errors import ConfigError
from thalweg.knobs.scheduled import Schedule, Scheduled, Shape, schedules_of, value_at
from thalweg.stage_contract import Stage
from thalweg.training.schedule import Plan

SHAPES: tuple[Shape, ...] = ("exponential", "linear", "cosine", "step")
VALUES = st.floats(-100, 100)
SHARES = st.floats(0, 1)
HALF_POINTS = st.floats(0.01, 0.99)


class Inner(Knobs):
    """A group with a knob that may change."""

    weight: Scheduled = Field(default=0.5, ge=0, le=10)
    """Weight of it."""


class Outer(Knobs):
    """A configuration."""

    temperature: Scheduled = Field(default=0.3, gt=0, le=5)
    """Divides."""
    inner: Inner = Inner()
    """What is below."""


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    start, end = draw(VALUES), draw(VALUES)
    floor = draw(st.none() | st.floats(-100, max(start, end)))
    shape = draw(st.sampled_from(SHAPES))
    return Schedule(start=start, end=end, shape=shape, half_point=draw(HALF_POINTS), floor=floor)


def slow(schedule: Schedule, done: float) -> float:
    """The value by other formulas: halving again and again, interpolation between points, half an oscillation."""
    start, end, half = schedule.start, schedule.end, schedule.half_point
    halves = done / half
    if schedule.shape == "exponential":
        away = start - end
        while halves >= 1:
            away, halves = away / 2, halves - 1
        value = end + away * math.exp(-math.log(2) * halves)
    elif schedule.shape == "linear":
        value = end if done >= 2 * half else start + (end - start) / (2 * half) * done
    elif schedule.shape == "cosine":
        middle, amplitude = (start + end) / 2, (start - end) / 2
        value = end if done >= 2 * half else middle + amplitude * math.sin(math.pi / 2 * (1 - halves))
    else:
        value = start if done < half else end
    return value if schedule.floor is None else sorted((value, schedule.floor))[1]


@given(schedules(), SHARES)
def test_a_value_is_that_of_the_slow_definition(schedule: Schedule, done: float) -> None:
    assume(schedule.shape != "step" or done != schedule.half_point)  # within rounding of the jump
    assert schedule.at(done) == pytest.approx(slow(schedule, done), rel=1e-9, abs=1e-9)


@given(schedules(), SHARES)
def test_values_stay_within_their_bounds(schedule: Schedule, done: float) -> None:
    assert schedule.smallest - 1e-9 <= schedule.at(done) <= schedule.largest + 1e-9
    assert schedule.floor is None or schedule.at(done) >= schedule.floor


@given(VALUES, VALUES, st.sampled_from(SHAPES), st.floats(0.01, 0.5))
def test_a_schedule_begins_at_its_start_and_ends_at_its_end(
    start: float, end: float, shape: Shape, half: float
) -> None:
    schedule = Schedule(start=start, end=end, shape=shape, half_point=half)
    assert schedule.at(0.0) == pytest.approx(start, abs=1e-9)
    left = 2 ** (-1 / half) if shape == "exponential" else 0.0
    assert schedule.at(1.0) == pytest.approx(end + (start - end) * left, abs=1e-9)


@given(VALUES, VALUES, st.sampled_from(SHAPES[:3]), HALF_POINTS)
def test_half_of_the_way_is_done_at_the_half_point(
    start: float, end: float, shape: Shape, half: float
) -> None:
    schedule = Schedule(start=start, end=end, shape=shape, half_point=half)
    assert schedule.at(half) == pytest.approx((start + end) / 2, abs=1e-9)


@given(HALF_POINTS)
def test_a_step_changes_at_the_half_point(half: float) -> None:
    schedule = Schedule(start=1, end=0, shape="step", half_point=half)
    assert (schedule.at(half * 0.999), schedule.at(half)) == (1, 0)


@given(schedules(), SHARES, SHARES)
def test_a_schedule_never_turns_back(schedule: Schedule, one: float, other: float) -> None:
    early, late = (schedule.at(done) for done in sorted((one, other)))
    way = schedule.end - schedule.start
    assert (late - early) * math.copysign(1, way) >= -1e-9


@pytest.mark.parametrize("shape", SHAPES)
def test_values_do_not_depend_on_the_length_of_the_budget(shape: Shape) -> None:
    schedule = Schedule(start=1, end=0.1, shape=shape, half_point=0.3)
    stages = (
        Stage(name="first", share=0.25, loss=SquaredErrors(Toy())),
        Stage(name="second", share=0.75, loss=SquaredErrors(Toy())),
    )
    courses = []
    for budget in (800, 8000, 80_000):
        plan = Plan.lay(stages, budget)
        ratios = [plan.progress(step * budget // 80).stage_ratio for step in range(80)]
        courses.append([schedule.at(ratio) for ratio in ratios])
    assert courses[0] == courses[1] == courses[2]
    assert courses[0][20] == 1 and len(set(courses[0])) > (1 if shape == "step" else 20)  # anew in each stage


@pytest.mark.parametrize(
    ("knobs", "law"),
    [
        ({"shape": "step", "half_point": 1.0}, r"half_point must be below 1 for a step.*got 1; lower it"),
        (
            {"floor": 0.6},
            r"floor must be at most the larger of start and end, got floor 0\.6, start 0\.5, end 0",
        ),
        ({"half_point": 0}, "half_point: input should be greater than 0, got 0"),
        ({"shape": "wave"}, "shape: input should be 'exponential', 'linear', 'cosine' or 'step', got 'wave'"),
        ({"middle": 1}, "middle: extra inputs are not permitted"),
    ],
)
def test_a_schedule_that_means_nothing_is_refused(knobs: dict[str, Any], law: str) -> None:
    with pytest.raises(ConfigError, match=law):
        Outer().vary(temperature={"start": 0.5, "end": 0.1, **knobs})


def test_what_changes_nothing_is_idle() -> None:
    assert Schedule(start=1, end=0).idle() == ()
    assert Schedule(start=1, end=0, floor=0.2).idle() == ()
    assert Schedule(start=1, end=0.2, floor=0.2).idle() == ("floor",)
    assert Schedule(start=1, end=1).idle() == ("shape", "half_point")
    config = Outer().vary(temperature={"start": 1, "end": 1})
    assert idle_knobs(config) == ("temperature.shape", "temperature.half_point")
    assert active(config) == {"temperature.start": 1.0, "temperature.end": 1.0, "inner.weight": 0.5}


def test_a_knob_is_a_number_or_a_schedule_and_survives_json() -> None:
    number, schedule = Outer(temperature=0.7), Outer().vary(temperature={"start": 0.5, "end": 0.1})
    assert isinstance(schedule.temperature, Schedule)
    for config in (number, schedule):
        again = Outer.model_validate(json.loads(json.dumps(config.model_dump(mode="json"))))
        assert again == config
    assert identity(number) == {"temperature": 0.7, "inner": {"weight": 0.5}}
    assert value_at(number.temperature, 0.9) == 0.7
    assert value_at(schedule.temperature, 1.0) == pytest.approx(0.2)
    assert flat(schedule)["temperature.shape"] == "exponential"


def test_a_schedule_is_changed_in_part_and_replaced_by_a_number() -> None:
    config = Outer().vary(temperature={"start": 0.5, "end": 0.1})
    assert config.vary(temperature={"shape": "cosine"}).temperature == Schedule(
        start=0.5, end=0.1, shape="cosine"
    )
    assert config.vary(temperature=0.2).temperature == 0.2
    with pytest.raises(ConfigError, match=r"got temperature\.shap; did you mean temperature\.shape\?"):
        config.vary(temperature={"shap": "cosine"})


@pytest.mark.parametrize(
    ("value", "law"),
    [
        ({"start": 1, "end": 0}, r"temperature: input should be greater than 0, got Schedule\(start=1"),
        ({"start": 1, "end": 9}, r"temperature: input should be less than or equal to 5, got Schedule\("),
        ({"start": 1}, r"^temperature\.schedule\.end: field required$"),
        (9, r"^temperature: input should be less than or equal to 5, got 9"),
        ("warm", r"^temperature: input should be a valid number.*got 'warm'$"),
        (None, r"^temperature: input should be a valid number, got None$"),
    ],
)
def test_bounds_of_a_knob_hold_for_all_values_and_errors_tell_one_thing(value: Any, law: str) -> None:
    with pytest.raises(ConfigError, match=law):
        Outer().vary(temperature=value)
    Outer().vary(temperature={"start": 1, "end": 0, "floor": 0.1})


def test_a_weight_that_is_0_throughout_is_false() -> None:
    assert not Schedule(start=0, end=0)
    assert Schedule(start=0, end=0.1) and Schedule(start=0.1, end=0)


def test_schedules_are_found_in_all_groups_but_idle_ones() -> None:
    config = Outer().vary(temperature={"start": 1, "end": 2}, inner={"weight": {"start": 0, "end": 1}})
    assert [name for name, _ in schedules_of(config)] == ["temperature", "inner.weight"]
    assert list(schedules_of(Outer())) == []


def test_schedules_are_light_to_import() -> None:
    code = "import sys, thalweg.knobs.scheduled; print({'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
