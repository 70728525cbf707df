"""Commands that list studies, spaces and families, and describe a family."""

from __future__ import annotations

from typing import Annotated

import typer

from thalweg.cli.options import RUNS, Output, assignments, terminal


def studies(output: Output = RUNS) -> None:
    """Lists the studies that were run here. Next: `thalweg best STUDY`."""
    from thalweg.console import listings

    terminal().print(listings.studies(output))


def spaces(
    family: Annotated[
        str | None, typer.Argument(metavar="[FAMILY]", help="Only those of this family.", show_default="all")
    ] = None,
) -> None:
    """Lists the search spaces. Next: `thalweg search SPACE`."""
    from thalweg.console import listings

    terminal().print(listings.spaces(family))


def families() -> None:
    """Lists the model families. Next: `thalweg describe FAMILY`."""
    from thalweg.console import listings

    terminal().print(listings.families())


def describe(
    family: Annotated[
        str, typer.Argument(metavar="FAMILY", help="A folder in trainables/, or a dotted name.")
    ],
    preset: Annotated[str | None, typer.Option(help="Named configuration whose values are shown.")] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="A knob that differs from the preset, as name=value; repeat it.")
    ] = None,
) -> None:
    """Describes a family: every knob, its schedules, the size of its model, metrics and data sets.

    Examples: `thalweg describe water_mae --preset tiny`,
    `thalweg describe geo_contrastive --param stages.alpha.shape=cosine`
    """
    from thalweg.console.describe import show_family
    from thalweg.discovery import load_family

    show_family(load_family(family), preset, terminal(), assignments(param or []))
