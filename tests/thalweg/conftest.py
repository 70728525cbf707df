"""Studies and events without Ray, storage or training, and pages to draw them on."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from kept import evaluated
from rich.console import Console

from thalweg.events import StudyStarted
from thalweg.search.space import load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import StudyRecord, TrialRecord


@pytest.fixture
def make_trial() -> Callable[..., TrialRecord]:
    """Makes the record of a trial that is complete unless something else is said."""

    def make(number: int, value: float | None = 0.5, **changes: Any) -> TrialRecord:
        defaults: dict[str, Any] = {
            "number": number,
            "status": "complete",
            "value": value,
            "params": {"lr": 0.001 * (number + 1), "fusion": "mean"},
            "config": {},
            "samples": 800,
            "metrics": {} if value is None else {"skill": value, "skill_rain": 0.25, "loss": 7.5},
            "seconds": 61.0,
            "reason": "",
            "curve": (),
            "checkpoint": None,
        }
        return TrialRecord(**(defaults | changes))

    return make


@pytest.fixture
def make_record(make_trial: Callable[..., TrialRecord]) -> Callable[..., StudyRecord]:
    """Makes the record of a study whose metric is ``skill``."""

    def make(*trials: TrialRecord, mode: str = "max") -> StudyRecord:
        definition = {
            "space": "search_spaces.rivers",
            "family": "families.toy",
            "metric": "skill",
            "mode": mode,
            "samples": 800,
            "study": {"num_trials": 10},
        }
        return StudyRecord(name="rivers", definition=definition, trials=trials)

    return make


@pytest.fixture
def started() -> Callable[..., StudyStarted]:
    """Makes the event with which a study of ten trials on two lanes starts."""

    def make(**changes: Any) -> StudyStarted:
        defaults: dict[str, Any] = {
            "study": "rivers",
            "space": "search_spaces.rivers",
            "family": "toy",
            "metric": "skill",
            "mode": "max",
            "num_trials": 10,
            "samples": 800,
            "num_lanes": 2,
            "num_workers": 1,
            "directory": "thalweg_runs/rivers",
            "definition": {"num_evaluations": 8},
        }
        return StudyStarted(**(defaults | changes))

    return make


@pytest.fixture
def page() -> Callable[..., tuple[Console, StringIO]]:
    """Makes a console of a width and the text that is written to it."""

    def make(width: int = 80, **options: Any) -> tuple[Console, StringIO]:
        text = StringIO()
        return Console(file=text, width=width, height=40, highlight=False, **options), text

    return make


@pytest.fixture
def fusions(make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]) -> StudyRecord:
    """A study of three fusions with several seeds, one failed trial and one pruned trial."""
    trials: list[TrialRecord] = []
    values_of = {"add": [0.5, 0.7, 0.9], "concat": [0.6, 0.9, 0.9], "gated": [0.1]}
    for fusion, values in values_of.items():
        for seed, value in enumerate(values):
            metrics = {"skill": value, "skill_rain": value / 2, "cost/num_parameters": 1000.0 * (seed + 1)}
            config = {"model": {"fusion": fusion}, "seed": seed}
            params = {"fusion": fusion, "seed": seed}
            trials.append(make_trial(len(trials), value, params=params, metrics=metrics, config=config))
    known: dict[str, Any] = {
        "params": {"fusion": "add", "seed": 0},
        "config": {"model": {"fusion": "add"}, "seed": 0},
    }
    trials.append(make_trial(7, 0.99, status="pruned", **known))
    return make_record(*trials, make_trial(8, None, status="failed", **known))


@pytest.fixture
def run_study() -> Callable[..., None]:
    """Leaves a study of ``spaces.toys`` with some complete trials in a folder."""

    def run(output: Path, name: str, values: list[float], **settings: Any) -> None:
        space = load_space("spaces.toys").with_settings(first_trials=(), **settings)
        ledger = Ledger.open(output / name, name, space)
        for value in values:
            proposal = ledger.ask()
            assert isinstance(proposal, Proposal)
            metrics = {"mse": value, "mse_first": value, "loss": 9.0}
            evaluation = evaluated(samples=256, value=value, metrics=metrics, final=True)
            ledger.report(proposal.number, evaluation)
            ledger.complete(proposal.number)
        ledger.close()

    return run
