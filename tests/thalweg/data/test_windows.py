"""Windows never leave their split and hold the days they name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data.windows import gather, num_windows, whole, window_starts


@pytest.mark.parametrize(
    ("first", "last", "days", "at_20", "at_2"),
    [
        ("1989-01-01", "2010-12-31", 8035, 401, 4003),
        ("2011-01-01", "2015-12-30", 1825, 90, 898),
        ("1970-01-01", "2010-12-31", 14975, 748, 7473),
    ],
)
def test_the_published_periods_have_the_published_window_counts(
    first: str, last: str, days: int, at_20: int, at_2: int
) -> None:
    num_days = int((np.datetime64(last) - np.datetime64(first)).astype(int)) + 1
    assert num_days == days
    assert num_windows(num_days, 30, 20) == at_20
    assert num_windows(num_days, 30, 2) == at_2


def test_a_split_shorter_than_a_window_has_none() -> None:
    assert num_windows(29, 30, 20) == 0
    assert num_windows(5, 30, 20) == 0
    assert num_windows(30, 30, 20) == 1


@given(st.integers(1, 200), st.integers(0, 200), st.integers(1, 40), st.integers(1, 40))
def test_starts_are_all_that_fit_into_their_split(train: int, val: int, length: int, stride: int) -> None:
    days = {"train": range(train), "val": range(train, train + val)}
    starts = window_starts(days, length, stride)  # type: ignore[arg-type]
    for split, span in days.items():
        slow = [day for day in span if (day - span.start) % stride == 0 and day + length <= span.stop]
        assert starts[split].tolist() == slow  # type: ignore[index]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@given(length=st.integers(1, 5), starts=st.lists(st.integers(0, 14), min_size=1, max_size=6))
def test_gather_equals_indexing_day_by_day(dtype: type[np.floating], length: int, starts: list[int]) -> None:
    series = np.random.default_rng(0).standard_normal((20, 3, 4, 2)).astype(dtype)
    series.flags.writeable = False  # as a memory map is
    windows = gather(series, np.array(starts), length)
    assert windows.dtype == dtype
    assert windows.shape == (len(starts), 3, length, 4, 2)
    assert windows.flags.c_contiguous
    for number, start in enumerate(starts):
        for modality in range(3):
            for time in range(length):
                assert np.array_equal(windows[number, modality, time], series[start + time, modality])


def test_gathered_windows_are_copies() -> None:
    series = np.zeros((5, 1, 2), np.float32)
    gather(series, np.array([0]), 3)[...] = 1
    assert not series.any()


def test_a_modality_is_whole_only_if_present_on_every_day() -> None:
    present = np.array([[True, True], [True, False], [True, True], [True, True]])
    assert whole(present, np.array([0, 1, 2]), 2).tolist() == [[1, 0], [1, 0], [1, 1]]
