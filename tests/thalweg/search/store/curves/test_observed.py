"""What a curve process sees of trials: losses, thinned curves, stand-ins, and what running ones change."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from thalweg.search.store.curves import observed
from thalweg.search.store.curves.observed import Seen, curves_of, drawn_near, thinned
from thalweg.search.store.records import BROKEN, JUDGED_FROM, OUTCOME

SAMPLES = 800
MIN, MAX = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE


def trial_of(
    number: int,
    values: Sequence[float],
    state: TrialState = TrialState.COMPLETE,
    attrs: Mapping[str, Any] = {},
) -> FrozenTrial:
    x = (number * 0.37) % 1
    trial = create_trial(
        state=state,
        value=values[-1] if state == TrialState.COMPLETE else None,
        params={"x": x},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values={100 * (index + 1): value for index, value in enumerate(values)},
        user_attrs=dict(attrs),
    )
    trial.number = number
    return trial


WHOLE = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]


def test_a_curve_is_of_losses_at_shares_of_the_budget() -> None:
    trials = [trial_of(0, WHOLE), trial_of(1, [3.0, 2.5], TrialState.PRUNED)]
    low, high = (curves_of(trials, direction, SAMPLES) for direction in (MIN, MAX))
    assert low[1].points == ((0.125, 3.0), (0.25, 2.5))
    assert high[1].points == ((0.125, -3.0), (0.25, -2.5))
    assert low[0].points[-1] == (1.0, 1.0)
    assert [curve.is_complete for curve in low] == [True, False]


def test_what_comes_before_a_trial_is_judged_is_not_seen() -> None:
    (curve,) = curves_of([trial_of(0, WHOLE, attrs={JUDGED_FROM: 300})], MIN, SAMPLES)
    assert curve.points[0] == (0.375, 6.0)


def test_a_trial_that_diverged_is_seen_at_the_end_with_the_worst_loss() -> None:
    trials = [
        trial_of(0, WHOLE),
        trial_of(1, [3.0, 2.5], TrialState.PRUNED),
        trial_of(2, [0.1, 9e9], TrialState.FAIL, attrs={OUTCOME: {"ended_as": "diverged"}}),
        trial_of(3, [0.1], TrialState.FAIL, attrs={OUTCOME: {"ended_as": "infrastructure"}}),
    ]
    found = {curve.trial.number: curve for curve in curves_of(trials, MIN, SAMPLES)}
    assert found.keys() == {0, 1, 2}
    assert found[2].points == ((1.0, 2.5),)
    assert not found[2].is_rival
    assert curves_of([trials[2]], MIN, SAMPLES) == []


def test_one_that_does_not_fit_is_seen_likewise() -> None:
    too_large = trial_of(1, [], TrialState.PRUNED)
    too_large.set_constraint("memory", 1.0)
    found = curves_of([trial_of(0, WHOLE), too_large], MIN, SAMPLES)
    assert found[1].points == ((1.0, 1.0),)


def test_the_incumbent_is_the_best_complete_rival() -> None:
    broken = trial_of(0, [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 0.0], attrs={BROKEN: "too large"})
    trials = [broken, trial_of(1, WHOLE), trial_of(2, [0.5], TrialState.PRUNED)]
    seen = Seen(curves_of(trials, MIN, SAMPLES))
    means = np.array([-3.0, -1.0, -2.0])
    assert seen.incumbent(means) == -1.0
    assert seen.incumbent(means, without=1) == -2.0  # none is complete, so any that was seen
    assert Seen(curves_of(trials[:1], MIN, SAMPLES)).incumbent(means[:1]) is None


def test_a_running_trial_changes_no_fit() -> None:
    ended = [trial_of(n, [v + n * 0.3 for v in WHOLE]) for n in range(3)]
    fits = []
    for values in ([], [5.0], [50.0, 40.0]):
        running = trial_of(3, values, TrialState.RUNNING)
        seen = Seen(curves_of([*ended, running], MIN, SAMPLES))
        fits.append((seen.process().hyperparameters, seen.process().ends(seen.features)[0][3]))
    assert (fits[0][0] == fits[1][0]).all()
    assert (fits[0][0] == fits[2][0]).all()
    assert len({mean for _, mean in fits}) == 3  # but what is expected of it


def test_extra_ends_are_seen() -> None:
    seen = Seen(curves_of([trial_of(0, WHOLE), trial_of(1, [], TrialState.RUNNING)], MIN, SAMPLES))
    observations = seen.observations({1: -0.4})
    assert observations.rows.tolist() == [0] * 8 + [1]
    assert (observations.shares[-1], observations.losses[-1]) == (1.0, -0.4)


def test_many_evaluations_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observed, "MAX_EVALUATIONS", 12)
    trials = [trial_of(n, WHOLE) for n in range(4)]
    observations = Seen(curves_of(trials, MIN, SAMPLES)).observations()
    assert np.bincount(observations.rows).tolist() == [3, 3, 3, 3]
    assert observations.shares[2::3].tolist() == [1.0] * 4


def test_of_many_trials_the_best_and_the_newest_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observed, "MAX_TRIALS", 4)
    ends = [5.0, 1.0, 6.0, 2.0, 7.0, 8.0, 9.0]
    trials = [trial_of(n, [10.0, end]) for n, end in enumerate(ends)]
    trials.append(trial_of(7, [4.0], TrialState.RUNNING))
    assert [curve.trial.number for curve in curves_of(trials, MIN, SAMPLES)] == [1, 3, 5, 6, 7]


@given(st.lists(st.integers(), max_size=30), st.integers(1, 12))
def test_thinning_keeps_the_last_and_no_more_than_asked(points: list[int], most: int) -> None:
    indexed = list(enumerate(points))
    found = thinned(indexed, most)
    assert len(found) == min(most, len(points))
    assert found == sorted(found)
    assert found[-1:] == indexed[-1:]


@given(
    median=st.floats(-10, 10),
    reach=st.floats(0.01, 10),
    losses=st.lists(st.floats(-20, 1e6), min_size=2, max_size=2).map(sorted),
)
def test_a_loss_far_behind_is_drawn_near_in_the_same_order(
    median: float, reach: float, losses: list[float]
) -> None:
    less, more = (drawn_near(loss, (median, reach)) for loss in losses)
    assert less <= more <= max(median + 2 * reach, losses[1] if losses[1] <= median + reach else -np.inf)
    assert [less == losses[0], more == losses[1]] == [loss - median <= reach for loss in losses]


GOOD = [[3.0 + 0.1 * number, 1.0 + 0.1 * number] for number in range(6)]


def losses_of(*curves: Sequence[float]) -> list[float]:
    trials = [trial_of(number, curve, TrialState.PRUNED) for number, curve in enumerate(curves)]
    return list(map(float, Seen(curves_of(trials, MIN, SAMPLES)).observations().losses))


@pytest.mark.parametrize("outlier", [10.0, 1e3, 1e6])
def test_an_outlier_leaves_the_others_apart(outlier: float) -> None:
    """Of seven trials, or all would lie within a millionth."""
    ends = losses_of(*GOOD, [3.0, outlier])[1::2]
    assert ends[:6] == sorted(ends[:6])
    assert ends[5] - ends[0] > 0.4
    assert ends[6] > ends[5]


def test_early_losses_of_steep_curves_stay_apart() -> None:
    """They lie far behind the last ones, but not behind one another: the differences are those of the ends."""
    early, late = losses_of(*GOOD)[::2], losses_of(*GOOD)[1::2]
    assert np.diff(early) == pytest.approx(np.diff(late))


def test_few_losses_stay_as_they_are() -> None:
    ends = losses_of(*GOOD[:3], [3.0, 1e3])[1::2]
    assert np.std(ends) == pytest.approx(1.0)
    assert ends[3] - ends[2] > 1e3 * (ends[1] - ends[0])
