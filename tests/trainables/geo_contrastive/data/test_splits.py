"""The chronological split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.geo_contrastive.data.splits import leads_without_windows, reach, split_days


def test_the_reference_data_set_has_the_published_splits() -> None:
    found = {split: len(days) for split, days in split_days(23_386).items()}
    assert found == {"train": 14_031, "val": 4_677, "test": 4_678}


@given(st.integers(5, 5_000))
def test_splits_follow_one_another_and_leave_out_nothing(num_days: int) -> None:
    splits = split_days(num_days)
    assert [day for days in splits.values() for day in days] == list(range(num_days))
    assert all(len(days) for days in splits.values())


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_days_reach_as_far_as_the_longest_run(there: list[bool]) -> None:
    days = np.flatnonzero(there)
    longest = max((len(run) for run in "".join("ny"[each] for each in there).split("n")), default=0)
    assert reach(days) == max(longest - 1, 0)


@pytest.mark.parametrize(
    ("runs", "held"),
    [(11, None), (10, "those 1 and 3 and 5 ahead alone"), (2, "those 1 ahead alone"), (1, "none")],
)
def test_leads_that_no_run_holds_are_told(runs: int, held: str | None) -> None:
    test = np.concatenate([100 * number + np.arange(runs) for number in range(1, 4)])
    day = np.concatenate([np.arange(60), test])
    told = list(leads_without_windows(day, {"train": range(60), "test": range(60, len(day))}))
    expected = (
        f"no day of test is followed by more than {runs - 1} others without a jump: of forecasts 1, 3, 5, 10 days "
        f"ahead, test holds {held}"
    )
    assert told == ([] if held is None else [expected])
