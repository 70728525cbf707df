"""The type checker that pytest puts around every function of thalweg and trainables."""

from collections.abc import Callable
from typing import Any

from beartype import beartype
from beartype.roar import BeartypeDecorHintException


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Checks the types and shapes of each call, where its hints can be checked at run time at all.

    ``Self`` of a method and protocols that are not ``runtime_checkable`` cannot; mypy reads them.
    """
    try:
        return beartype(function)
    except BeartypeDecorHintException:
        return function
