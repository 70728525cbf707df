"""Numbers from keys: their ranges and distributions."""

import numpy as np
import pytest

from thalweg.hashing import splitmix64
from trainables.geo_contrastive.data import draws

KEYS = splitmix64(np.arange(4000, dtype=np.uint64))


def test_uniform_numbers_fill_the_unit_interval() -> None:
    counts = np.histogram(draws.uniform(KEYS), bins=10, range=(0, 1))[0]
    assert counts.sum() == 4000
    assert np.abs(counts - 400).max() < 100


def test_numbers_below_a_count_are_all_drawn_and_equally_likely() -> None:
    numbers = draws.below(KEYS, np.full(4000, 7))
    counts = np.bincount(numbers, minlength=7)
    assert len(counts) == 7
    assert np.abs(counts - 4000 / 7).max() < 110
    assert (draws.below(KEYS, np.zeros(4000, np.int64)) == 0).all()


def test_sixteen_bits_are_uniform_and_differ_in_each_cell() -> None:
    bits = draws.sixteen_bits(KEYS[:50], 403)
    assert bits.shape == (50, 403)
    assert bits.mean() == pytest.approx(32767.5, rel=0.01)
    assert np.abs(np.corrcoef(bits[:, :8].T.astype(float)) - np.eye(8)).max() < 0.6
    assert np.unique(bits[:, :4], axis=0).shape == (50, 4)


def test_normal_numbers_have_the_moments_of_the_distribution() -> None:
    numbers = draws.normal(KEYS[:100], 401)
    assert numbers.shape == (100, 401)
    assert numbers.mean() == pytest.approx(0, abs=0.02)
    assert numbers.std() == pytest.approx(1, abs=0.02)
    assert (numbers**4).mean() == pytest.approx(3, abs=0.2)


def test_branches_of_neighbouring_keys_do_not_meet() -> None:
    keys = np.arange(256, dtype=np.uint64)
    found = draws.branch(keys[:, None], np.arange(256, dtype=np.uint64))
    assert len(np.unique(found)) == 256 * 256


def test_a_stream_is_the_same_on_every_machine() -> None:
    assert draws.stream("t2m") == np.uint64(0xD88A83290DA7986D)
