"""Shows the verdicts on a space: a line for each check, and below it what is wrong, to be known, or left out."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from thalweg.search.checks.judgement import Judgement
from thalweg.search.space import Space
from thalweg.search.store.multi_objective.constraints import Constraints, in_words
from thalweg.wording import counted

_MARKS = {
    "passed": ("pass", "green"),
    "warned": ("warn", "yellow"),
    "failed": ("FAIL", "bold red"),
    "not reached": ("-", "dim"),
}
_NAME = 11
_INDENT = 4


def show_judgements(space: Space, found: Iterable[Judgement], console: Console) -> list[Judgement]:
    """Prints verdicts as they come, and returns them.

    Args:
        space: The space that is checked.
        found: The verdicts.
        console: The terminal.
    """
    study = space.study
    plan = f"{counted(study.num_trials, 'trial')} of {study.samples:,} samples"
    asked = in_words(study.objectives, Constraints.of_study(study))
    console.print(Text.assemble((f"space {space.name}", "bold"), f"  {asked}, {plan}"))
    shown = []
    for judgement in found:
        _show(judgement, console)
        shown.append(judgement)
    console.print()
    return shown


def sum_up_space(found: list[Judgement], console: Console) -> int:
    """Prints what the verdicts amount to, and returns the number of checks that failed or were not reached."""
    marks = [judgement.mark for judgement in found]
    failed, unreached, warned = (marks.count(mark) for mark in ("failed", "not reached", "warned"))
    parts = [f"{counted(len(found) - failed - unreached, 'check')} passed"]
    parts += [f"{warned} with warnings"] if warned else []
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{unreached} not reached"] if unreached else []
    seconds = sum(judgement.seconds for judgement in found)
    style = "red" if failed else "yellow" if warned else "green"
    console.print(Text(f"{', '.join(parts)}, in {seconds:.0f} s", style=style))
    return failed + unreached


def _show(judgement: Judgement, console: Console) -> None:
    mark, style = _MARKS[judgement.mark]
    seconds = f"{judgement.seconds:4.1f} s" if judgement.is_reached else ""
    head = Text.assemble(
        "  ",
        (mark.ljust(_INDENT), style),
        f"  {judgement.check.ljust(_NAME)}",
        (seconds.rjust(6), "dim"),
        "  ",
    )
    told = judgement.told if not judgement.faults else ""
    width = console.width - len(head)
    if len(told) <= width:
        console.print(Text.assemble(head, told))
    else:
        console.print(head)
        _print_below(told, "", console)
    for kind, sentences, colour in (
        ("", judgement.faults, "red"),
        ("", judgement.warnings, "yellow"),
        ("", judgement.notes, "dim"),
        ("skipped ", judgement.skipped, "dim"),
    ):
        for sentence in sentences:
            _print_below(f"{kind}{sentence}", colour, console)


def _print_below(sentence: str, style: str, console: Console) -> None:
    console.print(Padding(Text(sentence, style=style), (0, 0, 0, 4 + _INDENT)))
