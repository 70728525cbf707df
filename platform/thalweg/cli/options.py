"""Options and helpers that several commands share."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from thalweg.errors import ConfigError
from thalweg.tracking.address import DEFAULT_TRACKING_URI

Space = Annotated[str, typer.Argument(metavar="SPACE", help="A file in search_spaces/, or a dotted name.")]
Output = Annotated[Path, typer.Option(help="Folder of all studies.")]
Data = Annotated[Path | None, typer.Option(help="Folder of all data. \\[default: $THALWEG_DATA, or data]")]
DataSet = Annotated[
    str | None,
    typer.Option(
        help="Data set, instead of the one that space or preset name; `thalweg data list` shows them."
    ),
]
Samples = Annotated[
    int | None, typer.Option(min=1, help="Budget of a trial in training samples, instead of the space's.")
]
Trials = Annotated[
    int | None, typer.Option(min=1, help="Number of trials, those of earlier sessions included.")
]
MaxHours = Annotated[
    float | None, typer.Option(help="Hours in which trials have been running after which no more begin.")
]
LearnFrom = Annotated[
    list[str] | None,
    typer.Option(
        help="Earlier study on the same data whose best trials the search begins with; may be repeated."
    ),
]
Storage = Annotated[
    str | None, typer.Option(help="SQLAlchemy URL of a database with the study, instead of a file.")
]
Tracking = Annotated[
    str | None,
    typer.Option(
        help=f"MLflow's database or server. \\[default: $MLFLOW_TRACKING_URI, or {DEFAULT_TRACKING_URI}]"
    ),
]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster; `auto` finds this machine's. \\[default: starts one]")
]
Lanes = Annotated[int | None, typer.Option(min=1, help="Trials that train at the same time.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes that train one trial together.")]
Gpus = Annotated[float | None, typer.Option(min=0, help="GPUs of each worker.")]
TakeOver = Annotated[
    bool,
    typer.Option(
        "--take-over", help="Continue a study in a database although the machine that ran it is gone."
    ),
]
AcceptCodeChange = Annotated[
    bool,
    typer.Option(
        "--accept-code-change",
        help="Continue a study although its family's code has changed; this is recorded.",
    ),
]
StudyName = Annotated[str | None, typer.Option(help="Name of the study. \\[default: the space's name]")]
Plain = Annotated[bool, typer.Option("--plain", help="One line per event instead of a live view.")]
RUNS = Path("thalweg_runs")


def terminal() -> Console:
    """Returns the terminal; silent on all but the first of several workers."""
    return Console(quiet=os.environ.get("RANK", "0") != "0", highlight=False)


def teller(console: Console) -> Callable[[str], None]:
    """Returns a function that prints a sentence for people as it is, without markup."""
    return lambda text: console.print(text, markup=False, soft_wrap=True)


def typed_command() -> str:
    """Returns the command as it was typed."""
    return shlex.join(["thalweg", *sys.argv[1:]])


def assignments(values: list[str]) -> dict[str, str]:
    """Parses ``name=value`` options.

    Raises:
        ConfigError: An option is not of this form.
    """
    pairs = [value.partition("=") for value in values]
    if broken := [name for name, sign, _ in pairs if not (name and sign)]:
        raise ConfigError(f"an option must be name=value, got {broken[0]!r}")
    return {name.strip(): value for name, _, value in pairs}


def trial_numbers(words: str | None) -> list[int]:
    """Parses the numbers of trials, such as ``4,15,1``; none for None.

    Raises:
        ConfigError: They are no numbers.
    """
    if words is None:
        return []
    numbers = words.replace(",", " ").split()
    if not numbers or not all(number.isdecimal() for number in numbers):
        raise ConfigError(f"--trials must be numbers of trials, such as 4,15,1, got {words!r}")
    return [int(number) for number in numbers]


def tracked(tracking_uri: str | None) -> str:
    """Returns MLflow's address, which is checked.

    Raises:
        ConnectionFailed: It does not answer.
    """
    from thalweg.tracking.address import check_tracking, default_uri

    uri = tracking_uri or default_uri()
    check_tracking(uri)
    return uri
