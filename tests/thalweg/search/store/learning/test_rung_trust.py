"""What trials that ran to the end say about a rung, against scipy and by hand."""

from statistics import correlation

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from thalweg.search.store.learning.rung_trust import PRIOR, RungTrust, rung_correlation

RUNG, LATER, END = 100, 300, 900


def ended(*curves: tuple[float, float, float], judged_from: int = 0) -> list[FrozenTrial]:
    """Trials that ran to the end, with their values at both rungs and there."""
    return [
        optuna.trial.create_trial(
            state=TrialState.COMPLETE,
            value=last,
            intermediate_values={RUNG: first, LATER: second, END: last},
            user_attrs={"judged_from": judged_from} if judged_from else None,
        )
        for first, second, last in curves
    ]


def slow_ranks(values: tuple[int, ...]) -> list[float]:
    """Ranks from 0 on; equal values share the mean of theirs."""
    order = sorted(values)
    places = {value: [place for place, other in enumerate(order) if other == value] for value in values}
    return [sum(places[value]) / len(places[value]) for value in values]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=20))
def test_the_correlation_is_that_of_ranks(pairs: list[tuple[int, int]]) -> None:
    found = rung_correlation([(float(rung), float(end)) for rung, end in pairs])
    rungs, ends = zip(*pairs, strict=True)
    if min(len(set(rungs)), len(set(ends))) == 1:
        assert found is None
    else:
        assert found == pytest.approx(correlation(slow_ranks(rungs), slow_ranks(ends)))


def test_two_trials_say_nothing() -> None:
    assert rung_correlation([(0.0, 1.0), (1.0, 0.0)]) is None
    trust = RungTrust(ended((1, 1, 2), (2, 2, 1)), (RUNG, LATER))
    assert trust.correlation(RUNG) == PRIOR
    assert trust.tells
    assert not trust.may_stop(RUNG)


def test_the_prior_counts_like_two_trials() -> None:
    trust = RungTrust(ended((1, 3, 1), (2, 2, 2), (3, 1, 3)), (RUNG, LATER))
    assert trust.correlation(RUNG) == pytest.approx((3 * 1 + 2 * PRIOR) / 5)
    assert trust.correlation(LATER) == pytest.approx((3 * -1 + 2 * PRIOR) / 5)


def test_a_rung_that_misleads_silences_the_others() -> None:
    curves = [(float(-value), float(value), float(value)) for value in range(8)]
    assert RungTrust(ended(*curves), (LATER,)).may_stop(LATER)
    assert not RungTrust(ended(*curves), (RUNG, LATER)).may_stop(LATER)
    assert not RungTrust(ended(*curves), (RUNG, LATER)).tells


def test_a_trial_that_is_not_judged_yet_says_nothing_about_the_rung() -> None:
    curves = [(float(-value), float(value), float(value)) for value in range(8)]
    assert RungTrust(ended(*curves, judged_from=200), (RUNG, LATER)).correlation(RUNG) == PRIOR
    assert RungTrust(ended(*curves, judged_from=200), (RUNG, LATER)).correlation(LATER) > 0.9


def test_a_stopped_trial_is_expected_to_gain_what_the_median_gained() -> None:
    trust = RungTrust(ended((4, 3, 1), (5, 4, 3), (9, 8, 2)), (RUNG, LATER))
    assert trust.expected_end(RUNG, 6.0) == 6 - 3
    assert trust.expected_end(LATER, 6.0) == 6 - 2
    assert RungTrust([], (RUNG,)).expected_end(RUNG, 6.0) == 6
