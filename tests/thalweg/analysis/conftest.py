"""Studies and events without Ray, storage or training."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from thalweg.events import StudyStarted
from thalweg.search.records import StudyRecord, TrialRecord


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
