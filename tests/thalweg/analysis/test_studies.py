"""Studies that were run, found by name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from thalweg.analysis import studies
from thalweg.errors import StudyError
from thalweg.search.run import Options


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
