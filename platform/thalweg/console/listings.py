"""Listings of search spaces, families, data sets and studies. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from thalweg import discovery
from thalweg.analysis.studies import Unreadable, summaries
from thalweg.console.formatting import score
from thalweg.console.tables import plain_table
from thalweg.datasets.catalogue import DataSet
from thalweg.errors import ThalwegError
from thalweg.search.space import load_space
from thalweg.search.store.multi_objective.constraints import Constraints, in_words
from thalweg.wording import as_seen

_STATES = {"running": "cyan", "complete": "green", "stopped": "yellow"}


def spaces(only: str | None = None) -> RenderableType:
    """Lists the search spaces, also those in packages of the working directory, then what each one asks.

    Args:
        only: List the spaces of this family alone, and broken ones.

    Raises:
        DiscoveryError: There is no such family.
    """
    only = discovery.load_family(only).name if only is not None else None
    table = _table("space", "family", "metric", "trials")
    table.columns[0].no_wrap = True  # what commands ask for
    for column in table.columns[1:]:
        column.overflow = "fold"
    lines: dict[str, Text] = {}
    for name in (*discovery.names("search_spaces"), *discovery.own_spaces()):
        try:
            space = load_space(name)
            family = discovery.load_family(space.config_type).name
        except ThalwegError as error:
            table.add_row(Text(name, style="red"), "broken")
            lines[name] = Text(f"  {error}", style="red")
            continue
        if only not in (None, family):
            continue
        study = space.study
        metric = in_words(study.objectives, Constraints.of_study(study))
        table.add_row(Text(name, style="cyan"), family, metric, f"{study.num_trials}")
        lines[name] = Text.assemble((f"{name}  ", "cyan"), space.doc)
    return Group(table, "", *lines.values())


def families() -> RenderableType:
    """Lists the model families, also those in packages of the working directory; for a broken one what is wrong."""
    table = _table("family", "presets", "what it is")
    for name in (*discovery.names("trainables"), *discovery.own_families()):
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
            style, size, where = "green", _size(item.num_bytes), as_seen(item.folder)
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


def studies(output: Path) -> RenderableType:
    """Lists the studies of an output folder; for an unreadable one the reason."""
    table = plain_table()
    for name in ("study", "state", "trials", "complete", "pruned", "failed", "best", "space"):
        left = name in ("study", "state", "space")
        justify: Literal["left", "right"] = "left" if left else "right"
        table.add_column(name, justify=justify, no_wrap=name in ("study", "best"), overflow="fold")
    for row in summaries(output):
        if isinstance(row, Unreadable):
            table.add_row(Text(row.name, style="red"), Text(f"unreadable: {row.reason}", style="red"))
            continue
        table.add_row(
            Text(row.name, style="cyan"),
            Text(row.state, style=_STATES[row.state]),
            f"{row.num_ended}/{row.num_trials}",
            *(str(row.counts[status]) for status in ("complete", "pruned", "failed")),
            "-" if row.best is None else f"{row.metric} {score(row.best)}",
            row.space,
        )
    nothing = Text(f"no studies in {output}; start one with thalweg search quickstart")
    return table if table.row_count else nothing


def _table(*columns: str) -> Table:
    table = plain_table()
    for name in columns:
        table.add_column(name, justify="right" if name in ("trials", "size") else "left")
    return table
