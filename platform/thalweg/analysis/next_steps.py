"""Where a study lies, and the commands that follow a search or repeat a trial."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.search.store.records import StudyRecord
from thalweg.search.store.storage import RUNS, output_flag

if TYPE_CHECKING:
    from thalweg.search.run import Options


def near(path: Path) -> str:
    """Writes a path relative to the working directory if it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def places(options: Options, record: StudyRecord, tracking_uri: str) -> dict[str, str]:
    """Returns where a study and its best checkpoint lie, and where MLflow records it."""
    found = {"study folder": near(options.directory), "MLflow": f"{tracking_uri}, experiment {options.name}"}
    best = record.best()
    if best is not None and best.checkpoint:
        found["best checkpoint"] = near(Path(best.checkpoint))
    return found


def next_commands(
    space: str, options: Options, num_trials: int, flags: Mapping[str, Any], *, has_best: bool = True
) -> dict[str, str]:
    """Returns commands to go on with after a search, by what they do.

    Args:
        space: Name of the search space.
        options: Where and how the study ran.
        num_trials: Number of trials with which the search may go on.
        flags: Further options of the search with their values; None for a default.
        has_best: Whether a trial is complete.
    """
    named = None if options.name == space else options.name
    output = None if options.output == RUNS else options.output
    kept = {"--output": output, "--storage": options.storage}
    more = {"--study": named, "--address": options.address, **kept, **flags}
    uri = {"--tracking-uri": flags.get("--tracking-uri")}
    best = {"use the best": _command(f"thalweg best {options.name}", kept)} if has_best else {}
    return {
        "compare trials": _command("thalweg ui", uri),
        **best,
        "carry on": _command(f"thalweg search {space} --trials {num_trials}", more),
    }


def train_command(space: str, params: Mapping[str, Any], output: Path = RUNS) -> str:
    """Writes the command that trains one parameter set, one parameter per line.

    Args:
        space: Name of the search space.
        params: Values by name.
        output: Folder of all studies, in which the trial's starting points are found.
    """
    options = [f"--param {shlex.quote(f'{name}={value}')}" for name, value in params.items()]
    return " \\\n  ".join([f"thalweg train {shlex.quote(space)}{output_flag(output)}", *options])


def _command(words: str, flags: Mapping[str, Any]) -> str:
    given = [f"{flag} {shlex.quote(str(value))}" for flag, value in flags.items() if value is not None]
    return " ".join([words, *given])
