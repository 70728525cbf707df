"""Describes a family: every knob, its schedules, the parameters of its model, its metrics, its data sets."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from thalweg.analysis.outline import outline
from thalweg.config import FamilyConfig
from thalweg.console.formatting import number
from thalweg.console.schedule_picture import pictures
from thalweg.contract import Metric
from thalweg.discovery import Family
from thalweg.knobs.scheduled import Schedule
from thalweg.search.knob_values import with_knobs

_RELATIONS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "multiple of"}
_WORDS = {
    float: "number",
    int: "whole number",
    bool: "true or false",
    str: "text",
    type(None): "none",
    Schedule: "schedule",
}


@dataclass(frozen=True, kw_only=True)
class Knob:
    """One setting of a configuration.

    Attributes:
        name: Dotted name.
        kind: Type, for people.
        bounds: Bounds of the value, for people; empty if there are none.
        unit: Unit; empty if the field declares none.
        value: Value in the configuration that is described.
        sentence: Its meaning.
    """

    name: str
    kind: str
    bounds: str
    unit: str
    value: Any
    sentence: str


def knobs(config: BaseModel, prefix: str = "") -> Iterator[Knob]:
    """Lists the knobs of a configuration in the order in which they are declared."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if not isinstance(value, BaseModel) or isinstance(value, Schedule):
            extra = field.json_schema_extra
            yield Knob(
                name=f"{prefix}{name}",
                kind=_kind(field.annotation),
                bounds=_bounds(field),
                unit=str(extra.get("unit", "")) if isinstance(extra, dict) else "",
                value=value,
                sentence=" ".join((field.description or "").split()),
            )
        if isinstance(value, BaseModel):
            yield from knobs(value, f"{prefix}{name}.")


def _kind(annotation: Any) -> str:
    """Names a type in words: ``whole number or none``, ``cosine | constant``."""
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation)))
    if get_origin(annotation) is tuple:
        return f"list of {_kind(get_args(annotation)[0])}"
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_kind(choice) for choice in get_args(annotation))
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bounds(field: FieldInfo) -> str:
    """Writes the laws of a field: ``in (0, 1]``, ``>= 1``, ``multiple of 2``."""
    laws = {name: getattr(law, name) for law in field.metadata for name in _RELATIONS if hasattr(law, name)}
    low = next((name for name in ("gt", "ge") if name in laws), None)
    high = next((name for name in ("lt", "le") if name in laws), None)
    found = []
    if low and high:
        ends = f"{number(laws.pop(low))}, {number(laws.pop(high))}"
        found = [f"in {'(' if low == 'gt' else '['}{ends}{')' if high == 'lt' else ']'}"]
    return ", ".join(found + [f"{_RELATIONS[name]} {number(bound)}" for name, bound in laws.items()])


def show_family(
    family: Family, preset: str | None, console: Console, changes: Mapping[str, str] | None = None
) -> None:
    """Prints everything about a family.

    Args:
        family: The family.
        preset: Configuration whose values are shown; None for the first.
        console: Where to print.
        changes: Text by dotted names of knobs that differ from the preset.

    Raises:
        DiscoveryError: The family has no such preset.
        ConfigError: A changed knob is unknown, or its value is refused.
    """
    config = with_knobs(_config(family, preset), changes or {}, family.name)
    doc = (family.config_type.__doc__ or "").strip().partition("\n")[0]
    console.print(Text.assemble((family.name, "bold"), f"  {doc}"))
    console.print(
        f"presets: {', '.join(family.presets) or 'none'}; below: {preset or _default(family)}, "
        "another with --preset NAME"
    )
    names = ", ".join(["PRESETS"] * bool(family.presets) + [family.config_type.__name__])
    console.print(Text(f"in a search space: from {family.config_type.__module__} import {names}"))
    _section(console, "knobs", _knob_lines(config))
    drawn = pictures(config, ascii_only=console.options.ascii_only)
    _section(console, "schedules, over the share of a stage that is done", drawn)
    found = outline(family, config)
    total = {"total": sum(found.parts.values())}
    _section(console, "parameters, at the reference geometry", _table(found.parts | total))
    _section(console, "metrics", _metric_lines(found.metrics))
    _section(console, "synthetic data sets (thalweg data make)", _meanings(family.worlds))
    _section(console, "public data sets (thalweg data import)", _meanings(family.sources))


def _config(family: Family, preset: str | None) -> FamilyConfig:
    if preset is not None:
        return family.preset(preset)
    return next(iter(family.presets.values()), None) or family.config_type(dataset="none")


def _default(family: Family) -> str:
    return next(iter(family.presets), "defaults")


def _section(console: Console, title: str, body: RenderableType) -> None:
    console.print("", Text(title, style="bold"), Padding(body, (0, 0, 0, 2)), sep="\n")


def _knob_lines(config: FamilyConfig) -> RenderableType:
    found = list(knobs(config))
    values = [_written(knob.value) for knob in found]
    lines: list[RenderableType] = []
    for knob, value in zip(found, values, strict=True):
        table = Table.grid(padding=(0, 2))
        table.add_column(width=max(len(knob.name) for knob in found), no_wrap=True, style="cyan")
        table.add_column(width=min(20, max(map(len, values))), style="bold", overflow="fold")
        table.add_column(style="dim")
        table.add_row(Text(knob.name), Text(value), Text(_law(knob)))
        lines += [table, Padding(Text(knob.sentence), (0, 0, 0, 4))]
    return Group(*lines)


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(number, value)) or "none"
    if isinstance(value, Schedule):
        return f"{value:g}"
    return "none" if value is None else number(value)


def _law(knob: Knob) -> str:
    unit = f", in {knob.unit}" if knob.unit else ""
    return f"{knob.kind}{' ' if knob.bounds[:3] == 'in ' else ', ' if knob.bounds else ''}{knob.bounds}{unit}"


def _table(counts: Mapping[str, int]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for name, count in counts.items():
        style = "bold" if name == "total" else ""
        table.add_row(Text(name, style=style), Text(f"{count:,}", style=style))
    return table


def _metric_lines(metrics: tuple[Metric, ...]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for metric in metrics:
        fit = "" if metric.search_invariant else "Depends on searched knobs: no objective. "
        table.add_row(
            Text(metric.name, style="cyan"),
            metric.mode,
            Text(metric.unit, style="dim"),
            Text.assemble((fit, "yellow"), metric.meaning),
        )
    return table


def _meanings(things: Mapping[str, Any]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name, thing in things.items():
        table.add_row(Text(name, style="cyan"), Text(thing.meaning))
        for option, sentence in getattr(thing, "options", {}).items():
            table.add_row("", Text.assemble((f"--option {option}=... ", "dim"), sentence))
    return table if things else Text("none", style="dim")
