"""`thalweg search --learn-from`: what is told and recorded, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from local_lanes import local_lanes
from typer.testing import Result

from thalweg.search.store.records import read_study

RUNS = Path("thalweg_runs")
FIRST = ("search", "spaces.toys", "--plain", "--lanes", "1", "--no-pictures", "--no-check")


@pytest.mark.slow
def test_a_search_begins_with_the_best_of_an_earlier_one(run: Callable[..., Result], untracked: None) -> None:
    with local_lanes():
        run(*FIRST, "--study", "earlier", "--trials", "6")
        first = read_study(RUNS / "earlier", "earlier")
        found = run(*FIRST, "--study", "later", "--trials", "5", "--learn-from", "earlier")
        refused = run("search", "quickstart", "--plain", "--learn-from", "earlier", "--no-check")
    best = first.best()
    assert best is not None
    assert "learns from earlier: the first trials lie about the best of its" in " ".join(found.output.split())
    later = read_study(RUNS / "later", "later")
    assert later.trials[4].params == best.params  # after the four that the space names
    (lesson,) = later.definition["study"]["lessons"]
    assert (lesson["study"], lesson["trials"][0]) == ("earlier", best.number)
    assert refused.exit_code == 2
    assert "one of the same family, which is trainables.water_mae: 'earlier' has" in " ".join(
        refused.output.split()
    )


def test_an_unknown_study_is_told(run: Callable[..., Result], untracked: None) -> None:
    with local_lanes():
        refused = run(*FIRST, "--learn-from", "erlier")
    assert refused.exit_code == 2
    assert "a study to learn from must lie beside its own, got no 'erlier'" in " ".join(
        refused.output.split()
    )
