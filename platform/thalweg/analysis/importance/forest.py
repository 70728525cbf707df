"""Permutation importance in a random forest, measured on trials that a tree has not seen."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
from jaxtyping import Bool, Float32, Float64
from sklearn.tree import DecisionTreeRegressor

NUM_TREES = 64
"""Trees of a forest of half of the trials; the forest of all trials has four times as many."""
NUM_HALVES = 40
"""Random halves of the trials, of which the standard error is taken."""


@dataclass(frozen=True)
class Encoded:
    """The parameters of some trials as numbers.

    Attributes:
        values: One column for a numeric parameter, one for each value of another. A trial without a parameter has the
            median of the others, or no value.
        columns: Columns of each parameter.
        present: Trials that have each parameter.
    """

    values: Float32[np.ndarray, "trial column"]
    columns: tuple[slice, ...]
    present: Bool[np.ndarray, "parameter trial"]

    def of(self, chosen: np.ndarray) -> Encoded:
        """Returns some of the trials."""
        return Encoded(self.values[chosen], self.columns, self.present[:, chosen])


def encode(params: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Encoded:
    """Returns the parameters of trials as numbers, for trees, to which only the order of numbers matters."""
    columns, places, first = [], [], 0
    for name in names:
        found = _columns([each.get(name) for each in params], [name in each for each in params])
        columns.append(found)
        places.append(slice(first, first + found.shape[1]))
        first += found.shape[1]
    present = np.array([[name in each for each in params] for name in names])
    return Encoded(np.concatenate(columns, axis=1).astype(np.float32), tuple(places), present)


def _columns(values: Sequence[Any], present: Sequence[bool]) -> Float64[np.ndarray, "trial column"]:
    known = [value for value, there in zip(values, present, strict=True) if there]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        usual = float(np.median(known))
        return np.array(
            [[float(value) if there else usual] for value, there in zip(values, present, strict=True)]
        )
    words = [json.dumps(value, sort_keys=True, default=str) for value in values]
    kinds = sorted({word for word, there in zip(words, present, strict=True) if there})
    return np.array(
        [
            [float(there and word == kind) for kind in kinds]
            for word, there in zip(words, present, strict=True)
        ]
    )


def permutation_importance(
    encoded: Encoded, response: Float64[np.ndarray, " trial"], num_trees: int, rng: np.random.Generator
) -> tuple[Float64[np.ndarray, " parameter"], float]:
    """Returns the permutation importance of each parameter, and the share of the variance that the forest explains.

    Each tree is grown on a bootstrap sample and judged on the trials that are not in it (Breiman 2001,
    doi:10.1023/A:1010933404324): by how much its squared error grows when a parameter is permuted among them. Half of
    that growth, as a share of the variance, estimates the total Sobol index of the parameter (Gregorutti, Michel and
    Saint-Pierre 2017, doi:10.1007/s11222-016-9646-1). It is 0 on average, and often below 0, for one that does nothing.
    A parameter of one branch is permuted among the trials of this branch.

    Args:
        encoded: The parameters.
        response: What is explained.
        num_trees: Number of trees.
        rng: Draws samples and permutations.
    """
    grown = np.zeros(len(encoded.columns))
    error, count = 0.0, 0
    with sklearn.config_context(skip_parameter_validation=True):  # a third of the time of so small trees
        for _ in range(num_trees):
            growth, squares, number = _of_a_tree(encoded, response, rng)
            grown += growth
            error += squares
            count += number
    variance = float(response.var())
    if not count or not variance:
        return np.zeros(len(encoded.columns)), 0.0
    return grown / (2 * count * variance), 1 - error / (count * variance)


def _of_a_tree(
    encoded: Encoded, response: Float64[np.ndarray, " trial"], rng: np.random.Generator
) -> tuple[Float64[np.ndarray, " parameter"], float, int]:
    """Grows a tree; returns the growth of its squared error by parameter, that error, and the number of trials."""
    count, width = encoded.values.shape
    chosen = rng.integers(0, count, count)
    judged = np.flatnonzero(np.bincount(chosen, minlength=count) == 0)
    if len(judged) < 2:
        return np.zeros(len(encoded.columns)), 0.0, 0
    tree = DecisionTreeRegressor(max_features=math.ceil(width / 2), random_state=int(rng.integers(2**31)))
    tree.fit(encoded.values[chosen], response[chosen], check_input=False)
    given = encoded.values[judged]
    permuted = []
    for columns, present in zip(encoded.columns, encoded.present, strict=True):
        changed, where = given.copy(), np.flatnonzero(present[judged])
        changed[where, columns] = given[rng.permutation(where), columns]
        permuted.append(changed)
    found = tree.predict(np.concatenate([given, *permuted]), check_input=False).reshape(-1, len(judged))
    squares = np.square(found - response[judged]).sum(1)
    return squares[1:] - squares[0], float(squares[0]), len(judged)


def standard_errors(
    encoded: Encoded, response: Float64[np.ndarray, " trial"], rng: np.random.Generator
) -> Float64[np.ndarray, " parameter"]:
    """Returns the standard error of each importance by the jackknife that leaves out half of the trials.

    With halves, the spread of the estimates is the standard error of the whole (Shao and Wu 1989,
    doi:10.1214/aos/1176347263). A bootstrap would put copies of a trial on both sides of a tree.
    """
    count = len(response)
    half = count // 2
    found = []
    for _ in range(NUM_HALVES):
        chosen = rng.permutation(count)[:half]
        found.append(permutation_importance(encoded.of(chosen), response[chosen], NUM_TREES, rng)[0])
    spread: Float64[np.ndarray, " parameter"] = np.std(found, axis=0, ddof=1)
    return spread * math.sqrt(half / (count - half))
