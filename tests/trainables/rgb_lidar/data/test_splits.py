import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.rgb_lidar.data.splits import BLOCK, SHARES, split_rows


def scenes(num_per_class: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([0, 1], num_per_class), np.tile(np.arange(num_per_class), 2)


def members(
    labels: np.ndarray, numbers: np.ndarray, fraction: float = 1.0
) -> dict[str, set[tuple[int, int]]]:
    rows = split_rows(labels, numbers, fraction)
    return {
        split: set(zip(labels[r].tolist(), numbers[r].tolist(), strict=True)) for split, r in rows.items()
    }


def test_every_scene_is_in_exactly_one_split() -> None:
    labels, numbers = scenes(137)
    rows = split_rows(labels, numbers, 1.0)
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(274))


def test_whole_blocks_give_every_split_its_share_of_each_class() -> None:
    labels, numbers = scenes(5 * BLOCK)
    rows = split_rows(labels, numbers, 1.0)
    assert sum(SHARES.values()) == BLOCK
    for split, share in SHARES.items():
        assert np.bincount(labels[rows[split]]).tolist() == [5 * share, 5 * share]


@given(order=st.permutations(range(60)))
def test_splits_do_not_depend_on_the_order_of_files(order: list[int]) -> None:
    labels, numbers = scenes(30)
    assert members(labels, numbers) == members(labels[order], numbers[order])


@given(kept=st.sets(st.integers(0, 59), min_size=1))
def test_a_file_that_is_missing_moves_no_other(kept: set[int]) -> None:
    labels, numbers = scenes(30)
    some = np.array(sorted(kept))
    whole, part = members(labels, numbers), members(labels[some], numbers[some])
    assert all(part[split] <= whole[split] for split in SHARES)


def test_the_classes_are_split_apart_from_each_other() -> None:
    whole = members(*scenes(200))
    cubes, spheres = ({n for label, n in whole["val"] if label == kind} for kind in (0, 1))
    assert cubes != spheres


def test_the_law_of_the_splits_stays_what_it_is() -> None:
    whole = members(*scenes(20))
    assert sorted(whole["val"]) == [(0, 1), (0, 6), (0, 19), (1, 7), (1, 11), (1, 18)]


@given(small=st.floats(0.01, 1), large=st.floats(0.01, 1))
def test_a_smaller_share_of_the_training_split_is_part_of_a_larger_one(small: float, large: float) -> None:
    small, large = sorted((small, large))
    labels, numbers = scenes(60)
    assert members(labels, numbers, small)["train"] <= members(labels, numbers, large)["train"]


@pytest.mark.parametrize("fraction", [0.001, 0.03, 0.1, 0.5])
def test_a_share_holds_equally_many_of_each_class_and_spares_validation_and_test(fraction: float) -> None:
    labels, numbers = scenes(100)
    rows, whole = split_rows(labels, numbers, fraction), split_rows(labels, numbers, 1.0)
    expected = max(1, round(70 * fraction))
    assert np.bincount(labels[rows["train"]], minlength=2).tolist() == [expected, expected]
    assert rows["val"].tolist() == whole["val"].tolist()
    assert rows["test"].tolist() == whole["test"].tolist()


def test_neighbours_in_a_split_are_of_mixed_classes() -> None:
    labels, numbers = scenes(100)
    first = labels[split_rows(labels, numbers, 1.0)["train"][:32]]
    assert 8 <= first.sum() <= 24
