"""A study's record gives all that a trial needs to be trained again, or says what can be done."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import StudyError
from thalweg.search.reproduction.original import code_at, of_study
from thalweg.search.store.records import StudyRecord, TrialRecord

Make = Callable[..., Any]
CURVE = ((400, 0.25), (800, 0.5))


@pytest.fixture
def study(make_record: Make) -> Callable[..., StudyRecord]:
    """A study with two evaluations of each trial."""

    def make(*trials: TrialRecord) -> StudyRecord:
        record: StudyRecord = make_record(*trials)
        return replace(record, definition={**record.definition, "num_evaluations": 2})

    return make


def test_the_best_trial_is_described_by_its_record(study: Make, make_trial: Make, tmp_path: Path) -> None:
    known = {"config": {"seed": 3}, "curve": CURVE, "protocol": "abc", "ended_as": "complete"}
    trained = ({"since": 400, "num_threads": 2},)
    found = of_study(study(make_trial(0, 0.1), make_trial(1, **known, trained=trained)), None, tmp_path)
    assert (found.title, found.family, found.metric) == ("trial 1 of rivers", "families.toy", "skill")
    assert (found.evaluations, found.curve, found.num_threads) == ((400, 800), CURVE, 2)
    assert found.metrics["loss"] == 7.5 and found.points(400) == CURVE[:1]


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "trial 0 of rivers is running; wait for it"),
        (1, "was refused before it began: no such size; `thalweg check` says"),
        (2, "failed before: its workers were lost; mend that"),
        (3, "got trial 3 of rivers, which trial 5 continues; add --trial 5"),
        (6, r"got no .*rivers/sources/rain.pt; put the file back"),
        (7, "no trial 7 in rivers"),
        (None, "must have a complete trial to have a best one"),
    ],
)
def test_a_trial_that_cannot_be_reproduced_says_what_can_be_done(
    study: Make, make_trial: Make, tmp_path: Path, number: int | None, told: str
) -> None:
    failed: dict[str, Any] = {"status": "failed", "value": None}
    stopped: dict[str, Any] = {"status": "failed", "config": {"seed": 1}, "curve": CURVE, "interrupted": True}
    inherits = {"seed": 1, "starts_from": ["rain"]}
    record = study(
        make_trial(0, status="running"),
        make_trial(1, **failed, reason="no such size", ended_as="infeasible"),
        make_trial(
            2, **failed, config={"seed": 1}, reason="its workers were lost", ended_as="infrastructure"
        ),
        make_trial(3, **stopped),
        make_trial(4, **stopped, continues=3),
        make_trial(5, status="pruned", config={"seed": 1}, curve=CURVE, continues=4),
        make_trial(6, status="pruned", config=inherits, curve=CURVE),
    )
    with pytest.raises(StudyError, match=told):
        of_study(record, number, tmp_path / "rivers")


def test_a_trial_ran_the_code_from_before_later_changes() -> None:
    change: dict[str, Any] = {
        "from_trial": 3,
        "modules": {"a.py": "2", "b.py": None},
        "before": {"a.py": "1", "b.py": "0"},
    }
    study = StudyRecord(name="rivers", code={"a.py": "2", "c.py": "9"}, code_changes=(change,))
    assert code_at(study, 3) == {"a.py": "2", "c.py": "9"}
    assert code_at(study, 2) == {"a.py": "1", "b.py": "0", "c.py": "9"}
    del change["before"]  # as an earlier version recorded it
    assert code_at(study, 2) == {"c.py": "9"} and code_at(StudyRecord(name="empty"), 0) == {}
