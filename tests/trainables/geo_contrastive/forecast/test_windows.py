"""Windows of forecasts: against loops over days, on one side of jumps, in one split."""

import numpy as np
import pytest

from tests.trainables.geo_contrastive.conftest import MakeFields
from trainables.geo_contrastive.data.pairs import DayIndex, index_of
from trainables.geo_contrastive.forecast.windows import Window, is_judged, left_out, window

DAYS = np.array([3, 4, 5, 6, 7, 8, 9, 20, 21, 40, 41, 42, 43, 44, 45, 46, 47, 48])


def _slow(days: np.ndarray, context: int, stride: int, ahead: list[int]) -> Window:
    """Looks for each day by itself."""
    places = {int(day): number for number, day in enumerate(days)}

    def joined(first: int, last: int) -> bool:
        return all(day in places for day in range(first, last + 1))

    read, to_come, exists = [], [], []
    for day in map(int, days):
        known = [day - stride * back for back in range(context) if joined(day - stride * back, day)]
        lacking = [known[-1]] * (context - len(known))
        read.append([places[each] for each in (*lacking, *reversed(known))])
        exists.append([joined(day, day + lead) for lead in ahead])
        to_come.append(
            [
                places[day + lead] if there else places[day]
                for lead, there in zip(ahead, exists[-1], strict=True)
            ]
        )
    return Window(np.array(read), np.array(to_come), np.array(exists))


@pytest.mark.parametrize(
    ("context", "stride", "ahead"), [(1, 1, [1]), (3, 1, [1, 2, 3]), (3, 5, [5, 10]), (5, 2, [1, 3, 5, 8])]
)
def test_windows_are_those_of_a_loop_over_days(context: int, stride: int, ahead: list[int]) -> None:
    found = window(
        DayIndex.of(DAYS), np.arange(len(DAYS)), context=context, stride=stride, ahead=np.array(ahead)
    )
    expected = _slow(DAYS, context, stride, ahead)
    for name in ("context", "ahead", "exists"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_no_window_leaves_its_split_or_crosses_a_jump(make_fields: MakeFields) -> None:
    data = make_fields(60, jumps={10: 3, 40: 20, 44: 1})
    for split in ("train", "val", "test"):
        days = data.day[data.days[split].start : data.days[split].stop]
        every = np.arange(len(days))
        found = window(index_of(data, split), every, context=5, stride=2, ahead=np.array([1, 3]))
        for positions in (found.context, found.ahead):
            assert positions.min() >= 0
            assert positions.max() < len(days)
            first, last = np.minimum(positions, every[:, None]), np.maximum(positions, every[:, None])
            np.testing.assert_array_equal(days[last] - days[first], last - first)
        assert (days[found.context] <= days[:, None]).all()
        assert ((days[found.ahead] > days[:, None]) == found.exists).all()


@pytest.mark.parametrize(
    ("days", "stride", "stretches"), [(36, 1, 1), (300, 1, 2), (300, 20, 1), (660, 1, 4), (14_031, 20, 4)]
)
def test_about_a_fifth_of_the_training_days_is_left_out_in_stretches_that_hold_a_step(
    days: int, stride: int, stretches: int
) -> None:
    chosen = left_out(np.arange(days), days, stride)
    assert 0.12 < chosen.mean() < 0.24
    starts = np.flatnonzero(np.diff(chosen.astype(int)) == 1)
    assert len(starts) == stretches
    assert (chosen[:-stride] & chosen[stride:]).any()
    if stretches > 1:
        assert starts[0] < days / 3 and starts[-1] > days / 2


@pytest.mark.parametrize(
    ("days", "stride", "judged"),
    [
        (40, 10, False),
        (60, 20, False),
        (90, 20, False),
        (45, 10, False),
        (45, 8, True),
        (60, 11, True),
        (300, 20, True),
    ],
)
def test_a_step_is_judged_if_a_loop_finds_two_days_left_out(days: int, stride: int, judged: bool) -> None:
    chosen = left_out(np.arange(days), days, stride)
    steps = range(stride, 10 + stride, stride)
    found = any(chosen[day] and chosen[day + step] for step in steps for day in range(days - step))
    assert is_judged(DayIndex.of(np.arange(days)), stride) == found == judged


def test_a_step_over_a_jump_is_not_judged() -> None:
    day = np.arange(60)
    assert is_judged(DayIndex.of(day), 8)
    assert not is_judged(DayIndex.of(day + 5 * (day >= 30)), 8)  # of the days left out, 24 to 35


def test_every_day_issues_a_forecast_whatever_it_reads(make_fields: MakeFields) -> None:
    data = make_fields(60, jumps={10: 3})
    ahead = np.array([1, 3, 5, 10])
    index = index_of(data, "val")
    counted = [
        window(index, np.arange(12), context=context, stride=stride, ahead=ahead).exists
        for context, stride in ((1, 1), (30, 1), (5, 20))
    ]
    np.testing.assert_array_equal(counted[0], counted[1])
    np.testing.assert_array_equal(counted[0], counted[2])
