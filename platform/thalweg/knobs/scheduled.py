"""Knobs that may change during training: a number, or a schedule from one number to another.

A family declares such a knob as `Scheduled` and reads it by `value_at`::

    temperature: Scheduled = Field(default=0.3, ge=0.01, le=5)

    value_at(knobs.temperature, progress.stage_ratio)

A configuration gives it a number, or the knobs of a `Schedule`::

    PRESETS["tiny"].vary(objective={"temperature": {"start": 0.5, "end": 0.1, "shape": "cosine"}})
"""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema
from pydantic_core.core_schema import chain_schema, tagged_union_schema

from thalweg.config import Knobs

Shape = Literal["exponential", "linear", "cosine", "step"]


class Schedule(Knobs):
    """A value that goes from `start` to `end` while a stage trains.

    At the share p of the stage's budget that is done, which is samples seen over budget for a single stage, the value
    is ``max(end + (start - end) * left(p), floor)``. The share of the way that is left is 1 at p = 0 and 1/2 at the
    half-point h. With r = min(p / (2 h), 1) it is

    - exponential: ``2 ** (-p / h)``, a decay ``exp(-k p)`` with k = ln(2) / h, which never quite ends;
    - linear: ``1 - r``, such as the decay of scheduled sampling (arXiv:1506.03099, section 2.4);
    - cosine: ``(1 + cos(pi r)) / 2`` (Loshchilov & Hutter, arXiv:1608.03983, Eq. 5 without restarts);
    - step: 1 before h, 0 from there on.

    No shape depends on the length of the budget. A schedule compares with a number by all of its values: it is at least
    0.1 if none of them lies below. So bounds of a knob hold for its schedules. Like a number, it is false if it is 0
    throughout.
    """

    start: float
    """Value at the beginning of the stage."""
    end: float
    """Value that it goes to. Linear and cosine schedules reach it at twice the half-point."""
    shape: Shape = "exponential"
    """Course of the way from start to end."""
    half_point: float = Field(default=0.5, gt=0, le=10)
    """Share of the stage's budget at which half of the way is done; a step changes there at once."""
    floor: float | None = None
    """Smallest value, whatever start and end say; None for none."""

    @model_validator(mode="after")
    def _no_knob_is_without_effect(self) -> Self:
        if self.shape == "step" and self.half_point >= 1:
            raise ValueError(late_step(self.half_point))
        if self.floor is not None and self.floor > max(self.start, self.end):
            raise ValueError(
                f"floor must be at most the larger of start and end, got floor {self.floor:g}, start {self.start:g}, "
                f"end {self.end:g}; lower it"
            )
        return self

    def idle(self) -> tuple[str, ...]:
        """Names the way of a schedule that goes nowhere, and a floor that no value would fall below."""
        way = ("shape", "half_point") if self.start == self.end else ()
        deep = self.floor is not None and self.floor <= min(self.start, self.end)
        return (*way, "floor") if deep else way

    def at(self, done: float) -> float:
        """Returns the value at a share of the stage's budget.

        Args:
            done: The share of the stage that is done, in [0, 1]: `thalweg.stage_contract.Progress.stage_ratio`.
        """
        value = self.end + (self.start - self.end) * _left(self.shape, done / self.half_point)
        return value if self.floor is None else max(value, self.floor)

    @property
    def smallest(self) -> float:
        """Bound that no value lies below."""
        least = min(self.start, self.end)
        return least if self.floor is None else max(least, self.floor)

    @property
    def largest(self) -> float:
        """Bound that no value lies above."""
        return max(self.start, self.end)

    def __bool__(self) -> bool:
        return bool(self.smallest or self.largest)

    def __format__(self, spec: str) -> str:
        return f"{self.start:{spec}} to {self.end:{spec}}"

    def __ge__(self, bound: float) -> bool:
        return self.smallest >= bound

    def __gt__(self, bound: float) -> bool:
        return self.smallest > bound

    def __le__(self, bound: float) -> bool:
        return self.largest <= bound

    def __lt__(self, bound: float) -> bool:
        return self.largest < bound


def late_step(half_point: float) -> str:
    """Returns why a step is refused whose half-point is 1 or more."""
    return (
        f"half_point must be below 1 for a step, which comes after the budget otherwise, got {half_point:g}; lower "
        "it, or take another shape"
    )


def _left(shape: Shape, half_points: float) -> float:
    """Returns the share of the way that is left after some half-points."""
    if shape == "exponential":
        return float(2.0**-half_points)
    if shape == "step":
        return 1.0 if half_points < 1 else 0.0
    done = min(half_points / 2, 1.0)
    return 1.0 - done if shape == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))


class _OneOfBoth:
    """Lets pydantic validate a number or a schedule by what is given, so that errors are those of one of them."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kinds = {"": handler.generate_schema(float), "schedule": handler.generate_schema(Schedule)}
        either = tagged_union_schema(kinds, lambda value: "schedule" * isinstance(value, Mapping | Schedule))
        return chain_schema([either, handler(source)])  # the latter holds the bounds


Scheduled: TypeAlias = Annotated[float | Schedule, _OneOfBoth()]
"""A number, or a schedule. Bounds of its field hold for all values of a schedule."""


def value_at(knob: float | Schedule, done: float) -> float:
    """Returns the value of a knob at a share of the stage's budget; a number is the same throughout."""
    return knob.at(done) if isinstance(knob, Schedule) else knob


def schedules_of(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, Schedule]]:
    """Yields the schedules of a configuration with their dotted names, without those of idle knobs.

    A group whose knobs mean schedules, but are spelt otherwise, has a mapping `schedules` of them by name; the name of
    one that the whole group means is empty.
    """
    idle = config.idle() if isinstance(config, Knobs) else ()
    for name, value in config:
        if isinstance(value, BaseModel) and name not in idle:
            yield from _schedules_in(value, f"{prefix}{name}")


def _schedules_in(group: BaseModel, name: str) -> Iterator[tuple[str, Schedule]]:
    if isinstance(group, Schedule):
        yield name, group
        return
    for own, schedule in getattr(group, "schedules", {}).items():
        yield f"{name}.{own}" if own else name, schedule
    yield from schedules_of(group, f"{name}.")
