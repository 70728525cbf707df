"""A study that ends before its number of trials, as a user sees it: which limit ended it, and how it goes on."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_lanes import local_lanes
from typer.testing import Result

from thalweg.search.store.records import StudyRecord, read_study

SPACE = '''
"""A study with a limit."""
from families.toy.config import Toy
from thalweg.config import Optimization
from thalweg.study import Study, Trial

study = Study(
    metric="mse", mode="min", samples=64, num_trials=40, num_evaluations=1, sampler="random", scheduler="none",
    num_lanes=1, LIMITS
)

def space(trial: Trial) -> Toy:
    """How much is enough?"""
    return Toy(optimization=Optimization(lr=trial.suggest_float("lr", 1e-4, 1e-2, log=True), batch_size=16))
'''

Search = Callable[..., tuple[str, StudyRecord]]


@pytest.fixture
def search(
    run: Callable[..., Result], untracked: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Search]:
    """Searches a space with limits, in this process; returns what was told, and the study."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # texts of one length, written in the same second
    (tmp_path / "lab").mkdir()

    def search(limits: str, *options: str) -> tuple[str, StudyRecord]:
        sys.modules.pop("lab.limits", None)
        (tmp_path / "lab" / "limits.py").write_text(SPACE.replace("LIMITS", limits))
        with local_lanes():
            result = run("search", "lab.limits", "--no-check", "--no-pictures", "--plain", *options)
        assert result.exit_code == 0, result.output
        record = read_study(tmp_path / "thalweg_runs" / "lab.limits", "lab.limits")
        return " ".join(result.output.split()), record

    yield search
    for name in ("lab.limits", "lab"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_a_limit_of_samples_ends_a_study_which_goes_on_if_it_is_raised(
    search: Search, run: Callable[..., Result]
) -> None:
    told, record = search("max_total_samples=300,")
    assert [trial.status for trial in record.trials] == ["complete"] * 5  # four have seen 256
    why = "finished: its trials saw 320 samples, max_total_samples is 300; raise it to go on"
    assert record.ended == why
    assert why in told
    assert f"last session {why}" in " ".join(run("show", "lab.limits").output.split())
    told, record = search("max_total_samples=310,")
    assert (len(record.trials), record.ended.partition(",")[0]) == (5, why.partition(",")[0])
    told, record = search("max_total_samples=330,")
    assert len(record.trials) == 6


@pytest.mark.slow
def test_a_study_ends_once_the_next_trials_are_expected_to_bring_too_little(search: Search) -> None:
    told, record = search("min_improvement=10.0, lookahead=3,")
    assert len(record.trials) == 8  # fewer tell nothing
    assert re.search(r"finished: the next 3 trials are expected to improve mse by 0\.\d+, min_imp", told)


def test_hours_are_an_option_of_the_command(search: Search) -> None:
    told, record = search("", "--max-hours", "1e-9")
    assert len(record.trials) == 1
    assert "hours, max_hours is 1e-09; raise it to go on" in told
