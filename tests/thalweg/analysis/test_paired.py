"""Differences between groups of trials over what both were tried with."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from scipy.stats import ttest_rel

from thalweg.analysis.groups import groups
from thalweg.analysis.paired import differences
from thalweg.search.store.records import StudyRecord, TrialRecord

# Seeds differ by .3, and within each seed b lies .02 or so above a.
VALUES = {"a": [0.10, 0.40, 0.70], "b": [0.12, 0.43, 0.71], "c": [0.30, 0.20, 0.95]}


@pytest.fixture
def seeds(make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]) -> StudyRecord:
    """Three fusions with three seeds each."""
    trials = [
        make_trial(
            10 * place + seed,
            value,
            params={"fusion": fusion, "seed": seed},
            config={"model": {"fusion": fusion}, "seed": seed},
        )
        for place, (fusion, values) in enumerate(VALUES.items())
        for seed, value in enumerate(values)
    ]
    return make_record(*reversed(trials), mode="min")


@pytest.mark.parametrize("name", ["fusion", "model.fusion"])
def test_groups_are_compared_within_seeds_as_a_paired_t_test_does(seeds: StudyRecord, name: str) -> None:
    found = groups(seeds, [name])
    assert [group.key[0] for group in found] == ["a", "b", "c"]
    first, *others = differences(found)
    assert first is None
    for fusion, difference in zip("bc", others, strict=True):
        assert difference is not None
        assert difference.values == pytest.approx(
            [other - one for one, other in zip(VALUES["a"], VALUES[fusion], strict=True)]
        )
        expected = ttest_rel(VALUES[fusion], VALUES["a"]).confidence_interval(0.95)
        assert difference.interval == pytest.approx((expected.low, expected.high))


def test_what_spreads_over_seeds_hide_is_shown_within_them(
    seeds: StudyRecord, make_record: Callable[..., StudyRecord]
) -> None:
    small, large = differences(groups(seeds, ["fusion"]))[1:]
    assert small is not None
    assert large is not None
    assert small.mean == pytest.approx(0.02)
    assert small.interval[0] < 0 < small.interval[1]  # three seeds do not show .02 +- .01
    assert not large.is_shown
    farther = [
        replace(trial, value=trial.value + 0.1) if trial.params["fusion"] == "b" else trial
        for trial in seeds.trials
        if trial.value is not None
    ]
    found = groups(make_record(*farther, mode="min"), ["fusion"])
    shown = {group.key[0]: each for group, each in zip(found, differences(found), strict=True)}["b"]
    assert shown is not None
    assert shown.is_shown


def test_only_what_both_were_tried_with_is_compared(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]
) -> None:
    cells = [("a", 0.1, 0, 1.0), ("a", 0.2, 1, 2.0), ("a", 0.2, 2, 9.0)]
    cells += [
        ("b", 0.1, 0, 1.5),
        ("b", 0.2, 1, 2.25),
        ("b", 0.3, 2, 0.0),
        ("b", 0.2, 1, 2.75),
        ("c", 0.1, 0, 3.0),
    ]
    trials = [
        make_trial(number, value, params={"fusion": fusion, "lr": lr, "seed": seed})
        for number, (fusion, lr, seed, value) in enumerate(cells)
    ]
    found = groups(make_record(*trials, mode="min"), ["fusion"])
    by_name = {group.key[0]: each for group, each in zip(found, differences(found), strict=True)}
    assert found[0].key == ("b",)
    assert by_name["a"] is not None
    assert by_name["a"].values == pytest.approx(
        (-0.5, -0.5)
    )  # 2.25 and 2.75 are one setting, seed 2 has two rates
    assert by_name["c"] is None  # one pair has no spread


def test_a_search_whose_trials_share_nothing_has_no_differences(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]
) -> None:
    trials = [
        make_trial(number, float(number), params={"fusion": "ab"[number % 2], "lr": 0.01 * number})
        for number in range(6)
    ]
    assert differences(groups(make_record(*trials), ["fusion"])) == [None, None]
