"""Studies side by side on the terminal."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from rich.text import Text

from thalweg.analysis.side_by_side.knob_differences import ABSENT, KnobDifference
from thalweg.analysis.side_by_side.study_settings import StudiesCompared
from thalweg.console.comparisons.cells import NO_VALUE, settings_table
from thalweg.console.formatting import score
from thalweg.wording import counted


def show_studies(compared: StudiesCompared, console: Console, *, numbers: bool) -> None:
    """Prints settings of studies, and what their searches took.

    Args:
        compared: The studies.
        console: Where to print.
        numbers: Whether their values may be compared.
    """
    rows = [*compared.settings, *map(_in_words, compared.spent)]
    if numbers:
        head = f"expected best of {counted(compared.equal_length, 'trial')}"
        rows.append(KnobDifference(head, tuple(map(score, compared.expected))))
    console.print()
    console.print(settings_table("studies", compared.names, rows, console.width))
    if any(value is ABSENT for row in rows for value in row.values):
        console.print(Text(f"{NO_VALUE} no such setting there, or not recorded", style="dim"))
    if numbers and not compared.are_equally_long:
        console.print(
            Text(
                "unequal numbers of trials: the best of more trials is luckier; the expected best of equally many "
                "takes trials as exchangeable, which those of a sampler that learns are not quite",
                style="yellow",
            ),
            soft_wrap=True,
        )


def _in_words(row: KnobDifference) -> KnobDifference:
    """Writes lane hours with three digits."""
    if row.name != "lane hours":
        return row
    return replace(row, values=tuple(f"{value:.3g}" for value in row.values))
