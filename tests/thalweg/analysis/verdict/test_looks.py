"""Verdicts look by look: their words, what is still to be run, and how often they are wrong."""

import numpy as np
import pytest

from thalweg.analysis.verdict.looks import WORDS, Looks, look_by_look, spending, spread_between
from thalweg.analysis.verdict.paired_tests import paired_tests

PLAN = spending(8)
SHAPES = ("equal", "champion x3", "rival x3", "graded", "t4", "skew", "skew, rival x3")


def words(found: Looks) -> list[str]:
    return [WORDS[index] for index in found.words.ravel()]


def noise(shape: str, num_studies: int, seed: int) -> np.ndarray:
    """Runs of four equal configurations with eight seeds, (study, configuration, seed)."""
    rng = np.random.default_rng(seed)
    size, scale = (num_studies, 4, 8), np.ones(4)
    if shape == "t4":
        return np.asarray(rng.standard_t(4, size) / np.sqrt(2))
    if "skew" in shape:
        drawn = np.exp(rng.normal(0, 0.5, size)) / np.exp(0.125) - 1  # log-normal, skewness 1.75
        drawn /= np.sqrt(np.exp(0.25) - 1)
    else:
        drawn = rng.normal(size=size)
    if shape == "champion x3":
        scale[0] = 3
    elif "rival x3" in shape:
        scale[1] = 3
    elif shape == "graded":
        scale = np.array([0.5, 1, 2, 4])
    return np.asarray(drawn * scale[:, None])


def test_the_error_of_all_looks_is_five_percent() -> None:
    assert spending(8) == pytest.approx({3: 0.010, 5: 0.015, 8: 0.025})
    assert spending(12) == pytest.approx({3: 0.005, 5: 0.010, 8: 0.015, 12: 0.020})
    assert all(sum(spending(count).values()) == pytest.approx(0.05) for count in range(3, 40))
    assert spending(3) == pytest.approx({3: 0.05})
    with pytest.raises(ValueError, match="at least 3, got 2"):
        spending(2)


def _reference(values: np.ndarray, error: float, matters: float) -> list[str]:
    """Words of one look, from tests that have a slow twin of their own, in plain language."""
    found = paired_tests(values[:1] - values[1:], error)
    said = []
    for mean, low, high, rejected in zip(found.mean, found.low, found.high, found.rejected, strict=True):
        if -matters < low and high < matters:
            said.append("same")
        elif not rejected:
            said.append("cannot tell")
        elif mean < 0:
            said.append("loses")
        else:
            said.append("beats" if low >= matters else "beats, size open")
    return said


def test_words_of_one_look() -> None:
    rng, seen = np.random.default_rng(0), set()
    for _ in range(100):
        values = rng.normal(0, 0.5, (4, 8)) + rng.choice([0.0, 1.0, 2.5], (4, 1))
        matters = float(rng.choice([0.4, 2.0]))
        said = words(look_by_look(values, {8: 0.025}, matters=matters))
        assert said == _reference(values, 0.025, matters)
        seen |= set(said)
    assert seen == {"same", "cannot tell", "loses", "beats", "beats, size open"}


def test_a_settled_rival_gets_no_more_seeds_and_an_open_one_does() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.1, (3, 8)) + np.array([0.0, -9.0, 0.0])[:, None]
    ended = np.zeros(scores.shape, bool)
    first = look_by_look(scores, PLAN, ended=ended, matters=0.001)
    assert first.wanted.sum() == 9 and first.wanted[:, :3].all() and not first.seeds.any()
    found = look_by_look(scores, PLAN, ended=ended | first.wanted, matters=0.001)
    assert words(found) == ["beats", "cannot tell"]
    more = [False] * 3 + [True] * 2 + [False] * 3
    assert found.wanted.tolist() == [more, [False] * 8, more]
    assert found.seeds.tolist() == [3, 3]
    last = look_by_look(scores, PLAN, matters=0.001)
    assert last.seeds.tolist() == [3, 8] and not last.wanted.any()


def test_a_rival_that_is_lost_to_is_settled() -> None:
    scores = np.array([[0.1, 0.0, 0.2, 0.1, 0.0], [5.0, 5.1, 5.2, 4.9, 5.0]])
    found = look_by_look(scores, spending(5), matters=0.1)
    assert (words(found), found.seeds.tolist()) == (["loses"], [3])
    assert found.high[0] < 0


def test_runs_that_are_equal_to_the_last_digit_are_the_same() -> None:
    scores = np.tile(np.random.default_rng(0).normal(size=8), (3, 1))
    found = look_by_look(scores, PLAN)
    assert (words(found), found.seeds.tolist()) == (["same", "same"], [3, 3])


def test_a_run_that_failed_makes_a_pair_unstable_and_settles_it() -> None:
    scores = np.random.default_rng(0).normal(0, 0.1, (3, 8))
    scores[1] -= 9
    scores[1, 1] = np.nan
    found = look_by_look(scores, PLAN, matters=0.001)
    assert (words(found)[0], found.seeds[0]) == ("unstable", 3)
    assert np.isnan(found.mean[0])


