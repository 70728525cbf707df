"""The command that checks a family."""

from __future__ import annotations

from typing import Annotated

import typer

from thalweg.cli.options import Data, terminal
from thalweg.lanes.interruption import ending_at_once


def check(
    family: Annotated[
        str, typer.Argument(metavar="FAMILY", help="A folder in trainables/, or a dotted name.")
    ],
    preset: Annotated[
        list[str] | None,
        typer.Option(help="Preset to check; repeat it. \\[default: those that begin with `tiny`]"),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TENSOR",
            help="A tensor that may be equal in samples of two splits, such as the time of the year; repeat it.",
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Checks that a family keeps the contract: its knobs, data, splits, losses and measures.

    Example: `thalweg check my_lab.lakes`

    Exits with 0 if every check passed and with 1 if one did not. A synthetic data set is made anew for the check.
    `pytest --thalweg-check my_lab.lakes` runs the same checks beside other tests.

    Next: `thalweg train FAMILY --preset tiny --samples 2048`
    """
    from thalweg.discovery import load_family

    loaded = load_family(family)
    # After the family, whose mistakes are answered at once: torch and DeepSpeed take seconds.
    with ending_at_once():
        from thalweg.console.verdict_view import show_verdicts, sum_up
        from thalweg.testing.verdicts import presets_to_check, subject_of, verdicts

    console = terminal()
    found = []
    for name in presets_to_check(loaded, preset or ()):
        with subject_of(loaded, name, data, frozenset(ignore or ())) as subject:
            title = f"family {loaded.name}, preset {name}, data set {subject.task.config.dataset}"
            found += show_verdicts(title, verdicts(subject), console)
    if sum_up(found, console):
        raise typer.Exit(1)
