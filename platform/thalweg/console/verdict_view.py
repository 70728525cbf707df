"""Shows the verdicts of the contract suite, one line a check, and what is wrong below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from thalweg.testing.verdicts import Verdict
from thalweg.wording import counted

_MARKS = {"passed": ("pass", "green"), "failed": ("FAIL", "bold red"), "not reached": ("-", "dim")}
_WIDTH = 4


def show_verdicts(title: str, found: Iterable[Verdict], console: Console) -> list[Verdict]:
    """Prints verdicts as they come, and returns them.

    Args:
        title: What is checked.
        found: The verdicts.
        console: The terminal.
    """
    console.print(Text(title, style="bold"))
    shown = []
    for verdict in found:
        mark, style = _MARKS[verdict.outcome]
        name = verdict.check.replace("_", " ")
        seconds = Text(f"  {verdict.seconds:.1f} s" if verdict.outcome != "not reached" else "", style="dim")
        console.print(Text.assemble("  ", (mark.ljust(_WIDTH), style), f"  {name}", seconds))
        if verdict.fault:
            console.print(Padding(Text(verdict.fault), (0, 0, 0, 4 + _WIDTH)))
        shown.append(verdict)
    console.print()
    return shown


def sum_up(found: Sequence[Verdict], console: Console) -> int:
    """Prints how many checks passed, and returns how many did not."""
    failed = sum(verdict.outcome != "passed" for verdict in found)
    passed = len(found) - failed
    text = f"{counted(passed, 'check')} passed" + (f", {failed} did not" if failed else "")
    console.print(Text(text, style="red" if failed else "green"))
    return failed
