"""The forest's importance against planted truths and a slow twin."""

import itertools
from typing import Any

import numpy as np
import pytest

from thalweg.analysis.importance.forest import encode, permutation_importance, standard_errors


def test_numbers_are_columns_and_words_are_one_each() -> None:
    rows: list[dict[str, Any]] = [
        {"lr": 1e-3, "fusion": "add", "depth": 2},
        {"lr": 1e-2, "fusion": "concat"},
        {"lr": 3e-3, "fusion": "add", "depth": 4},
        {"lr": 4e-3, "fusion": None, "depth": 9},
    ]
    found = encode(rows, ["lr", "fusion", "depth"])
    assert found.columns == (slice(0, 1), slice(1, 4), slice(4, 5))
    np.testing.assert_allclose(found.values[:, 0], [1e-3, 1e-2, 3e-3, 4e-3])
    np.testing.assert_array_equal(found.values[:, 1:4], [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(found.values[:, 4], [2, 4, 4, 9])
    np.testing.assert_array_equal(found.present, [[True] * 4, [True] * 4, [True, False, True, True]])


def sobol_total(shape: tuple[int, ...], values: np.ndarray) -> list[float]:
    """Total Sobol indices of a function on a grid, by the definition: mean variance with all others held."""
    axes = range(len(shape))
    table = values.reshape(shape)
    return [
        float(
            np.mean(
                [
                    table[tuple(slice(None) if axis == own else at[axis] for axis in axes)].var()
                    for at in itertools.product(*map(range, shape))
                ]
            )
            / table.var()
        )
        for own in axes
    ]


def test_it_tends_to_the_total_sobol_index() -> None:
    shape = (6, 5, 4)
    points = list(itertools.product(*map(range, shape)))
    response = np.array([3.0 * a + b * b + 2.0 * (a > 2) * (b > 2) for a, b, _ in points])
    encoded = encode([dict(zip("abc", map(float, point), strict=True)) for point in points * 4], "abc")
    found, explained = permutation_importance(encoded, np.tile(response, 4), 60, np.random.default_rng(0))
    np.testing.assert_allclose(found, sobol_total(shape, response), atol=0.03)
    assert found[2] == pytest.approx(0, abs=0.002)
    assert explained > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, 30])
def test_what_does_nothing_has_none_on_average_and_a_standard_error_that_holds_it(count: int) -> None:
    estimates, errors = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        rows = [
            {"live": rng.uniform(), "dead": rng.uniform(), "word": str(rng.integers(3))} for _ in range(count)
        ]
        response = np.array([row["live"] for row in rows]) + 0.05 * rng.standard_normal(count)
        encoded = encode(rows, ["live", "dead", "word"])
        estimates.append(permutation_importance(encoded, response, 100, rng)[0])
        errors.append(standard_errors(encoded, response, rng))
    mean = np.mean(estimates, axis=0)
    assert np.all(np.abs(mean[1:]) < 0.03)
    assert mean[0] > 0.3
    assert np.all(np.std(estimates, axis=0)[1:] < 1.2 * np.mean(errors, axis=0)[1:])


def test_a_parameter_of_a_branch_is_compared_within_it() -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for _ in range(200):
        kind = str(rng.choice(["plain", "deep"]))
        rows.append({"kind": kind, **({"depth": rng.uniform()} if kind == "deep" else {})})
    response = np.array([2.0 + row["depth"] if "depth" in row else 0.0 for row in rows])
    encoded = encode(rows, ["kind", "depth"])
    (kind, depth), _ = permutation_importance(encoded, response, 100, rng)
    within = response[encoded.present[1]].var() * encoded.present[1].mean() / response.var()
    assert depth == pytest.approx(within, rel=0.3)
    assert kind > 0.8


def test_few_trials_that_are_alike_explain_nothing() -> None:
    encoded = encode([{"a": float(n)} for n in range(6)], ["a"])
    found, explained = permutation_importance(encoded, np.ones(6), 5, np.random.default_rng(0))
    assert found.tolist() == [0.0] and explained == 0.0
