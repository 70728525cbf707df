"""Lists what there is to choose from: search spaces, families, data sets. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from thalweg import discovery
from thalweg.errors import ThalwegError
from thalweg.search.space import load_space

if TYPE_CHECKING:
    from thalweg.datasets.catalogue import DataSet


def spaces() -> RenderableType:
    """Lists the search spaces, then the question of each; for a broken one what is wrong with it."""
    table = _table("space", "family", "metric", "trials")
    lines: dict[str, Text] = {}
    for name in discovery.names("search_spaces"):
        try:
            space = load_space(name)
            family = discovery.load_family(space.config_type).name
        except ThalwegError as error:
            table.add_row(Text(name, style="red"), "broken")
            lines[name] = Text(f"  {error}", style="red")
            continue
        study = space.study
        metric = f"{study.metric} ({study.mode})"
        table.add_row(Text(name, style="cyan"), family, metric, f"{study.num_trials}")
        lines[name] = Text.assemble((f"{name}  ", "cyan"), space.doc)
    return Group(table, "", *lines.values())


def families() -> RenderableType:
    """Lists the model families; a broken one with what is wrong with it."""
    table = _table("family", "presets", "what it is")
    for name in discovery.names("trainables"):
        try:
            family = discovery.load_family(name)
        except ThalwegError as error:
            table.add_row(Text(name, style="red"), "", Text(f"broken: {error}", style="red"))
            continue
        doc = (family.config_type.__doc__ or "").strip().partition("\n")[0]
        table.add_row(Text(name, style="cyan"), ", ".join(family.presets), Text(doc))
    return table


def data_sets(found: Iterable[DataSet]) -> RenderableType:
    """Lists data sets with where they lie, or how to get them."""
    table = _table("family", "data set", "size", "")
    for item in found:
        if item.num_bytes is not None:
            style, size, where = "green", _size(item.num_bytes), str(item.folder)
        elif item.origin == "make":
            style, size, where = "dim", "-", f"thalweg data make {item.family} {item.name}"
        else:
            style, size, where = "dim", "-", f"thalweg data import {item.name} FOLDER"
        table.add_row(item.family, Text(item.name, style=style), size, Text(where, overflow="fold"))
    return table


def _size(num_bytes: int) -> str:
    value = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in ("trials", "size") else "left")
    return table
