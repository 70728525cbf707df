"""What a search refuses before anything is booked."""

from dataclasses import replace
from pathlib import Path

import pytest

from thalweg.errors import StudyError
from thalweg.search.ledger import Evaluation, Ledger, Proposal
from thalweg.search.prepare import prepare
from thalweg.search.run import Options, search
from thalweg.search.space import load_space


def test_a_study_on_data_that_have_changed_does_not_start(tmp_path: Path) -> None:
    prepared = prepare(load_space("spaces.toys"), tmp_path / "data")
    options = Options(name="toys", output=tmp_path)
    ledger = Ledger.open(options.directory, options.name, prepared.space)
    trial = ledger.ask()
    assert isinstance(trial, Proposal)
    ledger.report(trial.number, Evaluation(samples=16, value=1.0, protocol=prepared.facts["protocol_hash"]))
    ledger.fail(trial.number, "why")
    ledger.close()
    changed = replace(prepared, facts={**prepared.facts, "protocol_hash": "other"})
    with pytest.raises(StudyError, match=r"keeps its evaluation protocol: 'toys' has .*, got other"):
        search(changed, options, [])
