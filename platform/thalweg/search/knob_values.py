"""Knobs as options of a command: text becomes values of the knobs' types."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from thalweg.config import FamilyConfig, Knobs, idle_knobs
from thalweg.errors import ConfigError, KnobError
from thalweg.knobs.scheduled import Schedule
from thalweg.wording import some

C = TypeVar("C", bound=FamilyConfig)


def with_knobs(config: C, given: Mapping[str, str], family: str) -> C:
    """Returns a configuration with some knobs changed.

    Text is read as JSON or a literal of Python if the knob's type takes that, else as it is: ``lr=1e-3``,
    ``stages=["cilp"]``, ``fusion=add``. No type is converted: a knob that counts takes neither 2.5 nor true.

    Args:
        config: The configuration.
        given: Text by dotted names of knobs, such as ``optimization.lr``.
        family: Name of the family, for messages.

    Raises:
        KnobError: A knob is unknown, a group, of another type or out of its bounds.
        ConfigError: A law between knobs is broken, or a knob changes nothing in the configuration.
    """
    kinds = {name: text for name, text in given.items() if _chooses_kind(config, name)}
    others = {name: text for name, text in given.items() if name not in kinds}
    for some_of_them in (kinds, others):  # which knobs a group has depends on its kind
        values = {name: _value(config, name, text, family) for name, text in some_of_them.items()}
        config = config.vary(**_nested(values))
    _check_alive(config, given)
    return config


def _check_alive(config: FamilyConfig, given: Mapping[str, str]) -> None:
    idle = idle_knobs(config)
    dead = [name for name in given if any(name == knob or name.startswith(f"{knob}.") for knob in idle)]
    if dead:
        raise ConfigError(
            f"a knob must change something in the configuration, got {some(dead)}, which no part of it reads; leave "
            "it out, or change the knobs that it depends on"
        )


def _chooses_kind(config: FamilyConfig, name: str) -> bool:
    """Returns whether a knob is the one by which a group names its kind."""
    field = _field(config, name)
    return (
        field is not None and get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
    )


def _value(config: FamilyConfig, name: str, text: str, family: str) -> Any:
    """Returns what a text stands for; without a fitting reading, raises the error of the first."""
    field = _field(config, name)
    if field is None:
        raise KnobError(_unknown(config, name, family))
    if isinstance(group := _at(config, name), Knobs) and not isinstance(group, Schedule):
        raise KnobError(
            f"a group of knobs must be changed knob by knob, got {name}={text}; name {_inside(config, name)}"
        )
    if _chooses_kind(config, name):
        return text  # another one replaces the group, so that its own type would refuse it
    adapter: TypeAdapter[Any] = TypeAdapter(Any if field.annotation is None else field.annotation)
    refused: ValidationError | None = None
    for reading in _readings(text):
        try:
            return adapter.validate_json(reading, strict=True)
        except ValidationError as error:
            refused = refused or error
    assert refused is not None
    fault = max(
        refused.errors(include_url=False), key=lambda each: len(each["loc"])
    )  # the nearest to a schedule
    why, where = fault["msg"], ".".join(map(str, (name, *fault["loc"][1:])))
    raise KnobError(
        f"{where}: {why[:1].lower()}{why[1:]}, got {text!r}; `thalweg describe {family}` says what it takes"
    )


def _readings(text: str) -> Iterator[str]:
    """Yields what a text may mean, as JSON: itself, a literal of Python, plain text."""
    with suppress(ValueError):
        json.loads(text)
        yield text
    with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        yield json.dumps(ast.literal_eval(text.strip()))
    yield json.dumps(text)


def _field(config: FamilyConfig, name: str) -> FieldInfo | None:
    """Returns the declaration of a knob or a group; None if there is none."""
    *groups, last = name.split(".")
    owner = _at(config, ".".join(groups)) if groups else config
    if not isinstance(owner, Knobs):
        return None
    return type(owner).model_fields.get(last) or _of_any_name(type(owner))


def _of_any_name(group: type[Knobs]) -> FieldInfo | None:
    """Returns the declaration of all knobs that a group does not name, such as weights of one's own modalities."""
    if group.model_config.get("extra") != "allow":
        return None
    kind = get_type_hints(group, include_extras=True).get("__pydantic_extra__")
    return FieldInfo.from_annotation(get_args(kind)[1]) if kind else None


def _at(config: FamilyConfig, name: str) -> Any:
    """Returns the value of a knob or a group; None if there is none."""
    found: Any = config
    for part in name.split("."):
        found = (
            getattr(found, part) if isinstance(found, Knobs) and part in type(found).model_fields else None
        )
    return found


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        inner = found
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return found


def _names(knobs: Knobs, prefix: str = "") -> Iterator[str]:
    """Yields the dotted names of all knobs, without those of groups."""
    for name in type(knobs).model_fields:
        value = getattr(knobs, name)
        if isinstance(value, Knobs):
            yield from _names(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _inside(config: FamilyConfig, name: str) -> str:
    return some(_names(_at(config, name), f"{name}."))


def _unknown(config: FamilyConfig, name: str, family: str) -> str:
    """Says that there is no such knob, and which name is most alike: the whole one, or that within its group."""
    known = list(_names(config))
    last = name.rpartition(".")[2]
    close = [each for each in known if each.rpartition(".")[2] == last] or difflib.get_close_matches(
        name, known, n=1
    )
    if not close:
        alike = difflib.get_close_matches(last, [each.rpartition(".")[2] for each in known], n=1)
        close = [each for each in known if alike and each.rpartition(".")[2] == alike[0]]
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"no knob {name!r} in {family}{hint} (`thalweg describe {family}` lists them all)"
