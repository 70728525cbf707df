"""Import of one's own hydrology: fields and series in netCDF or Zarr, tables in CSV or parquet, any names."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from thalweg.data.faults import Faults
from thalweg.data.opening import OpenFiles
from thalweg.errors import ConfigError, DataError
from thalweg.wording import some
from trainables.water_mae.data.grids import read_mask
from trainables.water_mae.importing import own_layout
from trainables.water_mae.importing.asked import (
    Asked,
    Units,
    chosen_attributes,
    numbers_of,
    pairs,
    series_of,
    taken,
)
from trainables.water_mae.importing.composed import DataSet, write
from trainables.water_mae.importing.gauges import Column, is_table, read_columns, spell_alike, tables_of
from trainables.water_mae.importing.gridded import FileField, file_field
from trainables.water_mae.importing.opened import Variable, sources, variables


@dataclass(frozen=True, kw_only=True)
class Options(Asked):
    """What a user may ask for: a land mask, too."""

    mask: str = ""


def read(source: Path, target: Path, **options: str) -> str:
    """Imports the folder `source` into the new folder `target`, which appears only when complete.

    Args:
        source: A folder in the family's own layout, or with fields, series and attributes in any files.
        target: Folder of the data set.
        options: Those of `Options`; none for a folder in the own layout.

    Returns:
        A report: grid, catchments, splits, extremes and units of each modality, and how to use them.

    Raises:
        ConfigError: An option cannot be read.
        DataError: Files are missing or broken, units cannot be converted, or values are implausible; all faults are
            reported at once.
        OutputError: `target` is not empty or cannot be written.
    """
    asked = Options(**options)
    if not source.is_dir():
        raise DataError(
            f"the source of water-mae must be a folder, got none at {source}; pass the folder that holds the files"
        )
    if own_layout.is_own(source):
        if options:
            raise ConfigError(
                f"a folder in the family's own layout must be imported as it is, got the options {some(options)}; "
                "leave them out"
            )
        return own_layout.read(source, target)
    with OpenFiles() as files:
        return _composed(source, target, asked, files)


def _composed(source: Path, target: Path, asked: Options, files: OpenFiles) -> str:
    faults, given = Faults(), Units.of(asked.units, asked.declared)
    found = faults.attempt(lambda: variables(sources(source), files)) or []
    gridded = faults.attempt(partial(_fields, found, asked.fields, given))
    land = faults.attempt(partial(_mask, source, asked.mask))
    table, tables = tables_of(source, faults)
    columns = faults.attempt(partial(_columns, tables, found, asked, table))
    faults.raise_if_any()
    assert columns is not None and table is not None and gridded is not None
    wanted = taken("series", asked.series, columns)
    if not (gridded or wanted):
        raise DataError(
            f"{source} must hold fields with the dimensions time, y and x (or lat and lon), or series of catchments, "
            "got neither; add netCDF, GRIB or Zarr, or a table with date, gauge_id and values"
        )
    given.require_known([*(each.name for each in gridded), *wanted])
    table, notes = spell_alike(table, columns.values())
    rows = None
    if wanted:
        rows = series_of(columns, wanted, given, table, area=asked.area, catchments=asked.catchments)
    notes += _unread(source)
    data = DataSet(gridded, rows, table, chosen_attributes(asked.attributes), land, notes)
    return write(data, target, **asked.splits)


def _unread(source: Path) -> list[str]:
    """Returns a sentence on the files that are no field, series, table or mask; none if all are."""
    known = set(sources(source))
    left = [
        path.name
        for path in sorted(source.rglob("*"))
        if path.is_file() and path.suffix != ".npy" and not path.name.startswith(".")
        if not (is_table(path) or known & {path, *path.parents})
    ]
    return [f"not read: {some(left)}"] if left else []


def _columns(
    paths: Sequence[Path], found: Sequence[Variable], asked: Options, attributes: pd.DataFrame | None
) -> dict[str, Column]:
    """Reads the series that are asked for, or all."""
    if asked.series == "none":
        return {}
    wanted, gaps = pairs("series", asked.series), numbers_of("missing", asked.missing)
    known = frozenset() if attributes is None else frozenset(map(str, attributes.index))
    columns = read_columns(paths, found, list(wanted.values()), known=known, missing=gaps)
    if lacking := [name for name in wanted.values() if name.casefold() not in map(str.casefold, columns)]:
        there = columns | read_columns(paths, found, known=known)
        raise DataError(
            f"the source must hold the series {some(lacking)}, got none of that name; there are "
            f"{some(there, 12) or 'none'}: add a table with date, gauge_id and values, or netCDF with time and gauge"
        )
    return columns


def _fields(found: Sequence[Variable], asked: str, units: Units) -> list[FileField]:
    fields: dict[str, list[Variable]] = {}
    for each in found:
        if each.gauges is None:
            fields.setdefault(each.name, []).append(each)
    also = {each.also: each.name for each in found}
    faults, done = Faults(), []
    for name, called in taken("fields", asked, fields).items():
        variable = called if called in fields else also.get(called, called)
        if variable not in fields:
            faults.add(
                f"the source must hold the field {variable} ({name}), got none of that name; there are "
                f"{some(fields, 12) or 'none'}"
            )
            continue
        with faults.collected():
            declared, wished = units.declared.get(name, ""), units.wanted.get(name, "")
            done.append(file_field(name, fields[variable], declared, wished))
    for field in done:
        one, other = done[0].pieces[0], field.pieces[0]
        if other.array.shape[1:] == one.array.shape[1:] and not other.lies_like(one):
            faults.add(
                f"all fields must lie on one grid, got other coordinates in {other.path} ({field.name}) than in "
                f"{one.path} ({done[0].name}); regrid them first"
            )
    faults.raise_if_any()
    return done


def _mask(source: Path, mask: str) -> Bool[np.ndarray, "row col"] | None:
    """Reads the land mask that the user names, or the only one of the family's layout."""
    if mask:
        return read_mask(source / mask)
    found = sorted(source.rglob("*mask_*x*.npy"))
    return read_mask(found[0]) if len(found) == 1 else None
