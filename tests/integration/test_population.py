"""A population on real Ray, DeepSpeed and Optuna: two lanes train four members in turns."""

from pathlib import Path

import pytest

from tests.integration.test_search import Watcher
from thalweg.events import StudyEnded, TrialEnded, TrialProgress
from thalweg.search.preflight import prepare
from thalweg.search.run import search
from thalweg.search.space import load_space
from thalweg.search.starting.run_options import Options
from thalweg.search.store.records import StudyRecord

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(400),
    # Ray warns of its own deprecations while Tune runs in this process.
    pytest.mark.filterwarnings("ignore:::ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

Searched = tuple[StudyRecord, Watcher, Path]


@pytest.fixture(scope="module")
def searched(ray_address: str, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """The record of the study, what was told, and its folder."""
    output, watcher = tmp_path_factory.mktemp("population"), Watcher()
    options = Options(name="members", output=output / "runs")
    record = search(prepare(load_space("spaces.members"), output / "data"), options, [watcher])
    return record, watcher, options.directory


def test_a_population_ends_with_as_many_trained_members(searched: Searched) -> None:
    record, watcher, _ = searched
    over = [trial for trial in record.trials if trial.is_over]
    assert [trial.status for trial in over] == ["complete"] * 4
    assert all(trial.samples == 256 and trial.value is not None for trial in over)
    heirs = [trial for trial in record.trials if trial.parent is not None]
    assert len(heirs) == 3
    for heir in heirs:
        loser, parent = record.trials[heir.replaces or 0], record.trials[heir.parent or 0]
        assert loser.status == "pruned" and loser.reason.startswith("replaced: it is among the worst 1 of 4")
        assert heir.params["width"] == parent.params["width"]
        assert heir.params["lr"] != parent.params["lr"]
        assert heir.curve[0][0] > heir.parent_samples
    assert sorted(event.number for event in watcher.of(TrialEnded)) == list(range(7))
    assert watcher.of(StudyEnded)[-1].end == "finished"


def test_all_train_to_a_mark_before_one_goes_on(searched: Searched) -> None:
    _, watcher, _ = searched
    points = [(event.samples, event.number) for event in watcher.of(TrialProgress)]
    assert [samples for samples, _ in points] == [mark for mark in (64, 128, 192, 256) for _ in range(4)]
    assert len(set(points)) == 16


def test_only_the_best_member_keeps_its_checkpoint(searched: Searched) -> None:
    record, _, folder = searched
    best = record.best()
    assert best is not None
    assert {path.name for path in (folder / "checkpoints").glob("trial-*")} == {f"trial-{best.number:05d}"}
