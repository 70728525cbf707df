"""Waves: their derivatives, speeds, spread and memory."""

import numpy as np
import pytest

from trainables.geo_contrastive.worlds.circulation import (
    BAND_CENTRES,
    EARTH_RADIUS,
    Place,
    Waves,
    fading_pattern,
    geostrophic,
    red_noise,
    travelling_waves,
)

FINE = Place(np.arange(-180, 180, 1.0), np.arange(-89.5, 90, 1.0))
COARSE = Place(np.arange(-180, 180, 30.0), np.array([-45.0, 45.0]))


@pytest.fixture(scope="module")
def waves() -> Waves:
    """Ten years without seasons."""
    return travelling_waves(np.zeros(3650), np.random.default_rng(0))


def test_derivatives_are_those_of_differences(waves: Waves) -> None:
    some = Waves(waves.amplitudes[:2])
    field, step = some.on(FINE), np.deg2rad(1.0)
    by_longitude = (np.roll(field, -1, axis=1) - np.roll(field, 1, axis=1)) / (2 * step)
    np.testing.assert_allclose(some.by_longitude(FINE), by_longitude, atol=0.05)
    by_latitude = (field[:, :, 2:] - field[:, :, :-2]) / (2 * step)
    np.testing.assert_allclose(some.by_latitude(FINE)[:, :, 1:-1], by_latitude, atol=0.05)


def test_waves_are_as_large_on_the_last_day_as_on_the_first(waves: Waves) -> None:
    fields = waves.on(COARSE)
    first, second = (half.std() for half in (fields[:1825], fields[1825:]))
    assert first == pytest.approx(second, rel=0.06)
    assert 0.9 < fields.std() < 1.3


def test_short_waves_go_east_and_fade_faster(waves: Waves) -> None:
    amplitudes = waves.amplitudes[:, :, BAND_CENTRES == 45.0]
    turns = (amplitudes[1:] * amplitudes[:-1].conj()).mean(axis=(0, 2))
    memory = np.abs(turns) / (np.abs(amplitudes) ** 2).mean(axis=(0, 2))
    speeds = -np.rad2deg(np.angle(turns)) / np.arange(1, 8)
    assert -2 < speeds[0] < 2
    assert (np.diff(speeds) > 0).all()
    assert 9 < speeds[-1] < 11
    assert (np.diff(memory) < 0).all()
    np.testing.assert_allclose(memory[[0, 1]], np.exp([-1 / 8, -1 / (8 - 4 / 6)]), atol=0.02)


def test_winter_is_stormier() -> None:
    winter = np.where(np.arange(6000) % 600 < 300, 1.0, -1.0)
    fields = travelling_waves(winter, np.random.default_rng(1)).on(COARSE)
    north = fields[:, :, 1][winter > 0].std() / fields[:, :, 1][winter < 0].std()
    south = fields[:, :, 0][winter > 0].std() / fields[:, :, 0][winter < 0].std()
    assert north > 1.2
    assert south < 1 / 1.2


def test_a_place_sees_the_same_waves_on_any_grid(waves: Waves) -> None:
    some = Waves(waves.amplitudes[:5])
    here = Place(np.array([10.0, 20.0]), np.array([50.0]))
    wider = Place(np.array([0.0, 10.0, 20.0]), np.array([40.0, 50.0]))
    np.testing.assert_allclose(some.on(here), some.on(wider)[:, 1:, 1:])


def test_a_fading_pattern_has_unit_variance_and_its_memory() -> None:
    field = fading_pattern(4000, 0.8, COARSE, np.random.default_rng(2))
    np.testing.assert_allclose(field.std(axis=0), 1, atol=0.12)
    assert (field[1:] * field[:-1]).mean() == pytest.approx(0.8, abs=0.05)


def test_red_noise_has_unit_variance_and_its_memory() -> None:
    noise = red_noise(20_000, 0.6, (3,), np.random.default_rng(3))
    np.testing.assert_allclose(noise.std(axis=0), 1, atol=0.05)
    assert (noise[1:] * noise[:-1]).mean() == pytest.approx(0.6, abs=0.03)


def test_geostrophic_winds_blow_along_isobars_as_fast_as_the_textbook_says() -> None:
    # 1000 m2 s-2 over 10 degrees of latitude at 45 degrees north, falling towards the pole
    slope = np.full((1, 1, 1), -1000 / np.deg2rad(10.0))
    latitude = np.array([45.0])
    u, v = geostrophic(np.zeros((1, 1, 1)), slope, latitude)
    f = 2 * 7.292e-5 * np.sin(np.pi / 4)
    assert u.item() == pytest.approx(1000 / (f * EARTH_RADIUS * np.deg2rad(10.0)), rel=0.1)
    assert v.item() == 0
    u, v = geostrophic(-slope, np.zeros((1, 1, 1)), latitude)
    assert v.item() == pytest.approx(
        1000 / (f * EARTH_RADIUS * np.deg2rad(10.0) * np.cos(np.pi / 4)), rel=0.1
    )
    assert abs(geostrophic(slope, slope, np.array([0.0]))[0].item()) < 1e-9
