"""What the modalities of a data set hold, as they are in its files: read piece by piece, nothing filled or left out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Float64, Shaped

from thalweg.contract import SplitName
from thalweg.data.faults import Faults
from thalweg.data.hdf5 import read_days
from thalweg.data.normalization import Moments
from thalweg.data.survey import Extremes
from trainables.water_mae.data.catchments import Ids, read_values, rows_of
from trainables.water_mae.data.grids import Inputs, LandCheck
from trainables.water_mae.data.layout import AREAS, POSITIONS
from trainables.water_mae.data.tables import numeric_columns, read_attributes
from trainables.water_mae.data.values import raise_found, survey_cells
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, ModalitySet
from trainables.water_mae.knobs import Modality as Row

MAX_SAMPLED = 200_000
"""Values of a modality and split that its distribution is drawn of, evenly over all."""
_LOCATED = {**POSITIONS, "area": AREAS}


@dataclass(frozen=True)
class Modality:
    """A modality of a data set, in the unit of its files. A place is a land cell or a catchment.

    Attributes:
        name: Its name.
        kind: ``field`` or ``series``.
        extremes: Its extremes, and how many values are missing.
        moments: Mean and spread of all values.
        mean: Mean of each place over its days with data; NaN without.
        missing: Share of days without data of each place.
        series: Mean of each day over places with data; NaN without.
        covered: Share of places with data on each day.
        sampled: Some values of each split.
    """

    name: str
    kind: str
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
        ids: Identifiers.
        modalities: The modalities, of which some are series.
        values: The series in the unit of the files; NaN if unknown.
        attributes: All columns of numbers of the attribute table, NaN if unknown.
        located: ``longitude``, ``latitude`` and ``area``, NaN if unknown.
        extremes: Extremes by modality.
    """

    ids: Ids
    modalities: ModalitySet
    values: Float32[np.ndarray, "day series catchment"]
    attributes: pd.DataFrame
    located: pd.DataFrame
    extremes: Mapping[str, Extremes]

    def attribute(self, name: str) -> Float64[np.ndarray, " catchment"]:
        """Returns an attribute of each catchment, its position in degrees, or its area in km2."""
        table = self.located if name in self.located else self.attributes
        return table[name].to_numpy(np.float64)

    @property
    def is_located(self) -> bool:
        """Whether the position of any catchment is known."""
        return bool(self.located[["longitude", "latitude"]].notna().all(axis=1).any())

    @property
    def main(self) -> int:
        """Index of the series that hydrographs show: river flow, or else the first without negative values."""
        measured = self.modalities.measured or self.modalities.series
        name = "river_flow" if "river_flow" in self.modalities.series else measured[0]
        return self.modalities.series.index(name)

    @property
    def main_name(self) -> str:
        """Name of that series."""
        return self.modalities.series[self.main]

    @property
    def main_unit(self) -> str:
        """Unit of that series in the files."""
        return self.extremes[self.main_name].unit


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

    def of(self, name: str, kind: str, extremes: Extremes) -> Modality:
        """Returns what was summed up."""
        return Modality(
            name=name,
            kind=kind,
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


def read_modalities(
    inputs: Inputs, series: Series | None, modalities: ModalitySet
) -> tuple[dict[str, Modality], list[str]]:
    """Reads all modalities; returns them with sentences on what is missing in them.

    Raises:
        DataError: Values are implausible; the faults of all grids are reported at once.
    """
    faults, notes, found = Faults(), [], {}
    for name in modalities.fields:
        with faults.collected():
            found[name], said = _read_image(modalities[name], inputs)
            notes += said
    faults.raise_if_any()
    for number, name in enumerate(modalities.series if series else ()):
        assert series is not None
        summary = _Summary(len(series.ids), inputs.spans)
        for split, span in inputs.spans.items():
            values = series.values[span.start : span.stop, number]
            summary.update(split, span.start, values, np.isfinite(values))
        found[name] = summary.of(name, "series", series.extremes[name])
    return found, notes


def _read_image(row: Row, inputs: Inputs) -> tuple[Modality, list[str]]:
    name = row.name
    land = np.flatnonzero(inputs.land)
    summary, extremes, unit, faults = _Summary(len(land), inputs.spans), Extremes(), "", Faults()
    count = interpolated = 0
    for split, span in inputs.spans.items():
        grid = inputs.grids[f"{name}_{split}"]
        check, survey = (
            LandCheck(grid),
            survey_cells(row, grid.path, inputs.land, grid.encoding.units, like=unit),
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
    return summary.of(name, "field", extremes), notes


def read_all_series(
    files: Mapping[str, Path], dates: Shaped[np.ndarray, " day"], modalities: ModalitySet
) -> Series:
    """Reads the series and attributes of all catchments, whatever is missing in them; none of data of fields alone.

    Raises:
        DataError: A table is broken, or values are implausible.
    """
    if not modalities.series:
        return _no_series(len(dates), modalities)
    faults = Faults()
    read = faults.attempt(lambda: read_values(files["series"], dates, modalities))
    table_and_columns = faults.attempt(lambda: _read_attributes(files["attributes"]))
    faults.raise_if_any()
    assert read is not None and table_and_columns is not None
    (ids, values, extremes), (table, columns) = read, table_and_columns
    table = rows_of(files["attributes"], table, ids)
    located = table.reindex(columns=list(_LOCATED))
    return Series(
        ids=ids,
        modalities=modalities.declared({name: found.unit for name, found in extremes.items()}),
        values=values,
        attributes=table[columns],
        located=located,
        extremes=extremes,
    )


def _no_series(num_days: int, modalities: ModalitySet) -> Series:
    return Series(
        ids=np.zeros(0, np.int64),
        modalities=modalities,
        values=np.zeros((num_days, 0, 0), np.float32),
        attributes=pd.DataFrame(),
        located=pd.DataFrame(columns=list(_LOCATED), dtype=np.float64),
        extremes={},
    )


def _read_attributes(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Reads all columns of numbers, and returns their names too.

    Those of the published experiment must all be there if most of them are.
    """
    found = numeric_columns(path)
    is_published = sum(name in found for name in NRFA_ATTRIBUTES) > len(NRFA_ATTRIBUTES) / 2
    columns = list(NRFA_ATTRIBUTES) if is_published else found
    return read_attributes(path, columns, _LOCATED), columns
