import numpy as np
import pytest

from thalweg.errors import DataError
from trainables.sentinel_supcon.data.splits import SPLITS, assign, balance, share_of

NAMES = [f"tile {number}" for number in range(30)]


def scenes(num_places: int, per_place: int = 4) -> tuple[np.ndarray, np.ndarray]:
    places = np.repeat(np.arange(num_places), per_place)
    return places, places % 3


@pytest.mark.parametrize("num_places", [3, 4, 5, 8, 30])
def test_splits_share_no_place_and_hold_all_scenes(num_places: int) -> None:
    places, labels = scenes(num_places)
    rows, notes = assign([""] * len(places), places, labels, NAMES)
    held = [set(places[rows[split]].tolist()) for split in SPLITS]
    assert sum(map(len, held)) == len(set.union(*held)) == num_places
    assert len(held[0]) >= max(map(len, held[1:])) >= min(map(len, held[1:])) > 0
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(len(places)))
    assert "splits follow from places" in notes[0]


def test_of_thirty_places_six_go_to_val_and_six_to_test_of_every_main_class() -> None:
    places, labels = scenes(30)
    rows, _ = assign([""] * len(places), places, labels, NAMES)
    for split, count in (("train", 18), ("val", 6), ("test", 6)):
        held = np.unique(places[rows[split]])  # type: ignore[index]
        assert len(held) == count
        assert set(np.bincount(held % 3)) == {count // 3}


def test_a_class_that_three_places_hold_is_in_every_split() -> None:
    rng = np.random.default_rng(1)
    places = np.repeat(np.arange(20), 6)
    labels = rng.integers(0, 3, 120)
    labels[[7, 8, 9, 61, 115]] = 3  # three scenes in place 1, one in 10 and one in 19
    rows, _ = assign([""] * 120, places, labels, NAMES)
    for split, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        counts = np.bincount(labels[rows[split]], minlength=4)  # type: ignore[index]
        assert counts[3] >= 1
        np.testing.assert_allclose(counts[:3] / np.bincount(labels)[:3], share, atol=0.15)


def test_splits_depend_on_names_of_places_not_on_their_order() -> None:
    places, labels = scenes(30)
    order = np.random.default_rng(1).permutation(30)
    rows, _ = assign([""] * 120, places, labels, NAMES)
    renamed = np.argsort(order)[places]
    others, _ = assign([""] * 120, renamed, labels, [NAMES[number] for number in order])
    for split in SPLITS:
        assert rows[split].tolist() == others[split].tolist()


def test_official_splits_stay_as_they_are() -> None:
    places, labels = scenes(6, 2)
    official = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    rows, notes = assign(official, places, labels, NAMES)
    assert [rows[split].tolist() for split in SPLITS] == [[0, 1, 2, 3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert notes == ()


@pytest.mark.parametrize(
    ("official", "message"),
    [
        (["train", "", "val", "test"], "all scenes must have an official split or none, got 1 of 4 without"),
        (["val"] * 4, "official splits must be train and another, got val alone"),
        (["", "", "", ""], "must lie in at least 3 places .* got 2: tile 0, tile 1"),
    ],
)
def test_what_cannot_be_split_is_refused(official: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        assign(official, np.array([0, 0, 1, 1]), np.zeros(4, np.int64), NAMES)


def test_a_smaller_share_is_part_of_a_larger_one_and_has_every_class() -> None:
    labels = np.repeat([0, 1, 2, -1], [50, 20, 3, 7])
    names = [f"scene {number}" for number in range(80)]
    rows = np.arange(80)
    shares = {ratio: set(share_of(rows, labels, names, ratio).tolist()) for ratio in (0.01, 0.1, 0.5, 1.0)}
    assert shares[0.01] < shares[0.1] < shares[0.5] < shares[1.0]
    assert np.bincount(labels[sorted(shares[0.1])] + 1).tolist() == [1, 5, 2, 1]
    assert np.bincount(labels[sorted(shares[0.5])] + 1).tolist() == [4, 25, 10, 2]


def test_balance_repeats_scenes_until_classes_are_equal() -> None:
    labels = np.repeat([0, 1, 2, -1], [10, 4, 3, 6])
    rows = balance(np.arange(23), labels)
    assert np.bincount(labels[rows]).tolist() == [10, 10, 10]
    counts = np.bincount(rows, minlength=23)
    assert set(counts[:10]) == {1} and set(counts[10:14]) == {2, 3} and set(counts[14:17]) == {3, 4}
    assert set(counts[17:]) == {0}
