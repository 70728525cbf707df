"""Inputs of a model in physical units are checked before it sees them."""

from typing import Any

import numpy as np
import pytest

from thalweg.errors import DataError
from thalweg.serving.quantities import Quantity, checked, zeros

TAKEN = (
    Quantity(name="t2m", unit="K", dims=("longitude", "latitude"), shape=(4, 3), mean=280.0, std=9.0),
    Quantity(name="day", unit="d", dims=("step",), shape=(-1,), dtype="int64"),
)


def test_arrays_get_the_type_of_their_quantity_and_others_are_left_out() -> None:
    given = {"day": [[3, 4]], "t2m": np.zeros((1, 4, 3)), "rain": np.zeros(9)}
    found = checked(given, TAKEN)
    assert list(found) == ["t2m", "day"]
    assert [str(array.dtype) for array in found.values()] == ["float32", "int64"]


@pytest.mark.parametrize(
    ("changed", "law"),
    [
        ({"t2m": None}, r"no input 't2m' in what the model is given"),
        (
            {"t2m": np.zeros((4, 3))},
            r"must have the shape \(sample, longitude 4, latitude 3\), in K, got \(4, 3\)",
        ),
        ({"t2m": np.zeros((2, 3, 4))}, r"got \(2, 3, 4\); give one sample"),
        ({"day": np.zeros((1, 2))}, r"equally many samples, got \{'t2m': 2, 'day': 1\}"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], law: str) -> None:
    given = {**zeros(TAKEN), **changed}
    given = {name: array for name, array in given.items() if array is not None}
    with pytest.raises(DataError, match=law):
        checked(given, TAKEN)


def test_zeros_fit() -> None:
    assert {name: array.shape for name, array in checked(zeros(TAKEN), TAKEN).items()} == {
        "t2m": (2, 4, 3),
        "day": (2, 1),
    }
