"""Studies that an earlier version wrote are listed, shown and continued; see tests/fixtures/earlier/README.md."""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from thalweg.cli.app import app
from thalweg.search.store.records import read_study
from trainables.rgb_lidar.worlds.synthetic import make, small_recipe

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

FIXTURE = Path(__file__).parents[1] / "fixtures" / "earlier"
PLACE = "/earlier"
"""Stands for the folder in which the studies ran."""

Command = Callable[..., Result]


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A folder in which the earlier version ran its studies, for all that can be seen."""
    folder = tmp_path / "place"
    shutil.copytree(FIXTURE / "runs", folder / "runs")
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix != ".pt":
            file.write_text(file.read_text().replace(PLACE, str(folder)))
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.executescript((FIXTURE / "mlflow.sql").read_text().replace(PLACE, str(folder)))
    return folder


@pytest.fixture
def command(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command on these studies."""
    monkeypatch.chdir(earlier)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--output", "runs"])

    return run


def _search(study: str, *more: str) -> list[str]:
    """Returns the words of a search that goes on with a study."""
    words = ["search", f"spaces.earlier_{study}", "--study", study, "--data", "data"]
    return [*words, "--tracking-uri", "sqlite:///mlflow.db", "--plain", "--no-pictures", *more]


def _runs_of_trials(experiment: str) -> list[tuple[str, str]]:
    """Returns name and status of the runs of trials in an experiment, in the order of their names."""
    with closing(sqlite3.connect("mlflow.db")) as database:
        rows = database.execute(
            "select runs.name, runs.status from runs join experiments using (experiment_id) "
            "where experiments.name = ? and runs.name like 'trial %' order by runs.name",
            (experiment,),
        )
        return list(rows)


def test_they_are_listed_and_shown(command: Command) -> None:
    listed = command("studies")
    assert listed.exit_code == 0, listed.output
    rows = [line.split() for line in listed.stdout.splitlines()]
    assert [row[:6] for row in rows[1:]] == [
        ["scenes", "complete", "2/2", "2", "0", "0"],
        ["toys", "stopped", "2/4", "2", "0", "0"],
    ]
    shown = command("show", "toys", "scenes")
    assert shown.exit_code == 0, shown.output
    assert "0.7791" in shown.stdout
    assert "cross_entropy" in shown.stdout


def test_their_best_trials_are_shown(command: Command) -> None:
    for study, value in (("toys", "mse 0.7791"), ("scenes", "accuracy 0.5000")):
        found = command("best", study)
        assert found.exit_code == 0, found.output
        assert value in found.stdout
        assert "gone" not in found.stdout


def test_a_model_is_exported_from_an_earlier_checkpoint(command: Command) -> None:
    found = command("best", "toys", "--data", "data", "--export", "best.pt")
    assert found.exit_code == 0, found.output
    weights = torch.load("best.pt", weights_only=True)["weights"]
    assert weights["body.0.weight"].shape == (8, 4)


def make_scenes(folder: Path) -> None:
    """Makes the data of the study of scenes as they were made for it."""
    target = folder / "data" / "rgb_lidar" / "mini"
    if not target.exists():
        target.mkdir(parents=True)
        make(target, small_recipe(40, side=16))


@pytest.mark.usefixtures("command")
def test_a_search_goes_on_where_it_was_stopped() -> None:
    before = _runs_of_trials("toys")
    assert [name for name, _ in before] == ["trial 000", "trial 001", "trial 002"]
    # In a process of its own, whose Ray ends with it.
    words = [sys.executable, "-m", "thalweg", *_search("toys"), "--output", "runs"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert not re.search("Traceback|raylet", result.stdout)
    trials = read_study(Path("runs/toys").absolute(), "toys").trials
    assert [trial.interrupted for trial in trials] == [False, False, True, False, False]
    assert trials[3].continues == 2
    assert trials[3].params == trials[2].params
    assert [samples for samples, _ in trials[3].curve] == [32, 64]
    assert "trial 3 continues trial 2" in result.stdout
    assert "from the start" not in result.stdout
    assert {trial.status for trial in trials if not trial.interrupted} == {"complete", "pruned"}
    runs = _runs_of_trials("toys")
    assert [name for name, _ in runs] == [f"trial {number:03d}" for number in range(5)]
    assert [status for _, status in runs] == ["FINISHED", "FINISHED", "KILLED", "FINISHED", "FINISHED"]


def test_a_study_whose_data_are_read_otherwise_is_not_prolonged(command: Command, earlier: Path) -> None:
    make_scenes(earlier)
    result = command(*_search("scenes", "--trials", "3"))
    assert result.exit_code == 2
    assert "protocol" in result.stderr
