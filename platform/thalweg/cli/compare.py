"""The command that shows trials, studies or options of a parameter side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.cli.options import RUNS, Output, Storage, Tracking, teller, terminal, tracked, trial_numbers
from thalweg.errors import ConfigError

if TYPE_CHECKING:
    from thalweg.search.store.records import StudyRecord

Named = Annotated[
    list[str], typer.Argument(metavar="STUDY[:TRIAL]...", help="Trials, or studies for their best trials.")
]
Numbers = Annotated[str | None, typer.Option("--trials", help="Trials of the one study: `3 7`.")]
By = Annotated[str | None, typer.Option(help="Compare the options of a parameter of the one study.")]
Judged = Annotated[str | None, typer.Option(help="Compare by this metric instead of the objective.")]
SettingsAlone = Annotated[
    bool,
    typer.Option(
        "--configuration-only", help="Show how settings differ, also where numbers cannot be compared."
    ),
]
Pictures = Annotated[
    bool, typer.Option("--pictures", help="Draw the curves, or the options, also into MLflow.")
]
Units = Annotated[
    bool,
    typer.Option("--units", help="Compare trials in pairs over the places, years or scenes of the split."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the comparison as JSON, for programs.")]


def compare(
    names: Named,
    trials: Numbers = None,
    by: By = None,
    metric: Judged = None,
    configuration_only: SettingsAlone = False,
    units: Units = False,
    pictures: Pictures = False,
    as_json: AsJson = False,
    output: Output = RUNS,
    storage: Storage = None,
    tracking_uri: Tracking = None,
) -> None:
    """Shows trials or studies side by side: what differs in configuration, metrics, cost and curves; runs nothing.

    Examples: `thalweg compare quickstart --trials 3,7`, `thalweg compare quickstart:3 other:5`,
    `thalweg compare quickstart other`, `thalweg compare rgb_lidar_fusion --by fusion`

    Numbers that were measured differently are refused, with what differs: another evaluation protocol, other data,
    another objective. `--by` shows the options of a parameter at equal budget and at equal numbers of model
    parameters. A difference between single trials is no finding: the command names the `thalweg confirm` that
    settles it.
    """
    asked = _Asked(
        names=names,
        trials=trials,
        metric=metric,
        numbers=not configuration_only,
        units=units,
        as_json=as_json,
        output=output,
        storage=storage,
    )
    _check(asked, by, pictures=pictures)
    uri = tracked(tracking_uri) if pictures else None
    if by is None:
        _compare_trials(asked, uri)
    else:
        _compare_options(asked, by, uri)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the options ask for."""

    names: list[str]
    trials: str | None
    metric: str | None
    numbers: bool
    units: bool
    as_json: bool
    output: Path
    storage: str | None

    def find(self, name: str) -> StudyRecord:
        """Reads a study, judged by the metric that was asked for."""
        from thalweg.analysis import studies
        from thalweg.analysis.groups import judged_by

        record = studies.find(self.output, name, self.storage)
        return record if self.metric is None else judged_by(record, self.metric)


def _check(asked: _Asked, by: str | None, *, pictures: bool) -> None:
    """Refuses options that do not go together.

    Raises:
        ConfigError: Some do not.
    """
    beside = {
        "further studies": len(asked.names) > 1,
        "--trials": asked.trials is not None,
        "--units": asked.units,
        "--configuration-only": not asked.numbers,
    }
    if by is not None and any(beside.values()):
        got = ", ".join(name for name, is_given in beside.items() if is_given)
        raise ConfigError(f"--by compares the options of a parameter in one study, got {got} beside it")
    told = {"--metric": asked.metric is not None, "--units": asked.units, "--pictures": pictures}
    if not asked.numbers and any(told.values()):
        got = ", ".join(name for name, is_given in told.items() if is_given)
        raise ConfigError(f"--configuration-only shows no numbers, got {got} beside it; give one of the two")
    if asked.metric is not None and asked.units:
        raise ConfigError(
            "--units compares trials by the objective, got --metric beside it; give one of the two"
        )


def _compare_trials(asked: _Asked, uri: str | None) -> None:
    from thalweg.analysis.side_by_side.chosen_trials import chosen
    from thalweg.analysis.side_by_side.compared_json import trials_as_json
    from thalweg.analysis.side_by_side.study_settings import compare_studies
    from thalweg.analysis.side_by_side.trials_compared import compare_trials
    from thalweg.console.comparisons.studies_view import show_studies
    from thalweg.console.comparisons.trials_view import show_trials, show_units

    sides = chosen(asked.names, trial_numbers(asked.trials), asked.output, asked.find)
    found = compare_trials(sides, asked.output, storage=asked.storage, numbers=asked.numbers)
    studies = compare_studies(found.studies) if len(found.studies) > 1 else None
    over = None
    if asked.units:
        from thalweg.analysis.side_by_side.paired_units import compare_units  # torch

        over = compare_units(sides)
    console = terminal()
    if asked.as_json:
        print(json.dumps(trials_as_json(found, studies, over), indent=1))
    else:
        if studies is not None:
            show_studies(studies, console, numbers=asked.numbers)
        show_trials(found, console, with_units=asked.units)
        if over is not None:
            show_units(over, sides[0].label, console)
    if uri is not None:
        from thalweg.analysis.side_by_side.curves_picture import store_curves  # matplotlib

        _tell(store_curves(found, uri), asked)


def _compare_options(asked: _Asked, by: str, uri: str | None) -> None:
    from thalweg.analysis.side_by_side.compared_json import options_as_json
    from thalweg.analysis.side_by_side.options_compared import compare_options
    from thalweg.console.comparisons.options_view import show_options

    [name] = asked.names
    found = compare_options(asked.find(name), by, asked.output, asked.storage)
    if asked.as_json:
        print(json.dumps(options_as_json(found), indent=1))
    else:
        show_options(found, terminal())
    if uri is not None:
        from thalweg.analysis.side_by_side.options_picture import store_options  # matplotlib

        _tell(store_options(found, (asked.output / name).absolute(), uri), asked)


def _tell(sentence: str, asked: _Asked) -> None:
    """Prints a sentence for people, unless a program reads."""
    if not asked.as_json:
        teller(terminal())(sentence)
