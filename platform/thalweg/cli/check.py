"""The command that checks a family or a search space."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from thalweg.cli.options import RUNS, Data, DataSet, Output, Samples, teller, terminal
from thalweg.errors import ConfigError
from thalweg.lanes.interruption import ending_at_once

_DEFAULT_SECONDS = 60.0


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A search space or a family: a name that Thalweg lists, or a dotted one."
    ),
]
Kind = Annotated[
    Literal["family", "space"] | None,
    typer.Option("--as", help="Which of both is meant, if there is a space and a family of this name."),
]
Preset = Annotated[
    list[str] | None,
    typer.Option(help="Preset of a family to check; repeat it. \\[default: those that begin with `tiny`]"),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TENSOR",
        help="A tensor that may be equal in samples of two splits, such as the time of the year; repeat it.",
    ),
]
Seconds = Annotated[float | None, typer.Option(min=1, help="Time to check a space in. \\[default: 60]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the verdicts on a space as JSON, for programs.")]


def check(
    name: Name,
    kind: Kind = None,
    preset: Preset = None,
    ignore: Ignore = None,
    dataset: DataSet = None,
    samples: Samples = None,
    seconds: Seconds = None,
    as_json: AsJson = False,
    output: Output = RUNS,
    data: Data = None,
) -> None:
    """Checks a search space before it is searched, or that a family keeps the contract.

    Examples: `thalweg check quickstart`, `thalweg check my_lab.lakes`

    Of a space: every configuration is valid, the data are there, the objective can tell models apart, every searched
    parameter changes something in its branch, trials are measured alike, splits share no samples, and what the study
    will cost. Of a family: its knobs, data, splits, losses and measures; a synthetic data set is made anew for that.

    Exits with 0 if nothing is wrong, warnings included, and with 1 if something is. `pytest --thalweg-check FAMILY`
    runs the checks of a family beside other tests.

    Next: `thalweg search SPACE`, `thalweg train FAMILY --preset tiny --samples 2048`
    """
    from thalweg.discovery import room_of

    is_space = room_of(name, kind) == "search_spaces"
    for_other: dict[str, object] = (
        {"--preset": preset} if is_space else _of_spaces(dataset, samples, seconds, as_json)
    )
    _refuse_others(name, for_other, is_space)
    ignored = frozenset(ignore or ())
    if is_space:
        limit = _DEFAULT_SECONDS if seconds is None else seconds
        found = _space(name, dataset, samples, limit, ignored, output, data, as_json)
    else:
        found = _family(name, preset or [], ignored, data)
    if found:
        raise typer.Exit(1)


def _space(
    name: str,
    dataset: str | None,
    samples: int | None,
    seconds: float,
    ignore: frozenset[str],
    output: Path,
    data: Path | None,
    as_json: bool,
) -> int:
    """Checks a space, and returns how many checks did not pass."""
    from thalweg.search.overrides import overridden
    from thalweg.search.space import load_space

    began = time.monotonic()
    console = terminal()
    tell = teller(console) if not as_json else lambda text: None
    space = overridden(load_space(name), dataset=dataset, samples=samples, root=data, tell=tell)
    # After the space, whose mistakes are answered at once: torch and DeepSpeed take seconds.
    with ending_at_once():
        from thalweg.console.judgement_view import show_judgements, sum_up_space
        from thalweg.search.checks.check_space import MIN_RATIO, judgements
        from thalweg.search.checks.examined import Examined
        from thalweg.search.starting.checked_before import remember

    left = max(seconds - (time.monotonic() - began), MIN_RATIO * seconds)
    examined = Examined(space, output, data, ignore)
    verdicts = judgements(examined, left)
    if not as_json:
        found = show_judgements(space, verdicts, console)
        remember(examined, found)
        return sum_up_space(found, console)
    found = list(verdicts)
    remember(examined, found)
    shown = [verdict.as_json() for verdict in found]
    failed = sum(verdict["verdict"] in ("failed", "not reached") for verdict in shown)
    typer.echo(json.dumps({"space": name, "passed": not failed, "checks": shown}, indent=1))
    return failed


def _family(name: str, presets: list[str], ignore: frozenset[str], data: Path | None) -> int:
    """Checks a family, and returns how many checks did not pass."""
    from thalweg.discovery import load_family

    loaded = load_family(name)
    # After the family, whose mistakes are answered at once: torch and DeepSpeed take seconds.
    with ending_at_once():
        from thalweg.console.verdict_view import show_verdicts, sum_up
        from thalweg.testing.verdicts import presets_to_check, subject_of, verdicts

    console = terminal()
    found = []
    for preset in presets_to_check(loaded, presets):
        with subject_of(loaded, preset, data, ignore) as subject:
            title = f"family {loaded.name}, preset {preset}, data set {subject.task.config.dataset}"
            found += show_verdicts(title, verdicts(subject), console)
    return sum_up(found, console)


def _of_spaces(
    dataset: str | None, samples: int | None, seconds: float | None, as_json: bool
) -> dict[str, object]:
    return {"--dataset": dataset, "--samples": samples, "--seconds": seconds, "--json": as_json or None}


def _refuse_others(name: str, options: dict[str, object], is_space: bool) -> None:
    """Refuses options of the other kind, which would be without effect."""
    given = [option for option, value in options.items() if value is not None]
    if given:
        kinds = ("a family", "a search space") if is_space else ("a search space", "a family")
        raise ConfigError(
            f"{given[0]} goes with the check of {kinds[0]}, got it for {kinds[1]}, {name}; leave it out"
        )
