"""Paired tests of few runs, beside scipy, statsmodels' definitions and plain loops."""

import math

import numpy as np
import pytest
from scipy import stats

from thalweg.analysis.verdict.paired_tests import (
    PRIOR_DF,
    holm,
    num_hypotheses,
    paired_tests,
    rejected_of,
    seeds_needed,
    shrunken_variances,
    visible_difference,
)


def _holm_slowly(p: np.ndarray, error: float) -> np.ndarray:
    rejected = np.zeros(len(p), bool)
    for step, place in enumerate(np.argsort(p)):
        if p[place] > error / (len(p) - step):
            break
        rejected[place] = True
    return rejected


def _tests_slowly(d: np.ndarray, error: float) -> list[tuple[float, float, float, float]]:
    """Mean, p and the ends of the interval of each rival, one after the other."""
    num_rivals, num_seeds = d.shape
    own = [float(np.var(row, ddof=1)) for row in d]
    found = []
    for row, variance in zip(d, own, strict=True):
        df = num_seeds - 1.0
        if num_rivals > 1:
            variance = (PRIOR_DF * sum(own) / num_rivals + df * variance) / (PRIOR_DF + df)
            df += PRIOR_DF
        error_of_mean = math.sqrt(variance / num_seeds)
        mean = float(row.mean())
        p = 2 * float(stats.t.sf(abs(mean) / error_of_mean, df))
        reach = float(stats.t.isf(error / num_rivals / 2, df)) * error_of_mean
        found.append((mean, p, mean - reach, mean + reach))
    return found


@pytest.mark.parametrize("num_rivals", [1, 2, 3, 7])
@pytest.mark.parametrize("num_seeds", [3, 5, 8])
def test_tests_agree_with_their_definition(num_rivals: int, num_seeds: int) -> None:
    rng = np.random.default_rng(num_rivals)
    many = rng.normal(0.8, 1.0, (40, num_rivals, num_seeds))
    found = paired_tests(many, 0.05)
    for place, d in enumerate(many):
        slow = _tests_slowly(d, 0.05)
        assert found.mean[place] == pytest.approx([one[0] for one in slow])
        assert found.low[place] == pytest.approx([one[2] for one in slow])
        assert found.high[place] == pytest.approx([one[3] for one in slow])
        assert (found.rejected[place] == _holm_slowly(np.array([one[1] for one in slow]), 0.05)).all()
    assert 0 < found.rejected.mean() < 1


def test_a_single_rival_is_tested_as_scipy_tests_it() -> None:
    d = np.random.default_rng(0).normal(0.5, 1.0, (30, 1, 6))
    found = paired_tests(d, 0.05)
    one_sample = stats.ttest_1samp(d[:, 0], 0.0, axis=-1)
    assert (found.rejected[:, 0] == (one_sample.pvalue <= 0.05)).all()
    interval = one_sample.confidence_interval(0.95)
    assert found.low[:, 0] == pytest.approx(interval.low)
    assert found.high[:, 0] == pytest.approx(interval.high)


def test_what_is_not_judged_is_not_rejected_and_does_not_change_the_others() -> None:
    d = np.random.default_rng(1).normal(3.0, 1.0, (3, 5))
    judged = np.array([True, False, True])
    found = paired_tests(d, 0.05, judged=judged)
    assert not found.rejected[1]
    slow = [one[1] for one in _tests_slowly(d[judged], 0.05)]
    assert found.rejected[judged].tolist() == _holm_slowly(np.array([*slow, 1.0]), 0.05)[:2].tolist()
    alone = paired_tests(d, 0.05, judged=judged, before=~judged)
    assert alone.rejected[judged].tolist() == _holm_slowly(np.array(slow), 0.05).tolist()


def test_a_constant_is_tested_with_its_own_variance() -> None:
    d = np.random.default_rng(2).normal(1.0, 1.0, (3, 5))
    pooled = np.array([True, True, False])
    variance, df = shrunken_variances(d.var(-1, ddof=1), 5, pooled)
    assert (variance[2], df[2]) == (pytest.approx(np.var(d[2], ddof=1)), 4)
    assert df[:2].tolist() == [6, 6]
    both = np.var(d[:2], axis=-1, ddof=1)
    assert variance[:2] == pytest.approx((2 * both.mean() + 4 * both) / 6)