def test_a_champion_that_failed_beats_nobody_even_if_it_did_before() -> None:
    scores = np.random.default_rng(0).normal(0, 0.1, (3, 8)) + np.array([9.0, 0.0, 9.0])[:, None]
    assert words(look_by_look(scores, PLAN, matters=0.001))[0] == "beats"
    scores[0, 4] = np.nan
    found = look_by_look(scores, PLAN, matters=0.001)
    assert (words(found), found.seeds.tolist()) == (["unstable", "unstable"], [3, 5])
    assert np.isnan([found.mean, found.low, found.high]).all()  # no mean leaves the failed run out


def test_runs_that_nobody_needs_any_more_are_no_failures() -> None:
    scores = np.full((2, 8), np.nan)
    scores[:, :3] = np.array([[9.0], [0.0]]) + np.random.default_rng(0).normal(0, 0.1, (2, 3))
    found = look_by_look(scores, PLAN, matters=0.001, ended=np.isfinite(scores))
    assert words(found) == ["beats"] and not found.wanted.any()


def test_failures_never_improve_a_verdict() -> None:
    rng = np.random.default_rng(1)
    for _ in range(150):
        scores = rng.normal(size=(3, 8)) + rng.choice([-4.0, 0.0, 4.0], (3, 1))
        before = words(look_by_look(scores, PLAN, matters=0.5))
        failing = int(rng.integers(3))
        scores[failing, rng.integers(8)] = np.nan
        after = words(look_by_look(scores, PLAN, matters=0.5))
        if failing == 0:  # the champion
            assert all(new in ("unstable", old) for old, new in zip(before, after, strict=True))
        else:
            assert after[failing - 1] in ("unstable", before[failing - 1])


def test_the_default_of_what_matters_is_the_median_spread() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 6)) * np.array([1.0, 2.0, 3.0, 40.0])[:, None]
    constant = np.array([False, False, False, True])
    ended = np.ones(scores.shape, bool)
    spreads = scores.std(-1, ddof=1)
    assert spread_between(scores, ended, constant) == pytest.approx(np.median(spreads[:3]))
    assert spread_between(scores, ended, constant & False) == pytest.approx(np.median(spreads))
    ended[0, 2:] = False
    scores[1, :] = np.nan
    half = [scores[0, :2].std(ddof=1), *spreads[2:]]
    assert spread_between(scores, ended, constant & False) == pytest.approx(np.median(half))
    found = look_by_look(np.where(np.isnan(scores), 1.0, scores), {6: 0.05})
    assert len(set(found.matters.tolist())) == 1


def test_many_studies_are_judged_as_one_by_one() -> None:
    scores = noise("graded", 60, seed=2) + np.random.default_rng(0).choice([0.0, 3.0], (60, 4, 1))
    scores[np.random.default_rng(1).random(scores.shape) < 0.01] = np.nan
    together = look_by_look(scores, PLAN)
    for place, one in enumerate(scores):
        alone = look_by_look(one, PLAN)
        assert alone.words.tolist() == together.words[place].tolist()
        assert alone.low == pytest.approx(together.low[place], nan_ok=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("matters", [None, 0.3])
def test_equal_configurations_are_told_apart_in_five_of_hundred_studies_at_most(
    shape: str, matters: float | None
) -> None:
    count = 2000
    found = look_by_look(noise(shape, count, seed=4), PLAN, matters=matters)
    wrong = np.isin(found.words, [WORDS.index(word) for word in ("beats", "beats, size open", "loses")])
    assert wrong.any(-1).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / count)


@pytest.mark.parametrize("shape", ["equal", "t4", "skew"])
def test_a_difference_of_three_spreads_is_found(shape: str) -> None:
    scores = noise(shape, 1000, seed=5)
    scores[:, 0] += 3.0
    found = look_by_look(scores, PLAN)
    assert np.isin(found.words, (1, 2)).mean() >= 0.95


@pytest.mark.parametrize("shape", ["equal", "skew", "t4"])
def test_a_difference_as_large_as_what_matters_is_rarely_called_the_same(shape: str) -> None:
    scores = noise(shape, 2000, seed=6) * 0.2
    scores[:, 0] += 0.5
    found = look_by_look(scores, PLAN, matters=0.5)
    assert (found.words == WORDS.index("same")).any(-1).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize("shape", SHAPES)
def test_many_constants_are_told_apart_by_mistake_as_rarely_as_one(shape: str) -> None:
    """One of them is what the champion is in the mean; a t-test of one skewed mean is wrong more often."""
    count = 2000
    runs = noise(shape, count, seed=7)

    def wrong(*constants: float) -> float:
        whole = np.broadcast_to(np.array(constants)[:, None], (count, len(constants), 8))
        found = look_by_look(
            np.concatenate([runs, whole], 1), PLAN, constant=np.arange(4 + len(constants)) > 3
        )
        beats, loses = np.isin(found.words, (1, 2)), found.words == WORDS.index("loses")
        against = (
            [1, 1, 1, *((value >= 0) for value in constants)],
            [1, 1, 1, *((value <= 0) for value in constants)],
        )
        return float(
            ((beats & np.array(against[0], bool)) | (loses & np.array(against[1], bool))).any(-1).mean()
        )

    one, many = wrong(0.0), wrong(0.5, 0.1, 0.0, -0.1, -0.5)
    assert many == pytest.approx(one, abs=1 / count)
    assert one <= (0.075 if shape == "skew, rival x3" else 0.05) + 2 * np.sqrt(0.05 * 0.95 / count)
