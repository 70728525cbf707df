"""A search whose trials have all ended before."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from thalweg.tracking import spool


@pytest.mark.usefixtures("untracked")
def test_a_finished_study_says_so_at_once_and_answers_for_no_other_budget(
    run: Callable[..., Result],
    run_study: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spool, "is_delivered", lambda *_: True)
    run_study(tmp_path / "thalweg_runs", "toys", [0.125], num_trials=1)
    command = ("search", "spaces.toys", "--study", "toys", "--trials", "1")
    told = "study toys has all its 1 trials; --trials 2 carries on"
    uri = ("--tracking-uri", f"sqlite:///{tmp_path}/m.db")
    result = run(*command, *uri)
    assert result.exit_code == 0 and told in result.output, result.output
    assert re.search(r"mse +0\.1250", result.output)
    other = run(*command, *uri, "--samples", "128")
    assert other.exit_code == 2
    assert "keeps its budget in samples: 'toys' has 256, got 128" in " ".join(other.output.split())
