"""Regridding keeps constants and means over areas, however the axes run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import ConfigError, DataError
from trainables.geo_contrastive.data.grids import Grid, edges_of
from trainables.geo_contrastive.importing.regridding import Regridder, target_grid


def globe(num_lons: int, num_lats: int) -> Grid:
    lats = -90 + 180 / num_lats * (np.arange(num_lats) + 0.5)
    return Grid("", -180 + 360 / num_lons * np.arange(num_lons), lats, geographic=True)


def region(num_lons: int = 8, num_lats: int = 6, step: float = 2.5) -> Grid:
    return Grid("", -10 + step * np.arange(num_lons), 40 + step * np.arange(num_lats), geographic=True)


def noise(grid: Grid, seed: int = 0, num_days: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(101_325, 900, (num_days, *grid.shape))


sizes = st.integers(2, 40)


@given(sizes, sizes, sizes, sizes)
def test_constants_stay_from_any_globe_to_any_other(a: int, b: int, c: int, d: int) -> None:
    source, target = globe(a, b), globe(c, d)
    fields = np.full((1, *source.shape), 101_325.0)
    np.testing.assert_allclose(Regridder(source, target)(fields), 101_325, rtol=1e-6)


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 9))
def test_means_over_the_globe_stay_where_the_target_is_coarser(c: int, d: int, seed: int) -> None:
    source, target = globe(24, 18), globe(c, d)
    fields = noise(source, seed)
    regridded = Regridder(source, target)(fields)
    expected = (fields * source.weights).mean(axis=(1, 2))
    np.testing.assert_allclose(
        (regridded * target.weights).mean(axis=(1, 2), dtype=np.float64), expected, rtol=2e-7
    )


@given(st.integers(0, 23), st.integers(0, 9), st.sampled_from([(7, 5), (12, 6), (60, 40)]))
def test_it_does_not_matter_where_longitudes_begin(shift: int, seed: int, shape: tuple[int, int]) -> None:
    source, target = globe(24, 18), globe(*shape)
    fields = noise(source, seed)
    fields[:, 3:5, 2] = np.nan
    rolled = Grid("", source.first + 15.0 * shift, source.second, geographic=True)
    expected = Regridder(source, target)(fields)
    np.testing.assert_allclose(
        Regridder(rolled, target)(np.roll(fields, -shift, axis=1)), expected, rtol=1e-6
    )


def test_means_are_those_of_a_slow_loop_over_overlaps() -> None:
    source, target = region(), Grid("", np.array([-8.0, -2, 4]), np.array([41.0, 46, 51]), geographic=True)
    fields = noise(source, num_days=1)
    fields[0, 2, 2] = np.nan
    found = Regridder(source, target)(fields)[0]
    sines = [np.sin(np.deg2rad(edges_of(grid.second))) for grid in (source, target)]
    for i, j in np.ndindex(target.shape):
        total = area = 0.0
        for m, n in np.ndindex(source.shape):
            lons = min(edges_of(target.first)[i + 1], edges_of(source.first)[m + 1]) - max(
                edges_of(target.first)[i], edges_of(source.first)[m]
            )
            lats = min(sines[1][j + 1], sines[0][n + 1]) - max(sines[1][j], sines[0][n])
            if lons > 0 and lats > 0 and np.isfinite(fields[0, m, n]):
                total += lons * lats * fields[0, m, n]
                area += lons * lats
        assert found[i, j] == pytest.approx(total / area, rel=1e-6)


def test_a_finer_target_is_linear_and_wraps_around() -> None:
    source, target = globe(4, 4), globe(8, 4)
    fields = np.zeros((1, 4, 4))
    fields[0, 0] = 8.0  # at -180
    found = Regridder(source, target)(fields)[0, :, 0]
    np.testing.assert_allclose(found, [8, 4, 0, 0, 0, 0, 0, 4])


def test_a_cell_is_missing_if_less_than_half_of_it_has_data() -> None:
    source = Grid("", np.arange(4.0), np.arange(4.0), geographic=False)
    target = Grid("", np.array([0.5, 2.5]), np.array([0.5, 2.5]), geographic=False)
    fields = np.arange(16.0).reshape(1, 4, 4)
    fields[0, :2, :2] = [[1, np.nan], [np.nan, 3]]
    fields[0, 2:, 2:] = [[np.nan, np.nan], [np.nan, 7]]
    found = Regridder(source, target)(fields)[0]
    assert found[0, 0] == 2 and np.isnan(found[1, 1])
    assert found[0, 1] == np.mean([2, 3, 6, 7])


def test_cells_beyond_the_source_are_missing() -> None:
    source, target = region(), Grid("", np.array([-30.0, 0, 5]), np.array([43.0, 46, 70]), geographic=True)
    found = Regridder(source, target)(noise(source))
    assert (
        np.isnan(found[:, 0]).all() and np.isnan(found[:, :, 2]).all() and np.isfinite(found[:, 1:, :2]).all()
    )


def test_a_region_across_the_date_line_meets_the_globe() -> None:
    source = Grid("", 150 + 5.0 * np.arange(13), np.array([0.0, 5, 10]), geographic=True)
    fields = np.broadcast_to(source.first[:, None], (1, *source.shape))
    found = Regridder(source, globe(36, 18))(fields.astype(np.float64))[0, :, 9]
    expected = np.full(36, np.nan)
    expected[33:], expected[:4] = [150 + 5 / 3, 160, 170], [180, 190, 200, 210 - 5 / 3]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_grids_that_have_nothing_in_common_are_refused() -> None:
    projected = Grid("", np.arange(3.0), np.arange(3.0), geographic=False)
    with pytest.raises(DataError, match="must be regridded among longitudes and latitudes or among x and y"):
        Regridder(region(), projected)
    with pytest.raises(DataError, match="must be regridded among"):
        target_grid("4x4", {"a": region(), "b": projected})
    with pytest.raises(DataError, match="must overlap"):
        Regridder(region(), Grid("", np.array([100.0, 101]), np.array([0.0, 1]), geographic=True))
    with pytest.raises(DataError, match="must overlap"):
        far = Grid("", np.array([100.0, 101]), np.array([0.0, 1]), geographic=True)
        target_grid("4x4", {"a": region(), "b": far})


def test_the_globe_is_cut_as_weatherbench_cuts_it() -> None:
    grid = target_grid("64x32", {"a": globe(240, 121)})
    np.testing.assert_allclose(grid.first, -180 + 5.625 * np.arange(64))
    np.testing.assert_allclose(grid.second, -87.1875 + 5.625 * np.arange(32))
    assert grid.wraps and grid.name == "64x32"
    by_size = target_grid("5.625", {"a": globe(64, 32)})
    assert by_size.is_like(grid)


def test_a_region_is_cut_within_what_all_variables_have() -> None:
    other = Grid("", 5.0 * np.arange(3), 45 + 5.0 * np.arange(3), geographic=True)
    grid = target_grid("4x2", {"a": region(), "b": other, "c": globe(12, 6)})
    np.testing.assert_allclose(edges_of(grid.first)[[0, -1]], [-2.5, 8.75])
    np.testing.assert_allclose(edges_of(grid.second)[[0, -1]], [42.5, 53.75])
    cells = target_grid("2", {"a": region()})
    np.testing.assert_allclose(np.diff(cells.first), 2)
    assert cells.shape == (10, 7)
    assert target_grid("b", {"a": region(), "b": other}) is other


@pytest.mark.parametrize("text", ["64", "0x4", "-2.5", "inf", "c", "64x", "", "1e-9", "99999x9"])
def test_what_is_no_grid_is_refused(text: str) -> None:
    if text == "64":  # a size of cells that is larger than the globe makes one cell of it
        assert target_grid(text, {"a": globe(4, 2)}).shape == (5, 2)
        return
    with pytest.raises(
        ConfigError,
        match=r"grid must be COUNTxCOUNT, the size of a cell, or one of a|at most 10,000 cells along an axis",
    ):
        target_grid(text, {"a": region()})
