"""A study that starts from the best trial of another one, on real DeepSpeed and Optuna.

The first one that does so runs on Ray. The others ask what no process boundary changes, and train in this process.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from local_lanes import local_lanes

from thalweg.events import BaselineEvaluated, Event, Notice, StudyStarted, TrialStarted
from thalweg.search.preflight import prepare
from thalweg.search.run import search
from thalweg.search.space import Space, load_space
from thalweg.search.starting.run_options import Options
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.training import baselines
from trainables.rgb_lidar.worlds.synthetic import make, small_recipe

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(400),
    # Ray warns of its own deprecations while Tune runs in this process.
    pytest.mark.filterwarnings("ignore:::ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

WIDTH = 12


@dataclass
class Watcher:
    """Keeps all events."""

    events: list[Event] = field(default_factory=list)

    def handle(self, event: Event) -> None:
        """Takes one event."""
        self.events.append(event)

    def close(self) -> None:
        """Nothing to deliver."""

    def of(self, kind: type[Any]) -> list[Any]:
        """Returns the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


def _search(space: Space, name: str, output: Path) -> tuple[StudyRecord, Watcher]:
    options, watcher = Options(name=name, output=output / "runs"), Watcher()
    return search(
        prepare(space, output / "data", starting_points=options.starting_points), options, [watcher]
    ), watcher


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both studies lie."""
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(scope="module")
def first(folder: Path) -> TrialRecord:
    """The best trial of the study ``toys``."""
    params = tuple({"trouble": "none", "width": WIDTH, "lr": lr} for lr in (1e-2, 1e-3))
    space = load_space("spaces.toys").with_settings(
        num_trials=2, num_lanes=1, first_trials=params, scheduler="none"
    )
    with local_lanes():
        best = _search(space, "toys", folder)[0].best()
    assert best is not None
    return best


@pytest.fixture(scope="module")
def second(ray_address: str, folder: Path, first: TrialRecord) -> tuple[StudyRecord, Watcher]:
    """A study that starts from it."""
    return _search(load_space("spaces.toys_again"), "again", folder)


Second = tuple[StudyRecord, Watcher]


def test_every_trial_completes_with_what_it_inherits(first: TrialRecord, second: Second) -> None:
    record, _ = second
    assert [trial.status for trial in record.trials] == ["complete"] * 3
    assert {trial.config["width"] for trial in record.trials} == {WIDTH}
    assert first.protocol is not None
    assert {trial.protocol for trial in record.trials} == {first.protocol}


def test_before_training_the_model_is_the_best_of_the_other_study(first: TrialRecord, second: Second) -> None:
    found = {event.name: event.metrics["mse"] for event in second[1].of(BaselineEvaluated)}
    assert found["before_training"] == pytest.approx(first.value, rel=1e-6)


def test_the_records_and_the_narration_say_where_the_study_starts(first: TrialRecord, second: Second) -> None:
    _, watcher = second
    (started,) = watcher.of(StudyStarted)
    trials = watcher.of(TrialStarted)
    said = f"trial {first.number}, mse {first.value:.4g} after 256 samples, sha256 "
    assert started.tags["starts_from/toys"].startswith(said)
    assert {trial.tags["starts_from/toys"] for trial in trials} == {started.tags["starts_from/toys"]}
    assert all(trial.config["starts_from"] == ["toys"] for trial in trials)
    sentence = f"starts from toys, trial {first.number}: mse {first.value:.4g}"
    assert sentence in [notice.text for notice in watcher.of(Notice)]


def test_a_continued_study_starts_from_the_same_weights_without_the_other_study(
    folder: Path, first: TrialRecord, second: Second
) -> None:
    shutil.rmtree(folder / "runs" / "toys")
    known = folder / "runs" / "again" / "checkpoints"
    before = baselines.read(known)
    (known / "baselines.json").unlink()
    with local_lanes():
        record, watcher = _search(
            load_space("spaces.toys_again").with_settings(num_trials=4), "again", folder
        )
    assert [trial.status for trial in record.trials] == ["complete"] * 4
    assert baselines.read(known) == before
    (now,) = watcher.of(StudyStarted)
    (then,) = second[1].of(StudyStarted)
    assert now.tags["starts_from/toys"] == then.tags["starts_from/toys"]


@pytest.fixture(scope="module")
def scenes(folder: Path) -> Path:
    """A folder with small scenes under the name that the spaces of the family ask for."""
    target = folder / "data" / "rgb_lidar" / "tiny"
    target.mkdir(parents=True)
    make(target, small_recipe(40, side=16))
    return folder


def test_a_projector_starts_from_the_best_contrastive_trial_by_name(scenes: Path) -> None:
    alone = {"num_trials": 1, "num_evaluations": 1, "num_lanes": 1, "scheduler": "none", "min_samples": 64}
    embedder = {"downsampling": "avgpool", "embedding_dim": 16, "batch_size": 16}
    cilp = load_space("rgb_lidar_cilp").with_settings(samples=64, first_trials=(embedder,), **alone)
    with local_lanes():
        first = _search(cilp, "rgb_lidar_cilp", scenes)[0].best()
    assert first is not None
    asked = {"hidden_dim": 64, "depth": 2, "target": "maps", "loss": "cosine"}
    projector = load_space("rgb_lidar_projector").with_settings(samples=192, first_trials=(asked,), **alone)
    with local_lanes():
        record, watcher = _search(projector, "rgb_lidar_projector", scenes)
    (trial,) = record.trials
    assert trial.status == "complete"
    assert trial.config["model"]["embedder"] == first.config["model"]["embedder"]
    assert first.config["model"]["embedder"]["downsampling"] == "avgpool"
    assert {name: trial.config["model"]["projector"][name] for name in asked} == asked
    (started,) = watcher.of(StudyStarted)
    assert started.tags["starts_from/rgb_lidar_cilp"].startswith(f"trial {first.number}, retrieval_r1 ")
