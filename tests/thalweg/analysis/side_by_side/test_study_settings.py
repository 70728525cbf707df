"""Studies side by side: settings, and what their searches took."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from thalweg.analysis.side_by_side.knob_differences import ABSENT
from thalweg.analysis.side_by_side.study_settings import compare_studies, shared_code
from thalweg.search.store.records import StudyRecord, TrialRecord

NOON = datetime(2026, 11, 30, 12)


@pytest.fixture
def studies(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]
) -> tuple[StudyRecord, StudyRecord]:
    """A study of three trials, and one of an earlier version, of which one trial is complete and one running."""
    times = {"started": NOON, "ended": NOON + timedelta(hours=2)}
    one = make_record(
        make_trial(0, 0.5, protocol="aaa", config={"dataset": "lakes"}, **times),
        make_trial(1, 0.7, **times),
        make_trial(2, 0.9, status="pruned", samples=100, **times),
    )
    settings: dict[str, Any] = {
        "num_trials": 3,
        "sampler": "tpe",
        "priors": None,
        "grid": [{"a": 1}, {"a": 2}],
    }
    one = replace(
        one,
        definition={**one.definition, "study": settings},
        protocol={"data": "f1"},
        code={"space.py": "1"},
    )
    other = make_record(make_trial(0, 0.6), make_trial(1, 0.99, status="running"))
    return one, replace(other, name="older")


def test_settings_are_told_with_those_that_were_not_recorded(
    studies: tuple[StudyRecord, StudyRecord],
) -> None:
    rows = {row.name: row.values for row in compare_studies(studies, NOON).settings}
    assert rows["space"] == ("search_spaces.rivers", "search_spaces.rivers")
    assert rows["data fingerprint"] == ("f1", ABSENT) and rows["protocol"] == ("aaa", ABSENT)
    assert rows["data set"] == ("lakes", ABSENT) and rows["shared code"][1] is ABSENT
    assert rows["num_trials"] == (3, 10) and rows["sampler"] == ("tpe", ABSENT)
    assert rows["priors"] == (None, ABSENT)
    assert rows["grid"] == ([{"a": 1}, {"a": 2}], ABSENT)  # as a whole: a grid of a hundred cells has one row


def test_what_searches_took_is_counted_over_trials_that_have_ended(
    studies: tuple[StudyRecord, StudyRecord],
) -> None:
    found = compare_studies(studies, NOON)
    rows = {row.name: row.values for row in found.spent}
    assert rows["trials"] == (3, 1) and rows["complete"] == (2, 1) and rows["pruned"] == (1, 0)
    assert "failed" not in rows
    assert rows["samples in all"] == (1700, 1600) and rows["lane hours"] == (6.0, 0.0)


def test_searches_of_unequal_length_are_compared_by_the_expected_best_of_the_shorter(
    studies: tuple[StudyRecord, StudyRecord],
) -> None:
    found = compare_studies(studies, NOON)
    assert not found.are_equally_long and found.equal_length == 1
    assert found.expected == pytest.approx((0.6, 0.6))
    assert compare_studies((studies[0], studies[0]), NOON).expected == (0.7, 0.7)
    empty = replace(studies[1], trials=())
    assert compare_studies((studies[0], empty), NOON).expected == (None, None)


def test_code_is_compared_as_far_as_studies_share_it(studies: tuple[StudyRecord, StudyRecord]) -> None:
    one = replace(studies[0], code={"lab/task.py": "1", "spaces/rivers.py": "2"})
    other = replace(studies[1], code={"lab/task.py": "1", "spaces/lakes.py": "3"})
    assert list(shared_code([one, other]).values()) == [{"lab/task.py": "1"}] * 2
    row = next(row for row in compare_studies((one, other), NOON).settings if row.name == "shared code")
    assert row.values[0] == row.values[1]
    changed = replace(other, code={**other.code, "lab/task.py": "9"})
    row = next(row for row in compare_studies((one, changed), NOON).settings if row.name == "shared code")
    assert row.values[0] != row.values[1]
