"""The Pareto front of a study, from its record to the terminal, a picture and MLflow."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from matplotlib import image
from rich.console import Console

from thalweg.analysis.pareto.front import front_of
from thalweg.analysis.pareto.front_picture import store_front
from thalweg.console.analyses.front_view import footnote, show_front, verdict
from thalweg.contract import Metric, Mode
from thalweg.errors import StudyError
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.tracking import additions

SIZE = "cost/num_parameters"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def study(make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]) -> StudyRecord:
    """Trials with (skill, parameters, rmse); 0, 2 and 3 are the front of skill and size."""
    rows = [(0.5, 10, 3.0), (0.4, 20, 2.0), (0.9, 90, 4.0), (0.7, 30, 1.0), (0.7, 40, 0.5)]
    trials = [
        make_trial(
            number,
            skill,
            params={"width": size, "fusion": "mean"},
            metrics={"skill": skill, SIZE: float(size), "rmse": rmse},
            ended=BEGAN + timedelta(seconds=10 - number),  # the last one ended first
        )
        for number, (skill, size, rmse) in enumerate(rows)
    ]
    pruned = make_trial(9, None, status="pruned", metrics={"skill": 0.99, SIZE: 1.0})
    lacking = make_trial(8, 0.95, metrics={"skill": 0.95})
    modes: dict[str, Mode] = {"skill": "max", "rmse": "min"}
    metrics = tuple(
        Metric(name=name, mode=mode, unit="1", search_invariant=True, meaning=name)
        for name, mode in modes.items()
    )
    return replace(make_record(*trials, lacking, pruned), metrics=metrics)


def test_the_front_holds_what_no_complete_trial_beats_in_all(study: StudyRecord) -> None:
    found = front_of(study, [SIZE])
    assert dict(found.modes) == {"skill": "max", SIZE: "min"}
    assert [trial.number for trial in found.members] == [2, 3, 0]
    assert sorted(trial.number for trial in found.others) == [1, 4]
    assert found.num_left_out == 1 and "1 trial without finite values left out" in footnote(found)
    assert [trial.number for trial in front_of(study, ["rmse"]).members] == [2, 4]
    assert [trial.number for trial in front_of(study, ["rmse", SIZE]).members] == [2, 3, 4, 0, 1]


def test_the_hypervolume_grows_as_trials_end(study: StudyRecord) -> None:
    volumes = front_of(study, [SIZE]).volumes
    assert [number for number, _ in volumes] == [4, 3, 2, 1, 0]
    # Scaled skill loss is (.9 - skill) / .5 and scaled size (size - 10) / 80, with the reference at 1.1.
    assert volumes[0][1] == pytest.approx((1.1 - 0.4) * (1.1 - 0.375) / 1.21)
    assert [value for _, value in volumes] == sorted(value for _, value in volumes)
    assert volumes[2][1] == pytest.approx(((1.1 - 0.4) * (1.1 - 0.25) + 0.4 * (1.1 - 1.0)) / 1.21)


@pytest.mark.parametrize(
    ("names", "law"),
    [
        (["skil"], r"got 'skil'; did you mean 'skill'\?"),
        (["cost/epoch_s"], r"got 'cost/epoch_s'"),
        (["skill"], r"of two metrics at least, got 'skill' alone"),
        ([], r"of two metrics at least"),
    ],
)
def test_what_is_no_front_is_refused(study: StudyRecord, names: list[str], law: str) -> None:
    with pytest.raises(StudyError, match=law):
        front_of(study, names)


def test_a_front_of_no_trial_is_refused(study: StudyRecord) -> None:
    with pytest.raises(StudyError, match=r"needs a complete trial with skill, rmse, got none"):
        front_of(
            replace(
                study, trials=tuple(replace(trial, metrics={"rmse": float("nan")}) for trial in study.trials)
            ),
            ["rmse"],
        )


def test_trials_that_break_a_constraint_are_no_part_of_the_front(study: StudyRecord) -> None:
    bounded = {**study.definition["study"], "at_most": {SIZE: 35.0}}
    found = front_of(replace(study, definition={**study.definition, "study": bounded}), ["rmse"])
    assert [trial.number for trial in found.members] == [3]
    assert sorted(trial.number for trial in found.others) == [0, 1]
    assert "3 trials beyond a constraint left out" in footnote(found)
    none = {**bounded, "at_most": {SIZE: 1.0}}
    with pytest.raises(StudyError, match=f"with skill, rmse that keeps {SIZE} at most 1, got none"):
        front_of(replace(study, definition={**study.definition, "study": none}), ["rmse"])


def test_the_table_shows_the_front_and_what_differs_in_it(study: StudyRecord) -> None:
    console = Console(width=100, record=True, file=StringIO())
    found = front_of(study, [SIZE])
    show_front(found, study, console)
    told = console.export_text()
    assert "rivers  Pareto front" in told and "skill (the more the better)" in told
    rows = [line.split() for line in told.splitlines() if line.strip()[:1].isdigit()]
    assert rows[:3] == [["2", "0.9000", "90", "90"], ["3", "0.7000", "30", "30"], ["0", "0.5000", "10", "10"]]
    assert "fusion" not in told and verdict(found) in told


@pytest.mark.parametrize("width", [60, 80])
def test_the_table_fits_its_terminal(study: StudyRecord, width: int) -> None:
    many = {f"a_parameter_with_a_long_name_{number}": number for number in range(6)}
    trials = [
        replace(trial, params={name: value * trial.number for name, value in many.items()})
        for trial in study.trials
    ]
    record = replace(study, trials=tuple(trials))
    console = Console(width=width, record=True, file=StringIO())
    show_front(front_of(record, [SIZE]), record, console)
    told = console.export_text()
    assert max(map(len, told.splitlines())) <= width and "\u2026" not in told
    assert ("a_parameter_with_a_long_name_1" in told) == (width == 80)


def test_a_trial_that_is_best_in_all_is_said_to_be(study: StudyRecord) -> None:
    alone = replace(study, trials=study.trials[3:5])
    assert verdict(front_of(alone, [SIZE])) == "trial 3 is best in all objectives, of 2 complete trials"


def test_the_picture_goes_to_mlflow_and_its_trials_are_tagged(
    study: StudyRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagged: list[tuple[list[int], list[int], str]] = []
    monkeypatch.setattr(additions, "add_study_pictures", lambda *words: "run")
    monkeypatch.setattr(
        additions,
        "tag_front",
        lambda uri, name, folder, front, rest, words: tagged.append((front, rest, words)),
    )
    volumes: list[tuple[str, int]] = []
    monkeypatch.setattr(
        additions,
        "add_hypervolumes",
        lambda uri, name, folder, objectives, found: volumes.append((objectives, len(found))),
    )
    told = store_front(front_of(study, [SIZE]), study, tmp_path, "sqlite:///none.db")
    assert tagged == [([2, 3, 0], [4, 1], f"skill and {SIZE}")]
    assert volumes == [("skill-cost_num_parameters", 5)]
    assert f"tags.pareto_front = 'skill and {SIZE}'" in told
    [picture] = (tmp_path / "pictures" / "fronts").rglob("*.png")
    assert picture.name == "skill-cost_num_parameters.png"
    assert image.imread(picture).std() > 0.05
