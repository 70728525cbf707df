"""Sums kept apart by unit, against a dictionary."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thalweg.per_unit import PerUnit

Slow = dict[tuple[int, ...], np.ndarray]


def slow_sums(keys: Tensor, values: Tensor) -> Slow:
    """Adds line after line."""
    found: Slow = {}
    for key, value in zip(keys.tolist(), values.double().numpy(), strict=True):
        found[tuple(key)] = found.get(tuple(key), np.zeros_like(value)) + value
    return found


def as_dict(table: PerUnit) -> Slow:
    """The table as a dictionary, whose keys are different and ascending."""
    keys = [tuple(key) for key in table.keys.tolist()]
    assert keys == sorted(set(keys))
    assert table.values.dtype == torch.float64
    return dict(zip(keys, table.values.numpy(), strict=True))


def lines(seed: int, count: int, parts: int, spread: int = 3) -> tuple[Tensor, Tensor]:
    """Random lines of few units."""
    rng = np.random.default_rng(seed)
    keys = torch.tensor(rng.integers(-spread, spread, (count, parts)))
    return keys, torch.tensor(rng.standard_normal((count, 2)).astype(np.float32))


def assert_same(found: Slow, expected: Slow) -> None:
    """Compares dictionaries of sums."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-12, atol=1e-12)


@given(st.integers(0, 1000), st.integers(0, 40), st.integers(1, 3), st.sampled_from([3, 2**40, 2**63 - 1]))
def test_lines_of_equal_units_add_up(seed: int, count: int, parts: int, spread: int) -> None:
    keys, values = lines(seed, count, parts, spread)
    assert_same(as_dict(PerUnit.of(keys, values)), slow_sums(keys, values))


@given(st.integers(0, 1000), st.integers(0, 30), st.integers(0, 30), st.integers(1, 3))
def test_tables_add_up_in_any_order_and_cut(seed: int, one: int, other: int, parts: int) -> None:
    keys, values = lines(seed, one + other, parts)
    first, second = PerUnit.of(keys[:one], values[:one]), PerUnit.of(keys[one:], values[one:])
    expected = slow_sums(keys, values)
    for table in (first + second, second + first, PerUnit.joined([first, second]), PerUnit.of(keys, values)):
        assert_same(as_dict(table), expected)
    assert_same(as_dict(first + first.empty()), slow_sums(keys[:one], values[:one]))
    doubled = {key: 2 * value for key, value in slow_sums(keys[:one], values[:one]).items()}
    assert_same(as_dict(first + first), doubled)


@given(st.integers(0, 1000), st.integers(1, 40))
def test_coarser_units_the_total_and_single_units(seed: int, count: int) -> None:
    keys, values = lines(seed, count, 3)
    table = PerUnit.of(keys, values)
    torch.testing.assert_close(table.total(), values.double().sum(0))
    assert_same(as_dict(table.by(2, 0)), slow_sums(keys[:, [2, 0]], values))
    wanted = torch.tensor([[9, 9, 9], *table.keys.flip(0).tolist()])
    expected = [np.zeros(2), *list(as_dict(table).values())[::-1]]
    np.testing.assert_array_equal(table.at(wanted).numpy(), np.stack(expected))


def test_units_of_one_part_need_no_axis() -> None:
    table = PerUnit.of(torch.tensor([5, 1, 5]), torch.tensor([1, 2, 3]))
    assert (table.keys.tolist(), table.values.tolist(), len(table)) == ([[1], [5]], [2.0, 4.0], 2)


def test_keys_and_values_must_be_equally_many() -> None:
    with pytest.raises(ValueError, match="equally many, got 2 and 3"):
        PerUnit.of(torch.zeros(2, 1), torch.zeros(3))
