"""Quantities that a trained model takes and gives, in physical units, and the protocol of tasks that know them.

A family whose task has the methods of `PredictsQuantities` can be registered: ``thalweg register STUDY`` then puts its
model into MLflow, and `thalweg.inference` predicts from arrays alone, without the data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from thalweg.errors import DataError, nothing

if TYPE_CHECKING:
    from torch import nn

SAMPLE = "sample"
Arrays = Mapping[str, npt.NDArray[Any]]
"""Arrays by the name of their quantity; the first axis is the sample."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """An array that a model takes or gives.

    Attributes:
        name: Its name among the inputs or outputs.
        unit: Unit of its values, ``"1"`` for dimensionless ones.
        dims: Names of its axes after the sample.
        shape: Lengths of these axes; -1 for any length.
        meaning: What it is, in a few words.
        mean: Mean by which it is normalised, one number or one for each band; None if it is not.
        std: Standard deviation by which it is normalised.
        dtype: Name of numpy's type of its values.
    """

    name: str
    unit: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    meaning: str = ""
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    dtype: str = "float32"

    @property
    def axes(self) -> str:
        """Its axes in words: ``(sample, band 13, row 64, column 64)``."""
        own = (
            dim if length < 0 else f"{dim} {length}"
            for dim, length in zip(self.dims, self.shape, strict=True)
        )
        return f"({', '.join((SAMPLE, *own))})"


@runtime_checkable
class PredictsQuantities(Protocol):
    """What a `thalweg.contract.Task` is too if its models predict from arrays in physical units."""

    def quantities(self, facts: Mapping[str, Any]) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
        """Returns what the model takes and what it gives.

        Args:
            facts: What `Task.facts` returned for the data of training; arrays may come as tensors.
        """

    def predict_quantities(self, model: nn.Module, inputs: Arrays, facts: Mapping[str, Any]) -> Arrays:
        """Predicts from arrays in physical units, and returns such.

        Args:
            model: The model, in evaluation mode on the CPU; gradients are off.
            inputs: An array for each quantity that it takes, of its type and shape.
            facts: As in `quantities`.
        """


def checked(inputs: Mapping[str, Any], taken: Sequence[Quantity]) -> dict[str, npt.NDArray[Any]]:
    """Returns inputs as arrays of the type of their quantities.

    Args:
        inputs: Anything that numpy makes an array of, by name, such as an ``xarray.Dataset``; others are left out.
        taken: The quantities.

    Raises:
        DataError: One is missing, has another shape, or not as many samples as the others.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    for each in taken:
        if each.name not in inputs:
            raise DataError(
                nothing(f"input {each.name!r}", "what the model is given", each.name, list(inputs))
            )
        array = np.asarray(inputs[each.name], dtype=each.dtype)
        if not _fits(array.shape, each.shape):
            raise DataError(
                f"{each.name} must have the shape {each.axes}, in {each.unit}, got {array.shape}; give one sample as "
                "an array with a first axis of length 1"
            )
        found[each.name] = array
    lengths = {name: len(array) for name, array in found.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"inputs must hold equally many samples, got {lengths}; cut them to the same ones")
    return found


def _fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(shape) == len(expected) + 1 and all(
        length in (-1, own) for own, length in zip(shape[1:], expected, strict=True)
    )


def zeros(taken: Sequence[Quantity], samples: int = 2) -> dict[str, npt.NDArray[Any]]:
    """Returns inputs of zeros, one cell along axes of any length, to try a model."""
    return {
        each.name: np.zeros((samples, *(max(length, 1) for length in each.shape)), each.dtype)
        for each in taken
    }
