"""Trials grouped by a parameter."""

import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from thalweg.analysis import groups
from thalweg.analysis.paired import differences
from thalweg.contract import Metric
from thalweg.errors import StudyError
from thalweg.search.store.records import StudyRecord, TrialRecord

VALUES = {"add": [0.5, 0.7, 0.9], "concat": [0.6, 0.9, 0.9], "gated": [0.1]}


def test_groups_hold_complete_trials_only_and_the_best_mean_comes_first(fusions: StudyRecord) -> None:
    found = groups.groups(fusions, ["fusion"])
    assert [group.key for group in found] == [("concat",), ("add",), ("gated",)]
    for group in found:
        values = VALUES[group.key[0]]
        assert sorted(group.values) == values
        assert group.mean == pytest.approx(sum(values) / len(values))
        assert group.spread == (pytest.approx(statistics.stdev(values)) if len(values) > 1 else None)


def test_the_smallest_mean_comes_first_where_small_is_better(
    fusions: StudyRecord, make_record: Callable[..., StudyRecord]
) -> None:
    found = groups.groups(make_record(*fusions.trials, mode="min"), ["fusion"])
    assert [group.key[0] for group in found] == ["gated", "add", "concat"]


def test_a_knob_of_the_configuration_groups_too(fusions: StudyRecord) -> None:
    by_knob, by_param = groups.groups(fusions, ["model.fusion"]), groups.groups(fusions, ["fusion"])
    assert [group.trials for group in by_knob] == [group.trials for group in by_param]
    assert len(groups.groups(fusions, ["model.fusion", "seed"])) == 7


def test_the_last_word_of_a_knob_is_enough_unless_two_end_in_it(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]
) -> None:
    config = {"optimization": {"lr": 0.1}, "embedder": {"depth": 2}, "projector": {"depth": 3}}
    record = make_record(make_trial(0, 0.5, params={"seed": 0}, config=config))
    assert [group.key for group in groups.groups(record, ["lr"])] == [("0.1",)]
    with pytest.raises(StudyError, match=r"got 'depth'; try one of embedder\.depth, projector\.depth"):
        groups.groups(record, ["depth"])


def test_what_was_not_searched_is_refused_with_what_was(fusions: StudyRecord) -> None:
    with pytest.raises(
        StudyError, match=r"got 'fusoin'; did you mean 'fusion'\? 'rivers' searched fusion, seed"
    ):
        groups.groups(fusions, ["fusoin"])


def test_a_study_without_a_complete_trial_is_refused(make_record: Callable[..., StudyRecord]) -> None:
    with pytest.raises(StudyError, match="complete trials to be grouped"):
        groups.groups(make_record(), ["fusion"])


@pytest.fixture
def with_errors(fusions: StudyRecord) -> StudyRecord:
    """The fusions with an error, which is smaller where skill is; one trial has none, and one is not finite."""
    common: dict[str, Any] = {"unit": "1", "search_invariant": True, "meaning": "a number"}
    skill, error = Metric(name="skill", mode="max", **common), Metric(name="error", mode="min", **common)
    extra = {0: math.nan, 1: 0.2, 2: 0.4, 3: 0.9, 4: 0.7, 5: 0.8}
    trials = tuple(
        replace(trial, metrics={**trial.metrics, "error": extra[trial.number]})
        if trial.number in extra
        else trial
        for trial in fusions.trials
    )
    return replace(fusions, trials=trials, metrics=(skill, error))


def test_groups_are_judged_by_another_metric_in_its_own_direction(with_errors: StudyRecord) -> None:
    judged = groups.judged_by(with_errors, "error")
    found = groups.groups(judged, ["fusion"])
    assert [group.key[0] for group in found] == ["add", "concat"]
    assert found[0].values == [0.2, 0.4]
    assert found[0].mean == pytest.approx(0.3)
    (difference,) = [each for each in differences(found) if each is not None]
    assert difference.values == pytest.approx((0.5, 0.4))  # seeds 1 and 2 have both
    assert groups.groups(groups.judged_by(with_errors, "skill"), ["fusion"]) == groups.groups(
        with_errors, ["fusion"]
    )


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("erorr", r"did you mean 'error'\?"),
        ("skill_rain", r"did you mean 'skill'\?"),
        ("cost/num_parameters", "there is skill, error"),
    ],
)
def test_groups_are_not_judged_by_what_no_family_declares(
    with_errors: StudyRecord, name: str, way_out: str
) -> None:
    with pytest.raises(StudyError, match=f"got '{name}'; {way_out}$"):
        groups.judged_by(with_errors, name)
