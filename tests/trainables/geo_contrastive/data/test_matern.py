"""Matern noise: its variance, and its correlation at every lag."""

import numpy as np
import pytest

from thalweg.hashing import splitmix64
from trainables.geo_contrastive.data.matern import correlation, matern_noise

KEYS = splitmix64(np.arange(3000, dtype=np.uint64))


def slow_correlation(distance: float, length: float, period: float) -> float:
    """Adds up the formula over the images of a circle."""

    def formula(lag: float) -> float:
        scaled = 3**0.5 * abs(lag) / length
        return float((1 + scaled) * np.exp(-scaled))

    images = range(-30, 31) if np.isfinite(period) else [0]
    reach = [image * period if image else 0.0 for image in images]
    return sum(formula(distance + each) for each in reach) / sum(formula(each) for each in reach)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """Many fields on a long circle."""
    return matern_noise(KEYS, (32, 6), True)


def test_noise_has_unit_variance_everywhere(noise: np.ndarray) -> None:
    assert noise.mean() == pytest.approx(0, abs=0.02)
    np.testing.assert_allclose(noise.var(axis=0), 1, atol=0.12)
    assert noise.var() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("lag", [1, 2, 3, 5, 8, 16, 31])
def test_noise_correlates_along_the_circle_as_the_formula_says(noise: np.ndarray, lag: int) -> None:
    found = (noise * np.roll(noise, -lag, axis=1)).mean()
    # On a torus the images of both axes add up; those of the long circle hardly count.
    assert found == pytest.approx(slow_correlation(min(lag, 32 - lag), 3.0, np.inf), abs=0.02)


@pytest.mark.parametrize("lag", [1, 3, 5])
def test_noise_correlates_along_latitude_and_the_poles_are_apart(noise: np.ndarray, lag: int) -> None:
    found = (noise[:, :, lag:] * noise[:, :, :-lag]).mean()
    assert found == pytest.approx(slow_correlation(lag, 3.0, np.inf), abs=0.02)


def test_noise_correlates_diagonally_by_the_distance(noise: np.ndarray) -> None:
    found = (noise[:, :-2, 2:] * noise[:, 2:, :-2]).mean()
    assert found == pytest.approx(slow_correlation(8**0.5, 3.0, np.inf), abs=0.02)


def test_the_ends_of_a_region_are_independent() -> None:
    region = matern_noise(KEYS, (16, 4), False)
    assert (region[:, 0] * region[:, -1]).mean() == pytest.approx(slow_correlation(15, 3.0, np.inf), abs=0.04)
    assert region.var() == pytest.approx(1, abs=0.03)


def test_a_short_circle_has_unit_variance_too() -> None:
    assert matern_noise(KEYS, (4, 4), True).var() == pytest.approx(1, abs=0.04)


def test_the_correlation_is_that_of_the_formula() -> None:
    distances = np.array([0.0, 0.5, 3.0, 20.0])
    wanted = [slow_correlation(float(distance), 3.0, np.inf) for distance in distances]
    np.testing.assert_allclose(correlation(distances, 3.0), wanted)


def test_a_field_depends_on_its_key_alone() -> None:
    whole = matern_noise(KEYS[:9], (16, 8), True)
    for place in range(9):
        np.testing.assert_array_equal(matern_noise(KEYS[place : place + 1], (16, 8), True)[0], whole[place])
