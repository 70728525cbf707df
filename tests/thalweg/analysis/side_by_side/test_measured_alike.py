"""When numbers of trials may be compared."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thalweg.analysis.side_by_side.chosen_trials import Side
from thalweg.analysis.side_by_side.measured_alike import check_measured_alike
from thalweg.contract import Metric
from thalweg.errors import StudyError
from thalweg.search.store.records import StudyRecord, TrialRecord

SKILL = Metric(name="skill", mode="max", unit="1", search_invariant=True, meaning="a skill")
Make = Callable[..., Side]


@pytest.fixture
def side(make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]) -> Make:
    """Makes the only trial of a study."""

    def side(name: str, digest: str | None = "aaa", *, mode: str = "max", **changes: Any) -> Side:
        trial = make_trial(0, 0.5, config={"dataset": changes.pop("dataset", "lakes")}, protocol=digest)
        family = changes.pop("family", "families.toy")
        record = make_record(trial, mode=mode)
        record = replace(
            record, name=name, metrics=(SKILL,), definition={**record.definition, "family": family}
        )
        record = replace(record, **changes)
        return Side(study=record, folder=Path(name), trial=trial, label=f"{name}:0")

    return side


def test_equal_protocols_are_accepted_and_a_trial_that_was_never_evaluated_has_its_studys(
    side: Make, make_trial: Callable[..., TrialRecord]
) -> None:
    one = side("one")
    check_measured_alike([one, side("other")])
    failed = replace(one, trial=make_trial(1, None, status="failed", protocol=None))
    assert failed.protocol == "aaa"
    check_measured_alike([one, failed])
    check_measured_alike([side("old", None), replace(side("old", None), label="old:1")])  # of one study


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (
            {"protocol": {"data": "a1", "split": "val", "days": [1, 3]}},
            {"protocol": {"split": "val", "days": [1, 7], "data": "b2"}},
            r"differ in the data's fingerprint \(a1 and b2\), days \(\[1, 3\] and \[1, 7\]\);",
        ),
        ({"dataset": "lakes"}, {"dataset": "rivers"}, "differ in their data sets, lakes and rivers;"),
        ({}, {"family": "families.other"}, "differ in their families, families.toy and families.other;"),
        ({}, {}, "differ in what an earlier version of Thalweg did not record: their data, or how they were"),
    ],
)
def test_other_protocols_are_refused_with_what_differs(
    side: Make, one: dict[str, Any], other: dict[str, Any], told: str
) -> None:
    with pytest.raises(StudyError, match=told):
        check_measured_alike([side("one", "aaa", **one), side("other", "bbb", **other)])


def test_a_study_that_recorded_no_protocol_is_compared_with_no_other(side: Make) -> None:
    with pytest.raises(StudyError, match=r"got aaa \(one\) and none \(other\)"):
        check_measured_alike([side("one"), side("other", None)])
    with pytest.raises(
        StudyError, match="must record their evaluation protocol to be compared, got one and other"
    ):
        check_measured_alike([side("one", None), side("other", None)])


def test_other_objectives_directions_and_units_are_refused(side: Make) -> None:
    with pytest.raises(
        StudyError, match=r"one objective to be compared, got skill \(max\) in one, skill \(min\)"
    ):
        check_measured_alike([side("one"), side("other", mode="min")])
    percent = replace(SKILL, unit="%")
    with pytest.raises(StudyError, match=r"got skill in 1 \(max\) and, in other, in % \(max\)"):
        check_measured_alike([side("one"), side("other", metrics=(percent,))])
