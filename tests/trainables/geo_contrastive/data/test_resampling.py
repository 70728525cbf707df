"""Smoothing, cropping and mirroring beside loops over cells."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.geo_contrastive.data.resampling import Enlarging, Windows, shown, smoothed

Window = tuple[float, float, bool]
WINDOW = st.tuples(st.floats(0.3, 1), st.floats(0, 1, exclude_max=True), st.booleans())


def windows(*rows: Window) -> Windows:
    """Returns windows of size, place and mirror."""
    size, place, mirrored = zip(*rows, strict=True)
    return Windows(np.array(size), np.array(place), np.array(mirrored))


def slow_cells(cells: int, wraps: bool, window: Window) -> list[tuple[int, bool]]:
    """Returns the cell below each centre, cell by cell, and whether rounding may give its neighbour."""
    size, place, mirrored = window
    start = (1 - size) * (2 * place - 0.5 if wraps else place)
    found = []
    for cell in range(cells):
        edge = (start + size * (cell + 0.5) / cells) * cells
        below = math.floor(edge) % cells if wraps else min(max(math.floor(edge), 0), cells - 1)
        found.append((below, abs(edge - round(edge)) < 1e-6))
    return found[::-1] if mirrored else found


@given(st.tuples(st.integers(1, 12), st.integers(1, 7)), st.booleans(), WINDOW, WINDOW)
def test_an_enlarged_cell_takes_the_one_below_its_centre(
    shape: tuple[int, int], wraps: bool, first: Window, second: Window
) -> None:
    field = torch.arange(shape[0] * shape[1]).view(1, *shape)
    enlarging = Enlarging(windows(first).nearest(shape[0], wraps), windows(second).nearest(shape[1], False))
    found = enlarging(field)[0]
    for i, (column, first_unclear) in enumerate(slow_cells(shape[0], wraps, first)):
        for j, (row, second_unclear) in enumerate(slow_cells(shape[1], False, second)):
            if not (first_unclear or second_unclear):
                assert found[i, j] == field[0, column, row]


@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(7, 12), st.integers(1, 9)),
    wraps=st.booleans(),
    side=st.sampled_from([3, 5, 7]),
)
def test_smoothing_is_that_of_the_loops(seed: int, shape: tuple[int, int], wraps: bool, side: int) -> None:
    rng = np.random.default_rng(seed)
    field, visible = rng.standard_normal((3, *shape)).astype(np.float32), rng.random((3, *shape)) < 0.4
    wanted = np.zeros((3, *shape))
    for view, column, row in np.argwhere(visible):
        near = [
            field[view, a % shape[0], b]
            for a in range(column - side // 2, column + side // 2 + 1)
            for b in range(max(row - side // 2, 0), min(row + side // 2 + 1, shape[1]))
            if (wraps or 0 <= a < shape[0]) and visible[view, a % shape[0], b]
        ]
        wanted[view, column, row] = np.mean(near)
    mask = torch.from_numpy(visible).float()
    found = smoothed(shown(torch.from_numpy(field), mask), mask, side, wraps)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)


def test_a_whole_window_changes_nothing() -> None:
    field = torch.randn(2, 8, 4)
    whole = windows((1.0, 0.3, False), (1.0, 0.9, False))
    assert torch.equal(Enlarging(whole.nearest(8, True), whole.nearest(4, False))(field), field)


def test_a_mirrored_window_is_backwards() -> None:
    field = torch.randn(1, 8, 4)
    mirrored, whole = windows((1.0, 0.0, True)), windows((1.0, 0.0, False))
    assert torch.equal(Enlarging(mirrored.nearest(8, True), whole.nearest(4, False))(field), field.flip(1))


def test_smoothing_goes_around_the_globe_and_not_over_a_pole() -> None:
    field, visible = torch.zeros(1, 8, 4), torch.ones(1, 8, 4)
    field[0, 0, 0] = 9.0
    expected = torch.zeros(8, 4)
    for column in (7, 0, 1):
        expected[column, 0], expected[column, 1] = 9 / 6, 1.0
    torch.testing.assert_close(smoothed(field, visible, 3, True)[0], expected)


def test_what_is_shown_is_zero_without_a_sign_where_it_is_hidden() -> None:
    values = shown(torch.tensor([[[-2.0, 3.0, -4.0]]]), torch.tensor([[[1.0, 0.0, 0.0]]]))
    assert values.tolist() == [[[-2.0, 0.0, 0.0]]]
    assert torch.signbit(values).tolist() == [[[True, False, False]]]


@pytest.mark.parametrize("wraps", [True, False])
def test_a_window_crosses_the_seam_only_of_a_globe(wraps: bool) -> None:
    places = np.linspace(0, 0.999, 50)
    found = Windows(np.full(50, 0.8), places, np.zeros(50, bool)).centres(20, wraps)
    assert (found.min() < -1) == wraps
    assert (found.max() > 20) == wraps
    assert found.min() >= (-2.5 if wraps else -0.5)
    assert found.max() <= (21.5 if wraps else 19.5)
