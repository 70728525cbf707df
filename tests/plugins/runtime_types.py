"""The type checker that pytest puts around every function of thalweg and trainables."""

import functools
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException

_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int passes for a float, as mypy has it


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Checks the types and shapes of each call, where its hints can be checked at run time at all.

    ``Self`` of a method and protocols that are not ``runtime_checkable`` cannot; mypy reads them.
    A check is written at the first call: that takes a millisecond, and a process calls few of all functions.
    """
    written: Callable[..., Any] | None = None

    @functools.wraps(function)
    def checked(*arguments: Any, **named: Any) -> Any:
        nonlocal written
        if written is None:
            written = _written(function)
        return written(*arguments, **named)

    return checked


def _written(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return _checked(function)
    except BeartypeDecorHintException:
        return function
