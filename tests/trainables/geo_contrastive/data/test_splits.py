"""The chronological split."""

from hypothesis import given
from hypothesis import strategies as st

from trainables.geo_contrastive.data.splits import split_days


def test_the_reference_data_set_has_the_published_splits() -> None:
    found = {split: len(days) for split, days in split_days(23_386).items()}
    assert found == {"train": 14_031, "val": 4_677, "test": 4_678}


@given(st.integers(5, 5_000))
def test_splits_follow_one_another_and_leave_out_nothing(num_days: int) -> None:
    splits = split_days(num_days)
    assert [day for days in splits.values() for day in days] == list(range(num_days))
    assert all(len(days) for days in splits.values())
