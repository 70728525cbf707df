"""Smoothing, cropping and mirroring beside loops over cells."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.geo_contrastive.data.resampling import Along, Resampling, Windows

WHOLE = (1.0, 0.5, False)


def windows(*rows: tuple[float, float, bool]) -> Windows:
    """Returns windows of size, place and mirror."""
    size, place, mirrored = zip(*rows, strict=True)
    return Windows(np.array(size), np.array(place), np.array(mirrored))


def slow_centres(cells: int, wraps: bool, window: tuple[float, float, bool]) -> list[float]:
    """Returns where the cells of a view lie, cell by cell."""
    size, place, mirrored = window
    start = (1 - size) * (2 * place - 0.5 if wraps else place)
    centres = [(start + size * (cell + 0.5) / cells) * cells - 0.5 for cell in range(cells)]
    return centres[::-1] if mirrored else centres


def slow_interpolated_box(cells: int, wraps: bool, centre: float, half: int) -> dict[int, float]:
    """Interpolates between the moving sums around the two cells beside a centre."""
    low = math.floor(centre)
    weights: dict[int, float] = {}
    for cell, share in ((low, 1 - (centre - low)), (low + 1, centre - low)):
        for member in range(cell - half, cell + half + 1):
            if wraps or 0 <= member < cells:
                weights[member % cells] = weights.get(member % cells, 0.0) + share
    return weights


def slow_view(
    field: np.ndarray, visible: np.ndarray, wraps: bool, half: int,
    first: tuple[float, float, bool], second: tuple[float, float, bool],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Returns a view and its visible cells, cell by cell."""
    out, shown = np.zeros(field.shape), np.zeros(field.shape, bool)
    for i, x in enumerate(slow_centres(field.shape[0], wraps, first)):
        for j, y in enumerate(slow_centres(field.shape[1], False, second)):
            column, row = math.floor(x + 0.5), math.floor(y + 0.5)
            column = column % field.shape[0] if wraps else min(max(column, 0), field.shape[0] - 1)
            if not visible[column, min(max(row, 0), field.shape[1] - 1)]:
                continue
            total = weight = 0.0
            for a, across in slow_interpolated_box(field.shape[0], wraps, x, half).items():
                for b, up in slow_interpolated_box(field.shape[1], False, y, half).items():
                    total += across * up * field[a, b] * visible[a, b]
                    weight += across * up * visible[a, b]
            out[i, j], shown[i, j] = total / weight, True
    return out, shown


WINDOW = st.tuples(st.floats(0.3, 1), st.floats(0, 1, exclude_max=True), st.booleans())


@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(9, 12), st.integers(3, 7)),
    wraps=st.booleans(),
    smooth=st.sampled_from([1, 3, 5]),
    first=WINDOW,
    second=WINDOW,
)
def test_views_are_those_of_the_loops(
    seed: int, shape: tuple[int, int], wraps: bool, smooth: int,
    first: tuple[float, float, bool], second: tuple[float, float, bool],
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    field, visible = rng.standard_normal(shape).astype(np.float32), rng.random(shape) < 0.4
    wanted, wanted_visible = slow_view(field, visible, wraps, smooth // 2, first, second)
    resampling = Resampling(
        Along.of(shape[0], wraps, windows(first), smooth), Along.of(shape[1], False, windows(second), smooth)
    )
    seen = torch.from_numpy(visible)[None]
    shown = resampling.visible(seen)[0].numpy()
    # A centre on an edge may round to either cell.
    edges = [
        np.abs(np.mod(slow_centres(size, way, window), 1) - 0.5) < 1e-6
        for size, way, window in ((shape[0], wraps, first), (shape[1], False, second))
    ]
    clear = ~(edges[0][:, None] | edges[1][None, :])
    np.testing.assert_array_equal(shown[clear], wanted_visible[clear])
    values = resampling.mean(torch.from_numpy(field * visible)[None], seen)[0].numpy()
    both = shown & wanted_visible
    np.testing.assert_allclose(values[both], wanted[both], rtol=1e-4, atol=1e-4)


def test_a_whole_window_without_smoothing_changes_nothing() -> None:
    field = torch.randn(2, 8, 4)
    along = [Along.of(size, wraps, windows(WHOLE, WHOLE), 1) for size, wraps in ((8, True), (4, False))]
    assert torch.equal(Resampling(*along).mean(field, torch.ones(2, 8, 4, dtype=torch.bool)), field)


def test_smoothing_goes_around_the_globe_and_not_over_a_pole() -> None:
    field = torch.zeros(1, 8, 4)
    field[0, 0, 0] = 9.0
    along = [Along.of(size, wraps, windows(WHOLE), 3) for size, wraps in ((8, True), (4, False))]
    smooth = Resampling(*along).mean(field, torch.ones(1, 8, 4, dtype=torch.bool))[0]
    expected = torch.zeros(8, 4)
    for column in (7, 0, 1):
        expected[column, 0], expected[column, 1] = 9 / 6, 1.0
    torch.testing.assert_close(smooth, expected)


@pytest.mark.parametrize("wraps", [True, False])
def test_a_window_crosses_the_seam_only_of_a_globe(wraps: bool) -> None:
    places = np.linspace(0, 0.999, 50)
    found = Windows(np.full(50, 0.8), places, np.zeros(50, bool)).centres(20, wraps)
    assert (found.min() < -1) == wraps
    assert (found.max() > 20) == wraps
    assert found.min() >= (-2.5 if wraps else -0.5)
    assert found.max() <= (21.5 if wraps else 19.5)
