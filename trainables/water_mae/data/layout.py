"""The layout of a data set folder: names of the files, and how they are found."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from thalweg.contract import SplitName
from thalweg.data.bounds import Bounds
from thalweg.data.faults import Faults
from thalweg.errors import ConfigError, DataError
from thalweg.wording import some
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PUBLISHED_SET, ModalitySet

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
"""The splits in the order of time; a data set may lack the last."""
SENTINEL = np.float32(-99999.0)
"""Value of a cell without data; land cells must not hold it."""
_ALTITUDE = Bounds("m", -500, 9000)
PLAUSIBLE_ATTRIBUTES: Mapping[str, Bounds] = {
    "latitude": Bounds("degrees", -90, 90),
    "longitude": Bounds("degrees", -180, 360),
    **{name: _ALTITUDE for name in NRFA_ATTRIBUTES if name.endswith("-altitude")},
    "catchment-area": Bounds("km2", 0, 1e7),
    "dpsbar": Bounds("m/km", 0, 5000),
    "propwet": Bounds("1", 0, 100),
    "bfihost": Bounds("1", 0, 100),
}
"""Plausible range of each attribute of Great Britain; shares may be given in per cent. Others have none."""
POSITIONS: Mapping[str, tuple[str, ...]] = {
    "longitude": (
        "longitude",
        "lon",
        "long",
        "gauge_lon",
        "gauge_long",
        "gauge_longitude",
        "long_outlet",
        "lon_outlet",
    ),
    "latitude": ("latitude", "lat", "gauge_lat", "gauge_latitude", "lat_outlet"),
}
"""Columns that hold the position of a catchment in degrees, whether the model sees them or not; case is ignored."""
AREAS = ("catchment-area", "area", "catchment_area", "area_km2", "area_calc", "area_gages2", "gauge_area")
"""Columns that hold the area of a catchment in km2; case is ignored."""

_PATTERNS = {
    "series": "series_*catchments_*.parquet",
    "attributes": "Catchment_attributes.csv",
    "mask": "*mask_*x*.npy",
    "splits": "splits.csv",
}
# File names of the reference experiment.
_SHORT = {"soil_moisture": "soil"}
_ALSO = {
    "mask": "*mask_*x*.pt",
    "series": "riverflow_evaporation_*catchments_*.parquet",
    "attributes": "Catchment_attributes_nrfa.csv",
}
_COLUMNS = {"river_flow": "riverflow"}


def column_of(series: str) -> str:
    """Returns the column of a series in the table of series."""
    return _COLUMNS.get(series, series)


def series_in(column: str) -> str:
    """Returns the series in a column of the table of series."""
    return next((name for name, each in _COLUMNS.items() if each == column), column)


def fields_in(folder: Path) -> list[str]:
    """Returns the names of the fields whose files a folder holds, those of the published experiment first."""
    stems = [path.name.partition("_train_")[0] for path in folder.glob("*_train_*.h5")]
    names = {next((name for name, short in _SHORT.items() if short == stem), stem) for stem in stems}
    known = PUBLISHED_SET.fields
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def has_series(folder: Path) -> bool:
    """Returns whether a folder holds a table of series."""
    return any(any(folder.glob(pattern)) for pattern in (_PATTERNS["series"], _ALSO["series"]))


def table_of_series(folder: Path) -> Path:
    """Returns the table of series of a folder.

    Raises:
        DataError: There is none, or there are several.
    """
    return _only(folder, "series", _PATTERNS["series"], _ALSO["series"])


def find_files(folder: Path, modalities: ModalitySet) -> dict[str, Path]:
    """Finds the files by role: ``FIELD_train``, ..., ``mask``, ``series``, ``attributes``.

    A data set need not have a split ``test``; if one grid has it, all must. Series alone take their splits from the
    grids of one field of the folder, or else from the table ``splits``.

    Args:
        folder: The data set.
        modalities: What is to be read.

    Raises:
        DataError: The folder or files are missing, or several files fit one role; reported for all files at once.
    """
    if not folder.is_dir():
        raise DataError(
            f"a data set must be a folder, got none at {folder}; `thalweg data make water_mae` writes "
            "a synthetic one, `thalweg data import gb-hydrology SOURCE` or `... water-mae SOURCE` a real one"
        )
    splits = [split for split in SPLITS if split != "test" or any(folder.glob("*_test_*.h5"))]
    there = fields_in(folder)
    dated = modalities.fields or there[:1]
    needed = {
        **dict.fromkeys(("series", "attributes"), modalities.series),
        "mask": modalities.fields,
        "splits": not dated,
    }
    wanted = {
        f"{name}_{split}": (f"{name}_{split}_*.h5", _short(name, split)) for name in dated for split in splits
    } | {role: (pattern, _ALSO.get(role)) for role, pattern in _PATTERNS.items() if needed[role]}
    faults = Faults()
    found = {
        role: faults.attempt(partial(_only, folder, role, *patterns)) for role, patterns in wanted.items()
    }
    if faults and (there or has_series(folder)) and not set(modalities.fields) <= set(there):
        faults.add(
            f"{folder} must hold the fields of the configuration, {', '.join(modalities.fields)}, got "
            f"{', '.join(there) or 'none'}; list in data.modalities what it holds"
        )
    faults.raise_if_any()
    return {role: path for role, path in found.items() if path is not None}


def _short(name: str, split: SplitName) -> str | None:
    return f"{_SHORT[name]}_{split}_*.h5" if name in _SHORT else None


def _only(folder: Path, role: str, pattern: str, also: str | None = None) -> Path:
    found: list[Path] = sorted({*folder.glob(pattern), *(folder.glob(also) if also else ())})
    if not found:
        raise DataError(
            f"{folder} must hold one file {pattern} ({role}), got none; copy it there, or write the data set "
            "again with `thalweg data make water_mae` or `thalweg data import`"
        )
    if len(found) > 1:
        raise DataError(
            f"{folder} must hold one file {pattern} ({role}), got {', '.join(path.name for path in found)}; "
            "move all but one away"
        )
    return found[0]


@dataclass(frozen=True)
class Period:
    """Consecutive days of a split, both ends included."""

    first: np.datetime64
    last: np.datetime64

    @property
    def dates(self) -> Shaped[np.ndarray, " day"]:
        """The days, dtype datetime64[D]."""
        return np.arange(self.first, self.last + np.timedelta64(1, "D"), dtype="datetime64[D]")

    @property
    def years(self) -> str:
        """First and last year, as in file names."""
        return f"{str(self.first)[:4]}_{str(self.last)[:4]}"


def read_splits(path: Path) -> dict[SplitName, Period]:
    """Reads the table ``split,first,last`` of a data set without grids, which would tell its days.

    Raises:
        DataError: It is no such table, or its periods overlap.
    """
    with path.open(encoding="utf-8") as file:
        rows = {row.get("split", ""): f"{row.get('first')}:{row.get('last')}" for row in csv.DictReader(file)}
    names = [name for name in SPLITS if name in rows]
    if set(rows) != set(names) or names[:2] != ["train", "val"]:
        raise DataError(
            f"{path} must be a table split,first,last with the rows train, val and maybe test, got "
            f"{some(rows) or 'none'}; write it again"
        )
    try:
        return parse_periods({name: rows[name] for name in names}, "2001-01-01:2010-12-31")
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from None


def parse_periods(texts: Mapping[SplitName, str], example: str) -> dict[SplitName, Period]:
    """Reads the periods of the splits, in the order of time; ``none`` leaves a test split out.

    Args:
        texts: ``YYYY-MM-DD:YYYY-MM-DD`` by split, in the order of `SPLITS`.
        example: A period for the error message.

    Raises:
        ConfigError: A period cannot be parsed, or begins before the previous split ends.
    """
    given = {name: text for name, text in texts.items() if (name, text) != ("test", "none")}
    periods = {name: _parse_period(name, text, example) for name, text in given.items()}
    for before, after in pairwise(periods):
        if periods[after].first <= periods[before].last:
            raise ConfigError(
                f"{after} must begin after {before} ends, got {before}={given[before]} and {after}={given[after]}; "
                "choose a later day"
            )
    return periods


def _parse_period(name: str, text: str, example: str) -> Period:
    try:
        first, last = (np.datetime64(part.strip(), "D") for part in text.split(":"))
    except ValueError:
        raise ConfigError(f"{name} must be YYYY-MM-DD:YYYY-MM-DD, got {text!r}; try {example}") from None
    if not first <= last:
        raise ConfigError(f"{name} must not end before it begins, got {text!r}; exchange the two days")
    return Period(first, last)
