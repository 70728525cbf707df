"""Numbers, times and curves in words."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thalweg.console.formatting import ASCII_BLOCKS, BLOCKS, clock, number, pairs, score, sparkline


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599.4, "59:59"), (3723, "1:02:03"), (-1, "0:00")],
)
def test_a_duration_reads_as_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "True"),
        (4096, "4,096"),
        (0.00125, "0.00125"),
        (1e-8, "1e-08"),
        ("mean", "mean"),
        (None, "None"),
    ],
)
def test_a_value_keeps_what_matters(value: object, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.82748, "0.8275"),
        (-0.27, "-0.2700"),
        (0.0, "0.0000"),
        (0.00012, "0.00012"),
        (2e6, "2e+06"),
    ],
)
def test_a_score_is_short_at_any_size(value: float | None, text: str) -> None:
    assert score(value) == text


def test_a_score_that_is_not_a_number_says_so() -> None:
    assert score(math.nan) == "nan"


def test_a_pair_can_not_be_broken_at_the_end_of_a_line() -> None:
    assert pairs({"lr": 0.5, "fusion": "late mean"}) == "lr=0.5  fusion=late\u00a0mean"


def test_a_sparkline_spans_from_the_lowest_to_the_highest_block() -> None:
    assert sparkline([0.0, 0.5, 1.0], 8) == BLOCKS[0] + BLOCKS[4] + BLOCKS[-1]


def test_a_flat_curve_is_drawn_flat() -> None:
    assert sparkline([3.0, 3.0], 8) == BLOCKS[0] * 2


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30), st.integers(1, 12))
@example([-1.7e308, 4.1e306], 2)
def test_a_sparkline_takes_any_numbers_and_keeps_its_width(values: list[float], width: int) -> None:
    line = sparkline(values, width, ascii_only=True)
    assert len(line) == min(width, sum(map(math.isfinite, values)))
    assert set(line) <= set(ASCII_BLOCKS)
