"""Positives and negatives: everything that can be drawn, on records with jumps, beside obvious searches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.hashing import splitmix64
from trainables.geo_contrastive.data.pairs import DayIndex, Drawn, day_index, draw_days, roles
from trainables.geo_contrastive.knobs import PairKnobs

RECORDS = st.lists(
    st.integers(1, 60).map(lambda step: 1 if step < 45 else step), min_size=1, max_size=70
).map(lambda steps: 100 + np.cumsum(np.array(steps, np.int64)))
ALL = PairKnobs(max_delta=3, hard_negatives=True, soft_negatives=True, soft_gap=60)


def with_jumps() -> np.ndarray:
    """Returns days with two jumps, an isolated day and a segment of two days."""
    day = np.arange(120, dtype=np.int64)
    return np.delete(day, [20, 21, 22, 50, 52, 55])


def all_draws(day: np.ndarray, pairs: PairKnobs, visits: int) -> Drawn:
    """Draws each day so often, in one batch."""
    indices = np.repeat(np.arange(len(day)), visits)
    keys = splitmix64(np.arange(len(indices), dtype=np.uint64))
    return draw_days(DayIndex.of(day), pairs, indices, keys)


def contiguous(day: np.ndarray, one: int, other: int) -> bool:
    """Whether no jump lies between two positions, day by day."""
    low, high = sorted((one, other))
    return all(day[place + 1] - day[place] == 1 for place in range(low, high))


def deltas_allowed(day: np.ndarray, anchor: int, max_delta: int) -> tuple[set[int], bool, bool]:
    """Finds the distances that fit, and the sides that have a day, by trying."""
    known = {int(number): place for place, number in enumerate(day)}

    def fits(delta: int) -> bool:
        other = known.get(int(day[anchor]) + delta)
        return other is not None and contiguous(day, anchor, other)

    later = {delta for delta in range(1, max_delta + 1) if fits(delta)}
    earlier = {delta for delta in range(1, max_delta + 1) if fits(-delta)}
    return (later & earlier) or later or earlier, bool(later), bool(earlier)


@given(RECORDS)
def test_an_index_counts_the_days_on_both_sides(day: np.ndarray) -> None:
    index = DayIndex.of(day)
    for place in range(len(day)):
        before = sum(contiguous(day, place, other) for other in range(place))
        after = sum(contiguous(day, place, other) for other in range(place + 1, len(day)))
        assert (index.before[place], index.after[place]) == (before, after)


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_days_reach_as_far_as_the_longest_run(there: list[bool]) -> None:
    days = np.flatnonzero(there)
    longest = max((len(run) for run in "".join("ny"[each] for each in there).split("n")), default=0)
    assert DayIndex.of(days).reach == max(longest - 1, 0)


def test_every_positive_that_fits_is_drawn_and_no_other() -> None:
    day = with_jumps()
    drawn = all_draws(day, ALL, 40)
    for anchor in range(len(day)):
        rows = slice(40 * anchor, 40 * anchor + 40)
        deltas, later, earlier = deltas_allowed(day, anchor, 3)
        assert set(drawn.delta[rows].tolist()) == (deltas or {0})
        assert set(drawn.present[rows, 1].tolist()) == {later}
        assert set(drawn.present[rows, 2].tolist()) == {earlier}


@given(RECORDS, st.integers(1, 8))
def test_positives_have_the_exact_distance_within_a_segment(day: np.ndarray, max_delta: int) -> None:
    drawn = all_draws(day, PairKnobs(max_delta=max_delta), 3)
    anchors = drawn.position[:, 0]
    for role, sign in ((1, 1), (2, -1)):
        there = drawn.present[:, role]
        found, anchor = drawn.position[there, role], anchors[there]
        np.testing.assert_array_equal(day[found] - day[anchor], sign * drawn.delta[there])
        np.testing.assert_array_equal(found - anchor, sign * drawn.delta[there])
        np.testing.assert_array_equal(drawn.position[~there, role], anchors[~there])


@pytest.mark.parametrize(("role", "least", "most"), [(3, 10, 40), (4, 60, 10**9)])
def test_every_negative_at_its_distance_is_drawn_and_no_other(role: int, least: int, most: int) -> None:
    day = with_jumps()
    drawn = all_draws(day, ALL, 600)
    for anchor in range(0, len(day), 7):
        rows = slice(600 * anchor, 600 * anchor + 600)
        wanted = {other for other in range(len(day)) if least <= abs(day[other] - day[anchor]) <= most}
        assert set(drawn.position[rows, role].tolist()) == (wanted or {anchor})
        assert set(drawn.present[rows, role].tolist()) == {bool(wanted)}


@given(RECORDS)
def test_negatives_never_leave_their_distance(day: np.ndarray) -> None:
    drawn = all_draws(day, ALL, 3)
    distance = np.abs(day[drawn.position] - day[drawn.position[:, :1]])
    hard, soft = distance[:, 3][drawn.present[:, 3]], distance[:, 4][drawn.present[:, 4]]
    assert ((hard >= 10) & (hard <= 40)).all()
    assert (soft >= 60).all()


def test_distances_and_negatives_are_equally_likely() -> None:
    indices = np.full(6000, 60)
    keys = splitmix64(np.arange(6000, dtype=np.uint64))
    drawn = draw_days(DayIndex.of(np.arange(200, dtype=np.int64)), PairKnobs(), indices, keys)
    assert np.abs(np.bincount(drawn.delta)[1:] - 1200).max() < 150
    counts = np.bincount(drawn.position[:, 3], minlength=101)
    assert np.abs(counts[counts > 0] - 6000 / 62).max() < 50
    assert abs(np.corrcoef(drawn.delta, drawn.position[:, 3])[0, 1]) < 0.05


def test_a_draw_depends_on_the_day_and_key_alone() -> None:
    day = with_jumps()
    indices, keys = np.arange(len(day)), splitmix64(np.arange(len(day), dtype=np.uint64))
    whole = draw_days(DayIndex.of(day), ALL, indices, keys)
    for chosen in ([3], [90, 4, 17]):
        part = draw_days(DayIndex.of(day), ALL, indices[chosen], keys[chosen])
        np.testing.assert_array_equal(part.position, whole.position[chosen])
        np.testing.assert_array_equal(part.delta, whole.delta[chosen])
    other = draw_days(DayIndex.of(day), ALL, indices, splitmix64(keys))
    assert (other.position != whole.position).any(axis=0)[1:].all()


def test_positives_stay_the_same_whichever_negatives_there_are() -> None:
    day = with_jumps()
    many, few = all_draws(day, ALL, 2), all_draws(day, PairKnobs(max_delta=3, hard_negatives=False), 2)
    np.testing.assert_array_equal(many.position[:, :3], few.position)


def test_the_knobs_choose_the_roles() -> None:
    assert roles(None) == ("anchor",)
    assert roles(PairKnobs()) == ("anchor", "later", "earlier", "hard")
    assert roles(ALL) == ("anchor", "later", "earlier", "hard", "soft")
    assert roles(PairKnobs(hard_negatives=False)) == ("anchor", "later", "earlier")


def test_a_wider_distance_and_a_wider_gap_change_what_is_drawn() -> None:
    day = np.arange(400, dtype=np.int64)
    assert all_draws(day, PairKnobs(max_delta=9), 4).delta.max() == 9
    near, far = (all_draws(day, ALL.model_copy(update={"soft_gap": gap}), 4) for gap in (60, 200))
    assert (near.position[:, 4] != far.position[:, 4]).any()


def test_a_day_alone_has_no_pair() -> None:
    drawn = all_draws(np.array([7], np.int64), ALL, 2)
    assert drawn.present.tolist() == [[True, False, False, False, False]] * 2
    assert drawn.position.tolist() == [[0] * 5] * 2
    assert drawn.delta.tolist() == [0, 0]


def test_an_index_is_built_once_for_each_data_set() -> None:
    day = with_jumps()
    assert day_index(day, "first") is day_index(day, "first")
    assert len(day_index(day[:5], "second").day) == 5
