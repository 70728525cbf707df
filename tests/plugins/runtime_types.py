"""The type checker that pytest puts around every function of thalweg and trainables.

jaxtyping's own decorator reads each signature where a module is imported, and at each call binds the arguments and
checks them twice. Here a check is written at the first call, for a process calls few of all functions; it checks once,
and keeps sizes of axes only where hints name arrays. A call whose arguments and result have the types, shapes and
values of one that passed passes too.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any, TypeVar, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype
from beartype.door import die_if_unbearable
from beartype.roar import BeartypeDecorHintException

_CONF = BeartypeConf(is_pep484_tower=True)  # an int passes for a float, as mypy has it
_checked = beartype(conf=_CONF)
_with_its_axes = jaxtyping.jaxtyped
_axes_of_a_call = jaxtyping.jaxtyped("context")

UNCHECKED = frozenset({"Trace._enter", "Trace._note"})
"""Functions that the interpreter calls whenever another one is called."""
MAX_FORMS = 64
"""Number of calls of a function, unlike each other, that are remembered."""
_PLAIN = frozenset({int, bool, str, type(None)})


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
    if getattr(target, "__qualname__", "") in UNCHECKED:
        return target
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
        hints = {name: hint for name, hint in hints.items() if _can_be_checked(hint)}
        checked = _around(function, hints)
    return _in_a_call(function, checked, hints) if of_arrays else checked


def _in_a_call(
    function: FunctionType, checked: Callable[..., Any], hints: dict[str, Any]
) -> Callable[..., Any]:
    """Gives each call axes of its own, and checks none of which an equal one passed.

    Args:
        function: The function.
        checked: It with its check.
        hints: What is checked.
    """
    signature = inspect.signature(function)
    owns = next(iter(signature.parameters), "") not in hints  # such as self
    passed: dict[Any, set[Any]] = {}

    def in_a_call(*arguments: Any, **named: Any) -> Any:
        form = _form((*arguments[owns:], *named.values()))
        key = (len(arguments), form, tuple(named))
        if form is None or key not in passed:
            with _axes_of_a_call:
                result = checked(*arguments, **named)
            if form is not None and len(passed) < MAX_FORMS:
                passed[key] = {_form(result)}
            return result
        result = function(*arguments, **named)
        form = _form(result)
        if form is None or form not in passed[key]:
            with _axes_of_a_call:
                for name, value in {
                    **signature.bind(*arguments, **named).arguments,
                    "return": result,
                }.items():
                    if name in hints:
                        die_if_unbearable(value, hints[name], conf=_CONF)
            passed[key].add(form)
        return result

    def in_every_call(*arguments: Any, **named: Any) -> Any:
        with _axes_of_a_call:
            return checked(*arguments, **named)

    several = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    bundles = any(parameter.kind in several for parameter in signature.parameters.values())
    return in_every_call if bundles else in_a_call


def _form(value: Any) -> Any:
    """Returns all that a check sees of a value; None if that is more than types, shapes and plain values."""
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if kind is float:
        return kind
    if kind is tuple:
        forms = tuple(map(_form, value))
        return None if None in forms else forms
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    return None if shape is None or dtype is None else (kind, shape, dtype)


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
