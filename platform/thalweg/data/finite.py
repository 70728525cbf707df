"""Finds the first non-finite value in batches."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class NonFinite:
    """A value that is not finite.

    Attributes:
        batch: Number of the batch.
        key: Name of the tensor in the batch.
        index: Its index in the tensor; the first axis is the sample.
        value: NaN or an infinity.
        count: Number of values of the tensor that are not finite.
    """

    batch: int
    key: str
    index: tuple[int, ...]
    value: float
    count: int

    def __str__(self) -> str:
        where = ", ".join(map(str, self.index))
        others = f", and {self.count - 1} more" if self.count > 1 else ""
        return f"{self.key}[{where}] of batch {self.batch} is {self.value}{others}"


def first_non_finite(batches: Iterable[Mapping[str, Tensor]]) -> NonFinite | None:
    """Searches batches in order, each in the order of its keys; returns None if all values are finite.

    The first value of a tensor is that with the smallest index, sample by sample.
    """
    for number, batch in enumerate(batches):
        for key, values in batch.items():
            wrong = ~torch.isfinite(values)
            count = int(wrong.sum())
            if count:
                index = tuple(wrong.nonzero()[0].tolist())
                return NonFinite(number, key, index, float(values[index]), count)
    return None
