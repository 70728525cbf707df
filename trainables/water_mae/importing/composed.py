"""Writes a data set of any modalities, attributes and identifiers, with the checks that training would make."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Shaped

from thalweg.contract import SplitName
from thalweg.data.faults import Faults
from thalweg.data.store import staged
from thalweg.data.survey import Extremes, Survey
from thalweg.errors import ConfigError, DataError
from thalweg.wording import counted, some
from trainables.water_mae.data import layout, writing
from trainables.water_mae.data.grids import places
from trainables.water_mae.data.layout import Period, column_of
from trainables.water_mae.data.values import require_plausible_attributes, survey_cells, survey_series
from trainables.water_mae.importing.gridded import Field
from trainables.water_mae.importing.units import Converter
from trainables.water_mae.importing.usage import usage
from trainables.water_mae.knobs import PUBLISHED_SET, Modality, ModalitySet

_TRAIN_SHARE = 0.75


@dataclass(frozen=True)
class Series:
    """The series of gauges.

    Attributes:
        ids: Identifiers as text.
        days: The days.
        values: Values (day, gauge) by modality, in the unit to write.
        converts: How the unit came about, by modality.
        where: A file that they come from.
    """

    ids: Sequence[str]
    days: Shaped[np.ndarray, " day"]
    values: Mapping[str, Float32[np.ndarray, "day gauge"]]
    converts: Mapping[str, Converter]
    where: Path


@dataclass(frozen=True)
class DataSet:
    """What is to be written.

    Attributes:
        fields: The fields; there may be none.
        series: The series; None if there are fields alone.
        attributes: Attributes by gauge, indexed by identifier as text; positions and areas may be among them.
        chosen: Names of the attributes that a model is to see; None takes all that are known for some catchment.
        land: Land mask; None takes the cells that have data in every field.
        notes: Sentences on what was done.
        lenient: Whether catchments that lack a series within the splits are left out, and not refused.
    """

    fields: Sequence[Field]
    series: Series | None
    attributes: pd.DataFrame
    chosen: Sequence[str] | None
    land: Bool[np.ndarray, "row col"] | None = None
    notes: Sequence[str] = ()
    lenient: bool = False

    @property
    def modalities(self) -> ModalitySet:
        """Rows for a configuration that reads it."""
        rows = [modality_of(each.name, "field", each.convert.target) for each in self.fields]
        units = self.series.converts if self.series else {}
        rows += [modality_of(name, "series", each.target) for name, each in units.items()]
        return ModalitySet.of(rows)

    @property
    def described_by(self) -> tuple[str, ...]:
        """Names of the attributes that a model is to see, in order."""
        if self.chosen is not None or self.series is None:
            return tuple(self.chosen or ())
        table = self.attributes.reindex(list(self.series.ids))
        return tuple(str(name) for name in table.columns if table[name].notna().any())


def modality_of(name: str, kind: str, unit: str) -> Modality:
    """Returns the published row of a modality, or else one with its unit."""
    known = next((row for row in PUBLISHED_SET if (row.name, row.kind) == (name, kind)), None)
    if known is not None and (not unit or any(each.is_called(unit) for each in known.bounds)):
        return known
    return Modality.model_validate({"name": name, "kind": kind, "unit": unit})


def periods_of(
    days: Shaped[np.ndarray, " day"], train: str, val: str, test: str
) -> tuple[dict[SplitName, Period], list[str]]:
    """Returns the splits: those asked for, or else the first three quarters and the rest of the common days.

    Raises:
        ConfigError: Only one of train and val is given, or one cannot be parsed.
    """
    if bool(train) != bool(val):
        raise ConfigError(
            f"train and val must be given together, got train={train or 'none'} and val={val or 'none'}; add the other"
        )
    if train:
        return layout.parse_periods({"train": train, "val": val, "test": test}, "2001-01-01:2010-12-31"), []
    if test != "none":
        raise ConfigError(f"test must be given with train and val, got {test} alone; add them")
    cut = int(len(days) * _TRAIN_SHARE)
    if not 0 < cut < len(days):
        raise DataError(
            f"fields and series must have at least 2 days in common, got {len(days)}; give files of one time"
        )
    periods: dict[SplitName, Period] = {
        "train": Period(days[0], days[cut - 1]), "val": Period(days[cut], days[-1])
    }  # fmt: skip
    return periods, [
        "splits: the first three quarters of the common days, and the rest; train=, val= say else"
    ]


def common_days(data: DataSet) -> Shaped[np.ndarray, " day"]:
    """Returns the days that all fields and the series have.

    Raises:
        DataError: There are none.
    """
    spans = {each.name: each.days for each in data.fields}
    if data.series is not None:
        spans |= {"series": data.series.days}
    days = reduce(np.intersect1d, spans.values())
    if not len(days):
        told = ", ".join(f"{name} {_span(each)}" for name, each in spans.items())
        raise DataError(
            f"fields and series must have days in common, got {told}; give files of one time, or name what to take "
            "with --option fields=... and series=..."
        )
    return days


def _span(days: Shaped[np.ndarray, " day"]) -> str:
    return f"{days[0]} to {days[-1]}" if len(days) else "none"


def write(data: DataSet, target: Path, *, train: str = "", val: str = "", test: str = "none") -> str:
    """Writes the data set into the new folder `target`, which appears only when complete; returns a report.

    Raises:
        ConfigError: A period cannot be parsed.
        DataError: Days are missing or values are implausible; all faults are reported at once.
        OutputError: `target` is not empty or cannot be written.
    """
    periods, told = periods_of(common_days(data), train, val, test)
    if data.lenient and data.series:
        data = _without_empty(data, data.series, periods)
    faults, lines = Faults(), []
    with staged(target) as folder:
        land = faults.attempt(lambda: _land(data, periods))
        if land is not None:
            lines += _write_fields(folder, data, periods, land, faults)
        if data.series is not None:
            lines += faults.attempt(partial(_write_series, folder, data, data.series, periods)) or []
            lines += faults.attempt(partial(_write_attributes, folder, data, data.series)) or []
        faults.raise_if_any()
        assert land is not None
        spans = "; ".join(f"{split} {each.first} to {each.last}" for split, each in periods.items())
        head = f"{places(land, len(data.series.ids) if data.series else 0)}; {spans}"
        use = usage(target.name, data.modalities.rows, data.described_by, land)
        report = "\n".join([head, *(f"  {line}" for line in (*lines, *told, *data.notes)), *use])
        (folder / "README.txt").write_text(f"{report}\n")
    return report


def _without_empty(data: DataSet, series: Series, periods: Mapping[SplitName, Period]) -> DataSet:
    """Leaves out catchments that lack a series on all days of a split."""
    kept = np.ones(len(series.ids), bool)
    for period in periods.values():
        inside = (series.days >= period.first) & (series.days <= period.last)
        for values in series.values.values():
            kept &= np.isfinite(values[inside]).any(axis=0)
    if kept.all():
        return data
    if not kept.any():
        raise DataError(
            f"some catchment must have {some(series.values)} in each split, got none of {len(kept)}; choose other days"
        )
    left = [each for each, keep in zip(series.ids, kept, strict=True) if not keep]
    note = f"left out, for they have no {' or '.join(series.values)} in a split: {some(left)}"
    few = Series(
        [each for each, keep in zip(series.ids, kept, strict=True) if keep],
        series.days,
        {name: values[:, kept] for name, values in series.values.items()},
        series.converts,
        series.where,
    )
    return replace(data, series=few, notes=[*data.notes, note])


def _land(data: DataSet, periods: Mapping[SplitName, Period]) -> Bool[np.ndarray, "row col"]:
    """Returns the land mask, after checking that fields have one shape and every day of the splits."""
    if not data.fields:
        return np.zeros((0, 0), bool)
    faults, shapes, found = Faults(), {}, data.land
    for text in _missing_days(data.fields, periods):
        faults.add(text)
    for field in data.fields:
        first = next(field.blocks(field.days[:1]))
        shapes[field.name] = first.shape[1:]
    if data.land is not None:
        shapes["the land mask"] = data.land.shape
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
        faults.add(f"all fields must lie on one grid, got {told}; regrid them first")
    faults.raise_if_any()
    if found is not None:
        return found
    every: Bool[np.ndarray, "row col"] = np.all([_with_data(each, periods) for each in data.fields], axis=0)
    if not every.any():
        raise DataError(
            "some cell must have data in every field, got none; give a mask, or fields of one land"
        )
    return every


def _missing_days(fields: Sequence[Field], periods: Mapping[SplitName, Period]) -> Iterator[str]:
    """Yields a sentence for each axis of time that lacks days of the splits; fields of one source share theirs."""
    lacking: dict[tuple[Path, tuple[SplitName, ...], int, np.datetime64], list[str]] = {}
    for field in fields:
        missing = {split: np.setdiff1d(period.dates, field.days) for split, period in periods.items()}
        days = np.concatenate(list(missing.values()))
        if days.size:
            splits = tuple(split for split, found in missing.items() if found.size)
            lacking.setdefault((field.where, splits, days.size, days[0]), []).append(field.name)
    for (where, splits, count, first), names in lacking.items():
        yield (
            f"{some(names)} in {where} must have every day of {' and '.join(splits)}, got none on "
            f"{counted(count, 'day')}, first {first}; add them, or choose other days"
        )


def _with_data(field: Field, periods: Mapping[SplitName, Period]) -> Bool[np.ndarray, "row col"]:
    """Returns the cells that have data on any day."""
    pieces = (block for period in periods.values() for block in field.blocks(period.dates))
    first = next(pieces)
    found: Bool[np.ndarray, "row col"] = np.any(np.isfinite(first), axis=0)
    for block in pieces:
        found |= np.isfinite(block).any(axis=0)
    return found


def _write_fields(
    folder: Path,
    data: DataSet,
    periods: Mapping[SplitName, Period],
    land: Bool[np.ndarray, "row col"],
    faults: Faults,
) -> list[str]:
    """Writes fields and their mask, or else the splits; returns lines for the report."""
    lines: list[str] = []
    for field in data.fields:
        with faults.collected():
            lines.append(_write_field(folder, data, field, periods, land))
    if data.fields:
        writing.write_mask(folder, land)
    else:
        writing.write_splits(folder, periods)
    return lines


def _write_field(
    folder: Path,
    data: DataSet,
    field: Field,
    periods: Mapping[SplitName, Period],
    land: Bool[np.ndarray, "row col"],
) -> str:
    row, unit = data.modalities[field.name], field.convert.target
    extremes, faults = Extremes(), Faults()
    for split, period in periods.items():
        survey = survey_cells(row, field.where, land, unit, like=extremes.unit)
        survey.allow(field.precision)
        cells = _surveyed(field.blocks(period.dates), survey, period, land)
        writing.write_grid(folder, field.name, split, period, land=land, pieces=cells, units=unit)
        with faults.collected():
            survey.raise_if_any()
        extremes += survey.extremes
    faults.raise_if_any()
    gaps = f"; choose data.fill_{field.name} or fill of its row" if extremes.num_missing else ""
    return f"{field.name} (field): {extremes}{field.convert.told}{gaps}"


def _surveyed(
    blocks: Iterator[Float32[np.ndarray, "day row col"]],
    survey: Survey,
    period: Period,
    land: Bool[np.ndarray, "row col"],
) -> Iterator[Float32[np.ndarray, "day cell"]]:
    first = 0
    for block in blocks:
        cells = block[:, land]
        survey.update(cells, np.isfinite(cells), period.dates[first : first + len(cells)])
        first += len(cells)
        yield survey.settled(cells)


def _write_series(
    folder: Path, data: DataSet, series: Series, periods: Mapping[SplitName, Period]
) -> list[str]:
    """Writes the series of all splits, with units in the metadata of columns; returns lines for the report."""
    dates = np.concatenate([period.dates for period in periods.values()])
    at = np.searchsorted(series.days, dates).clip(max=len(series.days) - 1)
    inside = series.days[at] == dates
    columns = {
        column_of(name): np.where(inside[:, None], values[at], np.float32(np.nan))
        for name, values in series.values.items()
    }
    years = f"{str(dates[0])[:4]}_{str(dates[-1])[:4]}"
    path = folder / f"series_{len(series.ids)}catchments_{years}.parquet"
    units = {column_of(name): each.target for name, each in series.converts.items()}
    writing.write_columns(path, dates, series.ids, columns, units)
    sources = dict.fromkeys(each.source for each in series.converts.values() if each.source != each.target)
    stored = (
        f", the number before it was converted from {some(filter(None, sources))}" if any(sources) else ""
    )
    way_out = f"name it with --option missing=NUMBER{stored}"
    extremes = survey_series(
        path, columns, dates, series.ids, data.modalities, where=series.where, way_out=way_out
    )
    _require_some(series, {name: columns[column_of(name)] for name in series.values})
    return [f"{name} (series): {extremes[name]}{each.told}" for name, each in series.converts.items()]


def _require_some(series: Series, values: Mapping[str, Float32[np.ndarray, "day gauge"]]) -> None:
    """Checks that every catchment has each series within the splits, told once for series that lack the same."""
    faults, lacking = Faults(), dict[tuple[str, ...], list[str]]()
    for name, found in values.items():
        known = np.isfinite(found).any(axis=0)
        empty = tuple(each for each, has in zip(series.ids, known, strict=True) if not has)
        lacking.setdefault(empty, []).append(name)
    for empty, names in lacking.items():
        if empty:
            faults.add(
                f"every catchment must have some {' and '.join(names)} within the splits, got none for {some(empty)} "
                f"in {series.where}; take them out with --option catchments=..., or choose other days"
            )
    faults.raise_if_any()


def _write_attributes(folder: Path, data: DataSet, series: Series) -> list[str]:
    """Writes the attributes of all catchments, at least their identifiers; returns lines for the report."""
    ids, names, faults = list(series.ids), data.described_by, Faults()
    if absent := [name for name in names if name not in data.attributes]:
        faults.add(
            f"attributes must be columns of numbers of the attribute tables, got {some(absent)}; there are "
            f"{some(map(str, data.attributes.columns), 20) or 'none'}"
        )
    is_asked = names or (data.chosen is None and len(data.attributes))
    if is_asked and (missing := [each for each in ids if each not in data.attributes.index]):
        faults.add(
            f"every catchment must have a row of attributes, got none for {some(missing)}, but for "
            f"{some(map(str, data.attributes.index), 3)}; add the rows, or take --option attributes=none"
        )
    faults.raise_if_any()
    table = data.attributes.reindex(ids)
    for name in names:
        if table[name].isna().all():
            faults.add(f"{name} must be known for some catchment, got none; leave it out of attributes")
    with faults.collected():
        require_plausible_attributes(
            series.where, names, table[list(names)].to_numpy(np.float64), np.array(ids)
        )
    faults.raise_if_any()
    kept = [*names, *(name for name in located(table) if name not in names)]
    table[kept].to_csv(folder / "Catchment_attributes.csv", index_label="id")
    if not names:
        return ["attributes: none, so that a model knows catchments by their series alone"]
    return [
        f"{name}: unknown for {some(map(str, table.index[unknown]), 5)}, read as the mean over catchments"
        for name in names
        if (unknown := table[name].isna()).any()
    ]


def located(table: pd.DataFrame) -> list[str]:
    """Returns the columns that hold positions and areas."""
    known = {name for names in (*layout.POSITIONS.values(), layout.AREAS) for name in names}
    return [str(name) for name in table.columns if str(name).casefold() in known]
