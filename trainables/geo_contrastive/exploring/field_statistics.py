"""Statistics of a variable over all days, read block by block."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from thalweg.data.normalization import DAYS_OF_YEAR
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.layout import block_days
from trainables.geo_contrastive.exploring.maps import in_units

_ROUNDING = 1e-7  # of z-scores in single precision


@dataclass(frozen=True)
class Extreme:
    """The smallest or largest value of a variable.

    Attributes:
        value: The value, in the variable's unit.
        position: Its day.
        cell: Its longitude and latitude, or x and y, as positions on the grid.
    """

    value: float
    position: int
    cell: tuple[int, int]


@dataclass(frozen=True)
class FieldStatistics:
    """Statistics of a variable, in its unit.

    Attributes:
        mean: Mean of each cell over all days; NaN without data.
        std: Standard deviation of the same.
        series: Mean of each day over cells with data, by area, for each of the `bands`.
        cycle: The same of the training split's climatology, for each day of the year; NaN where neither it nor the days
            beside it are in any year.
        low: Smallest value of all days and cells.
        high: Largest value.
    """

    mean: Float64[np.ndarray, "lon lat"]
    std: Float64[np.ndarray, "lon lat"]
    series: Mapping[str, Float64[np.ndarray, " day"]]
    cycle: Mapping[str, Float64[np.ndarray, " year_day"]]
    low: Extreme
    high: Extreme


def statistics_of(data: FieldData, name: str) -> FieldStatistics:
    """Computes the statistics of a variable; sums are in double precision, and few days are in memory at a time."""
    variable, fields, valid = data.variables[name], data.fields[name], data.valid[name]
    weights = bands(data, name)
    total, squares = np.zeros((2, *valid.shape))
    series = {band: np.empty(len(fields)) for band in weights}
    low, high = Extreme(np.inf, 0, (0, 0)), Extreme(-np.inf, 0, (0, 0))
    step = block_days(valid.shape)
    for first in range(0, len(fields), step):
        block = np.asarray(fields[first : first + step], np.float64)
        total += block.sum(0)
        squares += np.square(block).sum(0)
        for band, shares in weights.items():
            series[band][first : first + step] = np.einsum("dij,ij->d", block, shares)
        smallest = _extreme(np.where(valid, block, np.inf), first, largest=False)
        largest = _extreme(np.where(valid, block, -np.inf), first, largest=True)
        low = min(low, smallest, key=lambda each: each.value)
        high = max(high, largest, key=lambda each: each.value)
    mean = total / len(fields)
    variance = np.maximum(squares / len(fields) - mean**2, 0)  # of z-scores, whose mean is near 0
    climatology = data.climatology[name].astype(np.float64)
    dated = _near_a_day(data)
    return FieldStatistics(
        mean=np.where(valid, in_units(variable, mean), np.nan),
        std=np.where(valid, np.sqrt(variance) * variable.std, np.nan),
        series={band: in_units(variable, each) for band, each in series.items()},
        cycle={
            band: np.where(dated, in_units(variable, np.einsum("dij,ij->d", climatology, shares)), np.nan)
            for band, shares in weights.items()
        },
        low=_in_unit(data, name, low),
        high=_in_unit(data, name, high),
    )


def bands(data: FieldData, name: str) -> dict[str, Float64[np.ndarray, "lon lat"]]:
    """Returns the share of each cell in a mean: of each hemisphere where a grid has both, for seasons are opposed."""
    grid, valid = data.grids[data.variables[name].grid], data.valid[name]
    area = np.where(valid, grid.weights, 0).astype(np.float64)
    halves = {"north of the equator": grid.second > 0, "south of the equator": grid.second < 0}
    masks = {band: area * half for band, half in halves.items() if grid.geographic and (area * half).any()}
    if len(masks) < len(halves):
        masks = {"all cells": area}
    return {band: each / each.sum() for band, each in masks.items()}


def _near_a_day(data: FieldData) -> Bool[np.ndarray, " year_day"]:
    """Returns which days of the year some year has, or has one beside; a calendar without 29 February has no hole."""
    known = np.zeros(DAYS_OF_YEAR, bool)
    known[data.day_of_year] = True
    near: Bool[np.ndarray, " year_day"] = known | np.roll(known, 1) | np.roll(known, -1)
    return near


def _extreme(block: Float64[np.ndarray, "day lon lat"], first: int, *, largest: bool) -> Extreme:
    place = int(block.argmax() if largest else block.argmin())
    day, east, north = (int(number) for number in np.unravel_index(place, block.shape))
    return Extreme(float(block[day, east, north]), first + day, (east, north))


def _in_unit(data: FieldData, name: str, found: Extreme) -> Extreme:
    variable = data.variables[name]
    value = float(in_units(variable, np.array([found.value]))[0])
    if abs(value) < _ROUNDING * (abs(variable.mean) + variable.std):  # no rain is no rain
        value = 0.0
    return Extreme(value, found.position, found.cell)
