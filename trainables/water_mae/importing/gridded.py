"""Gridded fields for a data set: from variables of files, or interpolated from gauges."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped
from scipy.spatial import KDTree

from thalweg.data.hdf5 import CHUNK_DAYS
from thalweg.errors import ConfigError, DataError
from thalweg.wording import some
from trainables.water_mae.importing.gridding import InverseDistance
from trainables.water_mae.importing.opened import Variable
from trainables.water_mae.importing.units import Converter, converter

Days = Shaped[np.ndarray, " day"]


class Field(Protocol):
    """A field on some days."""

    @property
    def name(self) -> str:
        """Name of the modality."""

    @property
    def convert(self) -> Converter:
        """Converts the unit; its target is the unit of the values."""

    @property
    def days(self) -> Days:
        """Days that it has, in order."""

    @property
    def where(self) -> Path:
        """A file that it comes from."""

    @property
    def precision(self) -> float:
        """Rounding error of packing."""

    def blocks(self, days: Days) -> Iterator[Float32[np.ndarray, "day row col"]]:
        """Yields some days that it has, a few at a time, NaN for missing data."""


@dataclass(frozen=True)
class FileField:
    """A field in files, one after the other in time.

    Attributes:
        name: Name of the modality.
        pieces: Its variables, in order of time.
        convert: Converts the unit.
    """

    name: str
    pieces: tuple[Variable, ...]
    convert: Converter

    @property
    def days(self) -> Days:
        """Days that it has, in order."""
        return np.concatenate([each.days for each in self.pieces])

    @property
    def where(self) -> Path:
        """The first file."""
        return self.pieces[0].path

    @property
    def precision(self) -> float:
        """Rounding error of packing."""
        return max(each.encoding.precision for each in self.pieces) * abs(self.convert.scale)

    def blocks(self, days: Days) -> Iterator[Float32[np.ndarray, "day row col"]]:
        """Yields some days that it has, a few at a time, NaN for missing data."""
        for first in range(0, len(days), CHUNK_DAYS):
            chunk = days[first : first + CHUNK_DAYS]
            out = np.full((len(chunk), *self.pieces[0].array.shape[1:]), np.nan, np.float32)
            for piece in self.pieces:
                at = np.flatnonzero(np.isin(piece.days, chunk))
                if at.size:
                    values = piece.read(slice(int(at[0]), int(at[-1]) + 1))[at - at[0]]
                    out[np.searchsorted(chunk, piece.days[at])] = values
            yield self.convert(out)


def file_field(name: str, pieces: Sequence[Variable], declared: str, wanted: str) -> FileField:
    """Joins the variables of a field.

    Args:
        name: Name of the modality.
        pieces: Its variables in all files.
        declared: Unit in the files, if they declare none.
        wanted: Unit to write; empty takes the usual one.

    Raises:
        DataError: They have levels, differ in shape or unit, two hold the same day, or the unit cannot be converted.
    """
    ordered = tuple(sorted(pieces, key=lambda each: each.days[0]))
    first = ordered[0]
    if first.surplus:
        raise DataError(
            f"{first.name} in {first.path} must have the dimensions time, y and x, got {some(first.surplus)} besides; "
            f"write one of {first.surplus[0]}, or name the fields to take with --option fields=..."
        )
    units = {each.encoding.units for each in ordered}
    strange = [each for each in ordered if not each.lies_like(first) or each.flipped != first.flipped]
    if len(units) > 1 or strange:
        where = (
            f"another grid in {strange[0].path} than in {first.path}" if strange else f"units {sorted(units)}"
        )
        raise DataError(
            f"{first.name} must have one grid and one unit in all files, got {where}; write it on one grid, in one unit"
        )
    for before, after in pairwise(ordered):
        if after.days[0] <= before.days[-1]:
            twice = "twice" if before.path == after.path else f"and in {after.path}"
            raise DataError(
                f"each day of {first.name} must be there once, got {after.days[0]} in {before.path} {twice}; take one "
                "of them away, such as another level"
            )
    unit = first.encoding.units or declared
    return FileField(name, ordered, converter(name, first.path, unit, wanted))


@dataclass(frozen=True)
class GaugeField:
    """A field interpolated from gauges by inverse distance, within reach of them.

    Attributes:
        name: Name of the modality.
        days: Days that it has, in order.
        values: Values of gauges, in the unit to write.
        convert: Says the unit.
        where: A file that it comes from.
        land: Cells that are written.
        interpolate: Interpolates to these cells.
    """

    name: str
    days: Days
    values: Float32[np.ndarray, "day gauge"]
    convert: Converter
    where: Path
    land: Bool[np.ndarray, "row col"]
    interpolate: InverseDistance
    precision: float = 0.0

    def blocks(self, days: Days) -> Iterator[Float32[np.ndarray, "day row col"]]:
        """Yields some days that it has, a few at a time, NaN for missing data."""
        for first in range(0, len(days), CHUNK_DAYS):
            chunk = days[first : first + CHUNK_DAYS]
            out = np.full((len(chunk), *self.land.shape), np.nan, np.float32)
            out[:, self.land] = self.interpolate(self.values[np.searchsorted(self.days, chunk)].T)
            yield out


def gauge_grid(
    positions: Float64[np.ndarray, "gauge 2"], cell: float, reach: float, max_cells: int
) -> tuple[Bool[np.ndarray, "row col"], InverseDistance]:
    """Makes a grid around gauges, the northern row first.

    Args:
        positions: Longitude and latitude of the gauges in degrees.
        cell: Size of a cell in degrees of latitude; cells are about square.
        reach: Distance from the nearest gauge within which cells count, in cells.
        max_cells: Largest number of cells of the grid.

    Returns:
        The cells that count, and what interpolates values of gauges to them.

    Raises:
        ConfigError: The grid would be too large.
    """
    narrowing = max(float(np.cos(np.radians(positions[:, 1].mean()))), 0.1)
    plane = positions * np.array([narrowing, 1.0])
    low, high = plane.min(axis=0) - reach * cell, plane.max(axis=0) + reach * cell
    columns, rows = np.ceil((high - low) / cell).astype(int).tolist()
    if columns * rows > max_cells:
        raise ConfigError(
            f"the grid must have at most {max_cells:,} cells, got {rows:,} x {columns:,} around the gauges; take "
            "catchments of one country with --option catchments=camelsgb_*, or larger cells with --option cell=0.5"
        )
    x = low[0] + cell * (np.arange(columns) + 0.5)
    y = high[1] - cell * (np.arange(rows) + 0.5)
    cells = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    apart, _ = KDTree(plane).query(cells)
    land = (apart <= reach * cell).reshape(rows, columns)
    metres = 111_195.0
    return land, InverseDistance(plane * metres, cells[land.ravel()] * metres)
