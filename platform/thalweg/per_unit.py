"""Sums that are kept apart by unit: catchment and year, scene, season."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_MAX_CODE = 2**62


@dataclass(frozen=True)
class PerUnit:
    """A table of sums with one row for each unit. Adding two tables adds the rows of equal units.

    Units need not be known in advance, and tables of different workers may hold different ones. `of` makes a table from
    any number of rows; the plain constructor takes rows whose units are unique and sorted already.

    Attributes:
        keys: Keys of the units, int64 (unit, part), such as (catchment, year); unique and ascending.
        values: Sums of each unit, float64 (unit, ...).
    """

    keys: Tensor
    values: Tensor

    @classmethod
    def of(cls, keys: Tensor, values: Tensor) -> PerUnit:
        """Returns the table of some rows; rows of the same unit are added up.

        Args:
            keys: Integers (row, part), or (row,) for keys of one part.
            values: (row, ...); any number type.

        Raises:
            ValueError: The numbers of keys and values differ.
        """
        if len(keys) != len(values):
            raise ValueError(f"keys and values must be equally many, got {len(keys)} and {len(values)}")
        keys = keys.long() if keys.ndim == 2 else keys.long()[:, None]
        values = values.double()
        codes = _codes(keys)
        if codes is None:
            units, places = torch.unique(keys, dim=0, return_inverse=True)
        else:
            _, places = torch.unique(codes, return_inverse=True)
            units = keys.new_empty(int(places.max()) + 1 if len(places) else 0, keys.shape[1])
            units[places] = keys
        if len(units) == len(keys):  # nothing to add, only to sort
            sums = torch.empty_like(values)
            sums[places] = values
        else:
            sums = values.new_zeros(len(units), *values.shape[1:]).index_add_(0, places, values)
        return cls(units, sums)

    def __add__(self, other: PerUnit) -> PerUnit:
        """Adds two tables."""
        if torch.equal(self.keys, other.keys):
            return PerUnit(self.keys, self.values + other.values)
        return PerUnit.joined((self, other))

    @classmethod
    def joined(cls, tables: Sequence[PerUnit]) -> PerUnit:
        """Adds up one or more tables."""
        return cls.of(
            torch.cat([table.keys for table in tables]), torch.cat([table.values for table in tables])
        )

    def __len__(self) -> int:
        return len(self.keys)

    def empty(self) -> PerUnit:
        """Returns the table of the same shape without any unit: the zero of the addition."""
        return PerUnit(self.keys[:0], self.values[:0])

    def to(self, device: torch.device | str) -> PerUnit:
        """Returns the table on a device."""
        return PerUnit(self.keys.to(device), self.values.to(device))

    def total(self) -> Tensor:
        """Returns the sum over all units, (...)."""
        return self.values.sum(0)

    def by(self, *parts: int) -> PerUnit:
        """Returns the table of coarser units: ``by(0)`` sums (catchment, year) over the years.

        Args:
            parts: Indices of the parts of the keys to keep, in their new order.
        """
        return PerUnit.of(self.keys[:, list(parts)], self.values)

    def at(self, keys: Tensor) -> Tensor:
        """Returns the sums of some units, (row, ...); 0 for a unit that the table does not hold.

        Args:
            keys: Unique keys, (row, part).
        """
        units, places = torch.unique(torch.cat([self.keys, keys]), dim=0, return_inverse=True)
        sums = self.values.new_zeros(len(units), *self.values.shape[1:])
        sums[places[: len(self)]] = self.values
        return sums[places[len(self) :]]


def _codes(keys: Tensor) -> Tensor | None:
    """Encodes each key as one integer, in the same order, to sort faster; None if the integers would be too large."""
    if not len(keys):
        return keys.sum(1)
    low, high = keys.amin(0), keys.amax(0)
    # Python's integers: a difference of two hashes may be too large for one of 64 bits.
    spans = [last - first + 1 for first, last in zip(low.tolist(), high.tolist(), strict=True)]
    product = 1
    for span in spans:
        product *= span
    if product >= _MAX_CODE:
        return None
    codes = torch.zeros_like(keys[:, 0])
    for part, span in enumerate(spans):
        codes = codes * span + keys[:, part] - low[part]
    return codes
