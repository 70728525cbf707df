"""Studies that were run, found by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thalweg.analysis import studies
from thalweg.errors import StudyError
from thalweg.search.space import load_space
from thalweg.search.starting.run_options import Options


def test_an_unknown_study_is_refused_with_those_that_there_are(
    tmp_path: Path, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "rivers", [0.5])
    with pytest.raises(StudyError, match=r"no study 'lakes'.*found: rivers"):
        studies.find(tmp_path, "lakes")
    with pytest.raises(StudyError, match=r"no study 'river' in .*; did you mean 'rivers'\?"):
        studies.find(tmp_path, "river")
    with pytest.raises(StudyError, match=r"found: none\); `thalweg search SPACE` runs one, --output names"):
        studies.find(tmp_path / "empty", "lakes")


def test_a_new_study_has_no_earlier_trials(tmp_path: Path) -> None:
    assert studies.earlier_trials(Options(name="new", output=tmp_path)) == ()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("change", "is_finished"),
    [
        ({}, True),
        ({"overrides": {"dataset": "other"}}, False),
        ({"overrides": {"samples": 256}}, True),  # a budget is told by its own setting
        ({"study": {"samples": 512}}, False),
        ({"study": {"num_trials": 3}}, False),
        ({"study": {"metric": "mse_first"}}, False),
    ],
)
def test_a_study_is_finished_for_the_space_by_which_it_was_defined(
    tmp_path: Path, run_study: Callable[..., None], change: dict[str, Any], is_finished: bool
) -> None:
    run_study(tmp_path, "rivers", [0.5, 0.25], num_trials=2)
    space = load_space("spaces.toys").with_settings(first_trials=(), num_trials=2)
    settings = {**space.study.model_dump(), **change.get("study", {})}
    other = replace(space, study=type(space.study)(**settings), overrides=change.get("overrides", {}))
    found = studies.finished(tmp_path, "rivers", other)
    assert (found is not None) == is_finished
    assert studies.finished(tmp_path, "lakes", space) is None
