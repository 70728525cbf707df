"""A population by its commands: a search that is stopped and goes on, its schedules, and a schedule trained again."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from local_lanes import local_lanes
from typer.testing import CliRunner, Result

from thalweg.cli.app import app
from thalweg.events import Event, TrialStarted
from thalweg.search.preflight import prepare
from thalweg.search.run import search
from thalweg.search.space import load_space
from thalweg.search.starting.run_options import Options
from thalweg.search.store.population.lineage import chain, curve_of
from thalweg.search.store.records import StudyRecord, read_study

pytestmark = pytest.mark.slow


class Stopping:
    """Stops a search once: when the first heir begins."""

    stopped = False

    def handle(self, event: Event) -> None:
        """Sends what Ctrl-C sends."""
        if isinstance(event, TrialStarted) and "parent" in event.tags and not self.stopped:
            self.stopped = True
            signal.raise_signal(signal.SIGINT)

    def close(self) -> None:
        """Nothing to deliver."""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a population that was stopped and went on."""
    folder = tmp_path_factory.mktemp("members")
    options = Options(name="members", output=folder / "runs")
    prepared, stopping = prepare(load_space("spaces.members"), folder / "data"), Stopping()
    with local_lanes():
        halfway = search(prepared, options, [stopping])
        assert any(trial.status == "waiting" for trial in halfway.trials)
        search(prepared, options, [stopping])
    return folder / "runs"


@pytest.fixture
def record(output: Path) -> StudyRecord:
    return read_study(output / "members", "members")


@pytest.fixture
def run(output: Path) -> Callable[..., Result]:
    def command(name: str, *words: str) -> Result:
        return CliRunner().invoke(app, [name, "members", *words, "--output", str(output)])

    return command


def longest(record: StudyRecord) -> int:
    """Number of the complete trial whose schedule has the most segments."""
    return max(record.ranking(), key=lambda trial: len(chain(record.trials, trial.number))).number


def test_a_population_that_was_stopped_ends_with_all_its_members(record: StudyRecord) -> None:
    over = [trial for trial in record.trials if trial.is_over]
    assert [(trial.status, trial.samples) for trial in over] == [("complete", 256)] * 4
    assert sum(trial.replaced_by is not None for trial in record.trials) == 3
    assert {trial.replaced_by for trial in record.trials if trial.status == "pruned"} >= {
        trial.number for trial in record.trials if trial.parent is not None and trial.continues is None
    }


def test_a_schedule_is_trained_again_bit_for_bit(
    run: Callable[..., Result], record: StudyRecord, output: Path
) -> None:
    number = longest(record)
    segments = chain(record.trials, number)
    assert len(segments) >= 2
    result = run("reproduce", "--trial", str(number), "--data", str(output.parent / "data"))
    told = " ".join(result.output.split())
    assert result.exit_code == 0, result.output
    for samples, value in curve_of(segments):
        assert f"{samples} {value!r} {value!r} =" in told
    assert re.search(r"equal bit for bit: 4 evaluations and \d+ metrics of the last one", told)
    assert not (output / "reproduce").exists()


def test_the_lineage_is_shown_and_written(
    run: Callable[..., Result], record: StudyRecord, tmp_path: Path
) -> None:
    number = longest(record)
    result = run("lineage", "--trial", str(number), "--json", str(tmp_path / "schedule.json"))
    assert result.exit_code == 0, result.output
    (found,) = json.loads((tmp_path / "schedule.json").read_text())["schedules"]
    segments = chain(record.trials, number)
    assert [(each["from"], each["to"]) for each in found["segments"]] == [(s.start, s.end) for s in segments]
    for segment in segments:
        assert re.search(rf"{segment.start} to {segment.end}\s+{segment.trial}\b", result.output)


def test_the_best_trial_names_the_command_that_trains_its_schedule(
    run: Callable[..., Result], record: StudyRecord
) -> None:
    best = record.best()
    assert best is not None
    told = " ".join(run("best").output.split())
    command = (
        f"thalweg reproduce members --trial {best.number}" if best.parent is not None else "thalweg train"
    )
    assert command in told
    assert "thalweg lineage members" in told or best.parent is None


def test_what_needs_constant_values_is_refused(run: Callable[..., Result]) -> None:
    for words in (("show", "--importance"), ("confirm", "--yes")):
        result = run(*words)
        assert result.exit_code == 2
        assert "needs trials whose values stay while they train, got 'members', a population" in result.output
