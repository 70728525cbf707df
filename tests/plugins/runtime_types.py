"""The type checker that pytest puts around every function of thalweg and trainables.

jaxtyping's own decorator reads each signature where a module is imported, and at each call binds the arguments and
checks them twice. Here a check is written at the first call, for a process calls few of all functions; it checks once,
and keeps sizes of axes only where hints name arrays.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any, TypeVar, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException

_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int passes for a float, as mypy has it
_with_its_axes = jaxtyping.jaxtyped
_axes_of_a_call = jaxtyping.jaxtyped("context")


def jaxtyped(target: Any = None, *, typechecker: Callable[..., Any]) -> Any:
    """Stands for `jaxtyping.jaxtyped` in what its import hook writes before functions and classes.

    Args:
        target: Function, or class, of which a dataclass gets its ``__init__`` checked; None returns the decorator.
        typechecker: `check`, as jaxtyping calls it.

    Returns:
        The function with its check, or the class.
    """
    if target is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    if inspect.isclass(target):
        if dataclasses.is_dataclass(target) and "__init__" in vars(target):
            target.__init__ = jaxtyped(target.__init__, typechecker=typechecker)  # type: ignore[method-assign]
        return target
    written: Callable[..., Any] | None = None

    @functools.wraps(target)
    def checked(*arguments: Any, **named: Any) -> Any:
        nonlocal written
        if written is None:
            written = typechecker(target)
        return written(*arguments, **named)

    return checked


def unchecked(target: Any = None, *, typechecker: Callable[..., Any]) -> Any:
    """Stands for `jaxtyped` where calls are not to be checked."""
    return functools.partial(unchecked, typechecker=typechecker) if target is None else target


def check(function: FunctionType) -> Callable[..., Any]:
    """Checks the types and shapes of each call, where hints can be checked at run time at all.

    ``Self``, protocols that are not ``runtime_checkable`` and names that are imported for mypy alone cannot.
    """
    hints = {name: _resolved(hint, function) for name, hint in function.__annotations__.items()}
    of_arrays = any(map(_names_arrays, hints.values()))
    if of_arrays and inspect.isgeneratorfunction(function):  # its arguments are known before its first step
        return _with_its_axes(function, typechecker=_checked)
    try:
        checked = _around(function, hints)
    except BeartypeDecorHintException:
        checked = _around(function, {name: hint for name, hint in hints.items() if _can_be_checked(hint)})
    if not of_arrays:
        return checked

    def in_a_call(*arguments: Any, **named: Any) -> Any:
        with _axes_of_a_call:
            return checked(*arguments, **named)

    return in_a_call


def _resolved(hint: Any, function: FunctionType) -> Any:
    """Returns what a hint of a function says if it is written as a string, `Any` if only mypy knows that."""
    try:
        named = get_type_hints(
            SimpleNamespace(__annotations__={"it": hint}), function.__globals__, include_extras=True
        )
    except (NameError, TypeError, AttributeError):
        return Any
    return named["it"]


def _around(function: FunctionType, hints: dict[str, Any]) -> Callable[..., Any]:
    """Returns a copy of a function that is checked by other hints than its own, which people read."""
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    copy.__annotations__ = hints
    return _checked(copy)


def _can_be_checked(hint: Any) -> bool:
    def takes(value: Any) -> None:
        del value

    takes.__annotations__ = {"value": hint}
    try:
        _checked(takes)
    except BeartypeDecorHintException:
        return False
    return True


def _names_arrays(hint: Any) -> bool:
    if isinstance(hint, TypeVar):
        return any(map(_names_arrays, (hint.__bound__, *hint.__constraints__)))
    if isinstance(hint, list):  # the parameters of a Callable
        return any(map(_names_arrays, hint))
    of_arrays = inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray)
    return of_arrays or any(map(_names_arrays, get_args(hint)))
