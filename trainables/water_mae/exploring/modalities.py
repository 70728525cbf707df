"""What the modalities of a data set hold, as they are in its files: read piece by piece, nothing filled or left out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

from thalweg.contract import SplitName
from thalweg.data.faults import Faults
from thalweg.data.hdf5 import read_days
from thalweg.data.normalization import Moments
from thalweg.data.survey import Extremes
from trainables.water_mae.config import IMAGE_MODALITIES, VECTOR_MODALITIES
from trainables.water_mae.data.catchments import COLUMNS, arrange, require_rows
from trainables.water_mae.data.grids import Inputs, LandCheck
from trainables.water_mae.data.layout import ATTRIBUTES
from trainables.water_mae.data.tables import read_attributes, read_series
from trainables.water_mae.data.values import raise_found, survey_cells

MAX_SAMPLED = 200_000
"""Values of a modality and split that its distribution is drawn of, evenly over all."""


@dataclass(frozen=True)
class Modality:
    """A modality of a data set, in the unit of its files. A place is a land cell or a catchment.

    Attributes:
        name: Its name.
        extremes: Its extremes, and how many values are missing.
        moments: Mean and spread of all values.
        mean: Mean of each place over its days with data; NaN without.
        missing: Share of days without data of each place.
        series: Mean of each day over places with data; NaN without.
        covered: Share of places with data on each day.
        sampled: Some values of each split.
    """

    name: str
    extremes: Extremes
    moments: Moments
    mean: Float64[np.ndarray, " place"]
    missing: Float64[np.ndarray, " place"]
    series: Float64[np.ndarray, " day"]
    covered: Float64[np.ndarray, " day"]
    sampled: Mapping[SplitName, Float32[np.ndarray, " value"]]


@dataclass(frozen=True)
class Series:
    """The daily series of all catchments.

    Attributes:
        ids: NRFA gauge numbers.
        values: Evaporation and river flow in mm/day; NaN if unknown.
        static: Attributes, NaN if unknown.
        extremes: Extremes by modality.
    """

    ids: Int64[np.ndarray, " catchment"]
    values: Float32[np.ndarray, "day 2 catchment"]
    static: Float64[np.ndarray, "catchment attribute"]
    extremes: Mapping[str, Extremes]

    def attribute(self, name: str) -> Float64[np.ndarray, " catchment"]:
        """Returns an attribute of each catchment."""
        column: Float64[np.ndarray, " catchment"] = self.static[:, ATTRIBUTES.index(name)]
        return column


class _Summary:
    """Sums up pieces of a modality.

    Args:
        num_places: Number of places.
        spans: Positions of each split on the day axis.
    """

    def __init__(self, num_places: int, spans: Mapping[SplitName, range]) -> None:
        num_days = sum(map(len, spans.values()))
        self._sums = np.zeros(num_places)
        self._counts = np.zeros(num_places, np.int64)
        self._series = np.full(num_days, np.nan)
        self._covered = np.zeros(num_days)
        self._sampled: dict[SplitName, list[Float32[np.ndarray, " value"]]] = {split: [] for split in spans}
        self._steps = {split: _stride(len(days), num_places) for split, days in spans.items()}
        self._moments = Moments()

    def update(
        self,
        split: SplitName,
        first: int,
        values: Float32[np.ndarray, "day place"],
        known: Bool[np.ndarray, "day place"],
    ) -> None:
        """Adds days of a split, the first of which has this position among all days."""
        exact = np.where(known, values, 0).astype(np.float64)
        there, num_known = slice(first, first + len(values)), known.sum(axis=1)
        self._sums += exact.sum(axis=0)
        self._counts += known.sum(axis=0)
        self._covered[there] = num_known / known.shape[1]
        self._series[there] = np.where(num_known > 0, exact.sum(axis=1) / np.maximum(num_known, 1), np.nan)
        self._sampled[split].append(values[known][:: self._steps[split]])
        self._moments.update(values[known])

    def of(self, name: str, extremes: Extremes) -> Modality:
        """Returns what was summed up."""
        return Modality(
            name=name,
            extremes=extremes,
            moments=self._moments,
            mean=np.where(self._counts > 0, self._sums / np.maximum(self._counts, 1), np.nan),
            missing=1 - self._counts / len(self._series),
            series=self._series,
            covered=self._covered,
            sampled={split: np.concatenate(pieces) for split, pieces in self._sampled.items()},
        )


def _stride(num_days: int, num_places: int) -> int:
    """Returns a stride that no number of places is a multiple of, so that all places are sampled."""
    stride = max(1, -(-num_days * num_places // MAX_SAMPLED))
    while math.gcd(stride, num_places) > 1:
        stride += 1
    return stride


def read_modalities(inputs: Inputs, series: Series) -> tuple[dict[str, Modality], list[str]]:
    """Reads all modalities; returns them with sentences on what is missing in them.

    Raises:
        DataError: Values are implausible; the faults of all grids are reported at once.
    """
    faults, notes, found = Faults(), [], {}
    for name in IMAGE_MODALITIES:
        with faults.collected():
            found[name], said = _read_image(name, inputs)
            notes += said
    faults.raise_if_any()
    for number, name in enumerate(VECTOR_MODALITIES):
        summary = _Summary(len(series.ids), inputs.spans)
        for split, span in inputs.spans.items():
            values = series.values[span.start : span.stop, number]
            summary.update(split, span.start, values, np.isfinite(values))
        found[name] = summary.of(name, series.extremes[name])
    return found, notes


def _read_image(name: str, inputs: Inputs) -> tuple[Modality, list[str]]:
    land = np.flatnonzero(inputs.land)
    summary, extremes, unit, faults = _Summary(len(land), inputs.spans), Extremes(), "", Faults()
    count = interpolated = 0
    for split, span in inputs.spans.items():
        grid = inputs.grids[f"{name}_{split}"]
        check, survey = (
            LandCheck(grid),
            survey_cells(name, grid.path, inputs.land, grid.encoding.units, like=unit),
        )
        survey.allow(grid.encoding.precision)
        for first, days in read_days(grid):
            values = days.reshape(len(days), -1)[:, land]
            known = check.update(first, values)
            survey.update(values, known, grid.dates[first : first + len(days)])
            summary.update(split, span.start + first, values, known)
        raise_found(None, survey, faults)
        extremes += survey.extremes
        unit = unit or survey.extremes.unit
        count, interpolated = count + check.count, interpolated + int(grid.interpolated.sum())
    faults.raise_if_any()
    notes = [f"{name}: {count:,} values of land cells are missing"] if count else []
    if interpolated:
        notes.append(f"{name}: {interpolated:,} days were interpolated at the import and count as missing")
    return summary.of(name, extremes), notes


def read_all_series(files: Mapping[str, Path], dates: Shaped[np.ndarray, " day"]) -> Series:
    """Reads the series and attributes of all catchments, whatever is missing in them.

    Raises:
        DataError: A table is broken, or values are implausible.
    """
    faults = Faults()
    read = faults.attempt(lambda: arrange(files["series"], read_series(files["series"], COLUMNS), dates))
    attributes = faults.attempt(lambda: read_attributes(files["attributes"], ATTRIBUTES))
    faults.raise_if_any()
    assert read is not None and attributes is not None
    ids, values, extremes = read
    require_rows(files["attributes"], attributes, ids)
    values[:, 1] = np.maximum(values[:, 1], 0)  # packing may have moved a dry day below 0; NaN stays
    static = attributes.loc[ids, list(ATTRIBUTES)].to_numpy(np.float64)
    return Series(ids=ids, values=values, static=static, extremes=extremes)