def _constants_slowly(p: np.ndarray, error: float, constant: np.ndarray, before: np.ndarray) -> list[bool]:
    """Rejects one by one, a rival or the next constant, at the error that is left."""
    rejected = before.copy()
    while True:
        left = int((~rejected & ~constant).sum()) + bool((~rejected & constant).any())
        new = np.flatnonzero(~rejected & (p <= error / max(left, 1)))
        if not len(new):
            return [bool(each) for each in rejected & ~before]
        rejected[new[np.argmin(p[new])]] = True


def test_constants_count_as_one_hypothesis() -> None:
    rng, seen = np.random.default_rng(4), set()
    for _ in range(400):
        constant = np.arange(6) >= rng.integers(1, 7)
        before, judged = rng.random((2, 6)) < [[0.2], [0.9]]
        p = np.where(judged & ~before, rng.choice([1.0, 0.02, 0.012, 0.009, 0.001], 6), np.inf)
        found = rejected_of(p, 0.05, constant, before).tolist()
        assert found == _constants_slowly(p, 0.05, constant, before)
        seen.add(sum(found))
    assert len(seen) > 3 and num_hypotheses(constant) == (~constant).sum() + constant.any()


def test_more_constants_change_nothing_for_the_others() -> None:
    d = np.random.default_rng(5).normal(1.0, 1.0, (500, 2, 5))
    best = np.random.default_rng(6).normal(0.5, 1.0, (500, 1, 5))
    one = paired_tests(np.concatenate([d, best], 1), 0.05, constant=np.array([False, False, True]))
    several = np.concatenate([d, best, best + 0.1, best + 9.0], 1)
    many = paired_tests(several, 0.05, constant=np.arange(5) > 1)
    assert (many.rejected[:, :3] == one.rejected).all() and (many.low[:, :3] == one.low).all()
    assert many.low[:, 4] == pytest.approx(many.low[:, 2] + 9.0)
    assert many.rejected[:, 4].mean() > one.rejected[:, 2].mean()


def test_equal_differences_have_no_spread_to_judge_by() -> None:
    coarse = paired_tests(np.full((1, 5), 0.3 - 0.1), 0.05)
    assert not coarse.rejected.any() and not coarse.equal.any() and np.isinf(coarse.high).all()
    rounded = paired_tests(np.array([[0.3 - 0.1, 0.4 - 0.2, 0.5 - 0.3]]), 0.05)
    assert not rounded.rejected.any()
    none = paired_tests(np.zeros((1, 5)), 0.05)
    assert none.equal.all() and (none.low == none.high).all()


def test_holm_counts_hypotheses_that_are_not_tested() -> None:
    p = np.array([0.02, np.inf])
    assert holm(p, 0.05, np.array(2)).tolist() == [True, False]
    assert holm(p, 0.05, np.array(3)).tolist() == [False, False]


def test_the_seeds_that_are_needed_show_the_difference_that_they_are_needed_for() -> None:
    # The reference: ceil(2 (2.394 + .842)^2 + 2.394^2 / 4) of three rivals and a difference of one spread.
    assert seeds_needed(1.0, 1.0, 3) == 23
    assert seeds_needed(2.0, 1.0, 3) > 3 * 23
    for num_rivals in (1, 3):
        seen = visible_difference(23, num_rivals)
        assert seeds_needed(1.0, seen * 1.001, num_rivals) <= 23 <= seeds_needed(1.0, seen * 0.97, num_rivals)


def test_the_number_of_seeds_keeps_its_promise_in_a_simulation() -> None:
    rng = np.random.default_rng(3)
    num_seeds = seeds_needed(1.0, 1.2, 1)
    d = 1.2 + rng.normal(0.0, math.sqrt(2), (4000, 1, num_seeds))
    assert paired_tests(d, 0.05).rejected.mean() == pytest.approx(0.8, abs=0.05)
