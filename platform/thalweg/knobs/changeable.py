"""Which knobs may change while a model trains, so that a population may go on from a checkpoint with other values.

A group of knobs names them in `Knobs.changeable`; knobs of the kind `Scheduled` and all that a `Schedule` consists of
may change anyway, because a training reads their value at every step::

    class LossKnobs(Knobs):
        changeable: ClassVar[frozenset[str]] = frozenset({"smoothness_weight"})

A knob must not be named if the model, the data or the batch depends on it, or if it only sets an initial value.
"""

from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from thalweg.config import Knobs, flat, idle_knobs
from thalweg.knobs.scheduled import Schedule


def changeable_knobs(config: BaseModel) -> frozenset[str]:
    """Returns the dotted names of the knobs of a configuration that may change during training."""
    return frozenset(_changeable(config, "", within=False))


def moved_knobs(one: BaseModel, other: BaseModel) -> frozenset[str]:
    """Returns the dotted names of the knobs by which two configurations differ; a schedule is one knob by its parts."""
    first, second = flat(one, keep_empty=True), flat(other, keep_empty=True)
    return frozenset(
        name for name in first.keys() | second.keys() if first.get(name, ...) != second.get(name, ...)
    )


def fixed_knobs(one: BaseModel, other: BaseModel) -> frozenset[str]:
    """Returns the knobs by which two configurations differ and that may not change during training.

    A change that lets other knobs be idle counts, too: a loss whose weight becomes 0 takes its part of the model along.
    """
    allowed = changeable_knobs(one) | changeable_knobs(other)
    switched = frozenset(idle_knobs(one)) ^ frozenset(idle_knobs(other))
    return frozenset(name for name in moved_knobs(one, other) if name not in allowed) | switched


def _changeable(group: BaseModel, prefix: str, *, within: bool) -> Iterator[str]:
    named = group.changeable if isinstance(group, Knobs) else frozenset()
    for name, value in group:
        declared = type(group).model_fields.get(name)
        may = within or name in named or (declared is not None and _is_scheduled(declared))
        if isinstance(value, BaseModel):
            yield from _changeable(value, f"{prefix}{name}.", within=may or isinstance(value, Schedule))
        elif may:
            yield f"{prefix}{name}"


def _is_scheduled(declared: FieldInfo) -> bool:
    return Schedule in get_args(declared.annotation)
