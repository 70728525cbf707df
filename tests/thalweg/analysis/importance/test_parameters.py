"""The importance of a study's parameters, from its record to the terminal and a picture."""

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image
from rich.console import Console
from scipy.stats import t as student

from thalweg.analysis.importance import parameters
from thalweg.analysis.importance.importance_picture import store_importance
from thalweg.analysis.importance.parameters import MIN_TRIALS, importance_of, ranks
from thalweg.console.analyses.importance_view import footnote, show_importance, verdict
from thalweg.errors import StudyError
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.tracking import additions

Make = Callable[..., StudyRecord]


@pytest.fixture
def searched(make_trial: Callable[..., TrialRecord], make_record: Make) -> Callable[[int], StudyRecord]:
    """A study in which lr decides, a parameter of one branch does a little, and one does nothing."""

    def study(count: int) -> StudyRecord:
        rng, trials = np.random.default_rng(count), []
        for number in range(count):
            params: dict[str, Any] = {
                "lr": float(rng.uniform(-4, -2)),
                "dead": int(rng.integers(1, 9)),
                "size": 32,
            }
            value = -((params["lr"] + 2.5) ** 2) + 0.05 * float(rng.standard_normal())
            params["fusion"] = str(rng.choice(["mean", "gated"]))
            if params["fusion"] == "gated":
                params["gate"] = float(rng.uniform())
                value += 0.3 * params["gate"]
            trials.append(make_trial(number, value, params=params))
        return make_record(*trials)

    return study


@pytest.mark.slow
def test_what_decides_is_shown_and_what_does_nothing_is_not(searched: Callable[[int], StudyRecord]) -> None:
    found = importance_of(searched(60))
    assert found.parameters[0].name == "lr" and "lr" in found.shown
    by_name = {each.name: each for each in found.parameters}
    assert "dead" not in found.shown
    assert 0 < by_name["gate"].num_trials < 60 == by_name["lr"].num_trials
    assert found.fixed == ("size",) and found.explained > 0.5
    assert "lr matter" in verdict(found) and "one value in all trials: size" in footnote(found)
    assert importance_of(searched(60)) == found, "nothing is drawn anew"


@pytest.mark.slow
def test_ten_trials_do_not_pretend_to_know_what_is_dead(searched: Callable[[int], StudyRecord]) -> None:
    found = importance_of(searched(MIN_TRIALS))
    assert not set(found.shown) - {"lr"}
    widths = [each.interval[1] - each.interval[0] for each in found.parameters]
    assert max(widths) > 0.2


@pytest.mark.slow
def test_nothing_is_shown_by_a_forest_that_explains_nothing(searched: Callable[[int], StudyRecord]) -> None:
    found = replace(importance_of(searched(60)), explained=-0.1)
    assert found.parameters[0].is_shown and found.shown == ()
    assert verdict(found) == "no parameter is shown to matter"


def test_intervals_hold_for_all_parameters_together(
    searched: Callable[[int], StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameters, "standard_errors", lambda encoded, *rest: np.ones(len(encoded.columns)))
    found = importance_of(searched(40)).parameters
    reach = float(student.ppf(1 - 0.05 / (2 * len(found)), 19))
    assert [each.interval[1] - each.importance for each in found] == pytest.approx([reach] * len(found))


def test_stopped_trials_rank_behind_complete_ones_by_how_far_they_came(
    make_trial: Callable[..., TrialRecord],
) -> None:
    trials = [
        make_trial(0, 0.2),
        make_trial(1, 0.9),
        make_trial(2, None, status="pruned", curve=((100, 0.95),)),
        make_trial(3, None, status="pruned", curve=((100, 0.1), (300, 0.3))),
        make_trial(4, None, status="pruned", curve=((100, 0.99),)),
        make_trial(5, 0.2),
    ]
    assert (6 * ranks(trials, smaller_is_better=False)).tolist() == [2.5, 1, 6, 4, 5, 2.5]
    assert (6 * ranks(trials, smaller_is_better=True)).tolist() == [1.5, 3, 5, 4, 6, 1.5]


@pytest.mark.slow
def test_stopped_trials_are_evidence_and_failed_ones_are_not(
    searched: Callable[[int], StudyRecord], make_trial: Callable[..., TrialRecord], make_record: Make
) -> None:
    whole = searched(30)
    cut = [
        make_trial(
            trial.number,
            trial.value,
            params=trial.params,
            **({"status": "pruned", "curve": ((100, trial.value),)} if (trial.value or 0) < -0.5 else {}),
        )
        for trial in whole.trials
    ]
    failed = make_trial(99, None, status="failed", params={"lr": -2.0})
    found = importance_of(make_record(*cut, failed))
    assert found.num_stopped == sum(trial.status == "pruned" for trial in cut) > 0
    assert found.num_complete + found.num_stopped == 30
    assert [each.importance for each in found.parameters] == [
        each.importance for each in importance_of(whole).parameters
    ]
    assert f"{found.num_stopped} stopped early" in footnote(found)


@pytest.mark.parametrize(
    ("params", "count", "law"),
    [
        ({"lr": 0.1}, MIN_TRIALS - 1, r"at least 10 complete or stopped trials, got 9 in 'rivers'"),
        ({"lr": 0.1}, MIN_TRIALS, r"got one value of its parameters in 'rivers'"),
        (None, MIN_TRIALS, r"got one value of its objective in 'rivers'"),
    ],
)
def test_what_tells_nothing_is_refused(
    params: dict[str, Any] | None,
    count: int,
    law: str,
    make_trial: Callable[..., TrialRecord],
    make_record: Make,
) -> None:
    trials = [make_trial(number, 0.5, params=params or {"lr": float(number)}) for number in range(count)]
    with pytest.raises(StudyError, match=law):
        importance_of(make_record(*trials))


@pytest.mark.slow
def test_the_table_says_what_is_shown(searched: Callable[[int], StudyRecord]) -> None:
    console = Console(width=110, record=True, file=StringIO())
    show_importance("rivers", importance_of(searched(40)), console)
    told = console.export_text()
    assert "rivers  importance of parameters" in told
    lines = {line.split()[0]: line.split() for line in told.splitlines() if line.strip() and "[" in line}
    assert next(iter(lines)) == "lr" and lines["lr"][-1] == "matters"
    assert lines["dead"][-2:] == ["not", "shown"] and lines["dead"][-3] == "40"


@pytest.mark.slow
def test_the_picture_lies_in_the_studys_folder_and_goes_to_mlflow(
    searched: Callable[[int], StudyRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Path] = []
    monkeypatch.setattr(
        additions, "add_study_pictures", lambda uri, study, directory, folder: sent.append(folder)
    )
    told = store_importance(importance_of(searched(20)), "rivers", tmp_path, "sqlite:///none.db")
    picture = tmp_path / "pictures" / "importance" / "importance.png"
    assert sent == [picture.parent] and "not in MLflow" in told
    assert image.imread(picture).std() > 0.05
