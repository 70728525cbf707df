"""Where a study lies, and the commands that follow a search or repeat a trial."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.search.overrides import options_of
from thalweg.search.store.records import StudyRecord
from thalweg.search.store.storage import RUNS, output_flag
from thalweg.wording import as_seen

if TYPE_CHECKING:
    from thalweg.search.starting.run_options import Options
    from thalweg.study import Study


def places(options: Options, record: StudyRecord, tracking_uri: str) -> dict[str, str]:
    """Returns where a study and its best checkpoint lie, and where MLflow records it."""
    found = {
        "study folder": as_seen(options.directory),
        "MLflow": f"{tracking_uri}, experiment {options.name}",
    }
    best = record.best()
    if best is not None and best.checkpoint:
        found["best checkpoint"] = as_seen(best.checkpoint)
    return found


def next_commands(
    space: str,
    options: Options,
    study: Study,
    flags: Mapping[str, Any],
    *,
    has_best: bool = True,
    stopped: bool = False,
) -> dict[str, str]:
    """Returns commands to go on with after a search, by what they do.

    Args:
        space: Name of the search space.
        options: Where and how the study ran.
        study: Its settings. More trials than the cells of a grid would repeat some, so groups are compared instead.
        flags: Further options of the search with their values; None for a default.
        has_best: Whether a trial is complete.
        stopped: Whether the search was stopped, so that it goes on with as many trials.
    """
    named = None if options.name == space else options.name
    output = None if options.output == RUNS else options.output
    kept = {"--output": output, "--storage": options.storage}
    more = {"--study": named, "--address": options.address, **kept, **flags}
    uri = {"--tracking-uri": flags.get("--tracking-uri")}
    best = {"use the best": _command(f"thalweg best {options.name}", kept)} if has_best else {}
    if (axes := axes_of(study)) and not stopped:
        groups = f"thalweg show {options.name} {' '.join(f'--by {shlex.quote(name)}' for name in axes)}"
        last = {"compare groups": _command(groups, kept)}
    else:
        num_trials = study.num_trials * (1 if stopped else 2)
        if len(study.first_trials) > study.num_trials:  # some cells of a grid are left
            num_trials = min(num_trials, len(study.first_trials))
        last = {"carry on": _command(f"thalweg search {space} --trials {num_trials}", more)}
    return {"compare trials": _command("thalweg ui", uri), **best, **last}


def axes_of(study: Study) -> list[str]:
    """Returns the parameters, but the seed, whose combinations are all trials of a study; none if it samples others."""
    trials = study.first_trials
    if len(trials) != study.num_trials:
        return []
    names = dict.fromkeys(name for trial in trials for name in trial)
    values = {name: {repr(trial.get(name)) for trial in trials} for name in names if name != "seed"}
    return [name for name, tried in values.items() if len(tried) > 1]


def train_command(
    space: str, params: Mapping[str, Any], output: Path = RUNS, overrides: Mapping[str, Any] | None = None
) -> str:
    """Writes the command that trains one parameter set, one parameter per line.

    Args:
        space: Name of the search space.
        params: Values by name.
        output: Folder of all studies, in which the trial's starting points are found.
        overrides: What the study's command replaced of the space: its data set, its budget.
    """
    options = [options_of({name: value}) for name, value in (overrides or {}).items()]
    options += [f"--param {shlex.quote(f'{name}={value}')}" for name, value in params.items()]
    return " \\\n  ".join([f"thalweg train {shlex.quote(space)}{output_flag(output)}", *options])


def _command(words: str, flags: Mapping[str, Any]) -> str:
    given = [f"{flag} {shlex.quote(str(value))}" for flag, value in flags.items() if value is not None]
    return " ".join([words, *given])
