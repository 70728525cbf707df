"""A population on real Ray, DeepSpeed and Optuna: two lanes, four members, and a search that is stopped."""

import signal
from pathlib import Path

import pytest
from local_lanes import local_lanes

from tests.integration.test_search import Watcher
from thalweg.events import Event, StudyEnded, TrialEnded, TrialProgress, TrialStarted
from thalweg.search.preflight import prepare
from thalweg.search.run import Options, search
from thalweg.search.space import load_space
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
    """A population that Ctrl-C stops after its first mark, and that goes on."""
    output = tmp_path_factory.mktemp("population")

    def stop(event: Event) -> None:
        if isinstance(event, TrialStarted) and "parent" in event.tags and not stopped:
            stopped.append(event.number)
            signal.raise_signal(signal.SIGINT)

    stopped: list[int] = []
    first, prepared = Watcher(stop), prepare(load_space("spaces.members"), output / "data")
    options = Options(name="members", output=output / "runs")

    halfway = search(prepared, options, [first])
    assert first.of(StudyEnded)[-1].end == "interrupted"
    assert any(trial.status == "waiting" for trial in halfway.trials)
    watcher = Watcher()
    with local_lanes():
        return search(prepared, options, [watcher]), watcher, output


def test_a_population_ends_with_as_many_trained_members(searched: Searched) -> None:
    record, watcher, _ = searched
    over = [trial for trial in record.trials if trial.is_over]
    assert [trial.status for trial in over] == ["complete"] * 4
    assert all(trial.samples == 256 and trial.value is not None for trial in over)
    heirs = [t for t in record.trials if t.parent is not None and t.continues is None]
    assert 1 <= len(heirs) <= 3
    for heir in heirs:
        loser = record.trials[heir.replaces or 0]
        assert loser.status == "pruned" and loser.reason.startswith("replaced: it is among the worst 1 of 4")
        assert heir.params["width"] == record.trials[heir.parent or 0].params["width"]
    ended = [event.number for event in watcher.of(TrialEnded)]
    assert len(ended) == len(set(ended))
    assert watcher.of(StudyEnded)[-1].end == "finished"


def test_nothing_is_trained_twice(searched: Searched) -> None:
    _, watcher, _ = searched
    trained = [event for event in watcher.of(TrialProgress) if event.timings]
    assert len(trained) <= 12
    points = [(event.number, event.samples) for event in trained]
    assert len(points) == len(set(points))


def test_only_the_best_member_keeps_its_checkpoint(searched: Searched) -> None:
    record, _, output = searched
    kept = {path.name for path in (output / "runs" / "members" / "checkpoints").glob("trial-*")}
    best = record.best()
    assert best is not None
    assert kept == best.folders & kept and len(kept) == 1
