"""The type checker that pytest puts around every function of thalweg and trainables."""

import functools
import re
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
        return _of_result(function) or _checked(function)
    except BeartypeDecorHintException:
        return function


def _of_result(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Returns the check of a result alone, if jaxtyping asks for that: it has checked the arguments of the call.

    Its function takes the arguments once more, and the result as the last one, ``ret0``. The sizes of axes are known
    from the first check.
    """
    code = function.__code__
    named = code.co_varnames[code.co_argcount :][: code.co_kwonlyargcount]
    if code.co_filename != "<string>" or not named or not re.fullmatch(r"ret\d+", named[-1]):
        return None

    def returned(result: Any) -> Any:
        return result

    returned.__annotations__ = {"return": function.__annotations__["return"]}
    check_result, name = _checked(returned), named[-1]
    return lambda *arguments, **others: check_result(others[name])
