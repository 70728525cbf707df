"""Import of archives as they are processed: one HDF5 file per modality and month, one dataset per day.

An import may be repeated: files that are there already, made from the same, stay; others are replaced one by one.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from thalweg.contract import SplitName
from thalweg.data.merging import Merged, MissingDays, find_days, is_merged, merge
from thalweg.data.updating import replace_file, updated
from thalweg.errors import ConfigError, DataError
from trainables.water_mae import layout
from trainables.water_mae.config import IMAGE_MODALITIES
from trainables.water_mae.layout import SENTINEL, Period

TRAIN, VAL = "1989-01-01:2010-12-31", "2011-01-01:2015-12-30"
OPTIONS = {
    "train": f"first and last day of the training split, YYYY-MM-DD:YYYY-MM-DD (default {TRAIN})",
    "val": f"first and last day of the validation split (default {VAL})",
    "test": "first and last day of a test split, or none (default)",
    "missing_days": "refuse (default), or interpolate: days that no file holds are interpolated and marked, "
    "not shown to a model and not counted",
}

_WORDS = {"precipitation": "precip", "soil_moisture": "soil", "temperature": "temp"}
_MASKS = ("*mask_*x*.npy", "*mask_*x*.pt")
_MM_PER_DAY = 86.4  # of 1 m3/s over 1 km2


def read(
    source: Path,
    target: Path,
    *,
    train: str = TRAIN,
    val: str = VAL,
    test: str = "none",
    missing_days: str = "refuse",
) -> str:
    """Merges the months below the folder `source` into the folder `target`; a new one appears only when complete.

    The folder holds anywhere below it HDF5 files whose path names their modality (``precip``, ``soil``, ``temp``), a
    land mask ``*mask_*x*`` of numpy or torch, ``Catchment_attributes_nrfa.csv``, and one parquet table with the
    columns ``date, ID, evaporation`` and ``riverflow`` in mm/day or ``discharge_vol`` in m3/s.

    Args:
        source: The folder.
        target: Folder of the data set; one that was imported before is brought up to date.
        train: First and last day of the training split.
        val: First and last day of the validation split.
        test: First and last day of the test split, or ``none``.
        missing_days: ``refuse`` or ``interpolate``.

    Returns:
        A report: days, files and gaps of each merged file, and what was there already.

    Raises:
        ConfigError: An option is not understood.
        DataError: A file is missing or damaged, or days are missing.
        OutputError: `target` has content that was not imported, or cannot be written.
    """
    if missing_days not in ("refuse", "interpolate"):
        raise ConfigError(f"missing_days must be refuse or interpolate, got {missing_days!r}; try refuse")
    periods = layout.parse_periods({"train": train, "val": val, "test": test}, TRAIN)
    missing: MissingDays = "refuse" if missing_days == "refuse" else "interpolate"
    with updated(target, lambda folder: any(map(is_merged, folder.glob("*.h5")))) as folder:
        merged = [
            item for name in IMAGE_MODALITIES for item in _merge(source, folder, name, periods, missing)
        ]
        lines = [*map(str, merged), *_copy_catchments(source, folder)]
        mask = _only(source, *_MASKS)
        lines.append(_copy(mask, folder / mask.name))
        lines += _remove_others(folder, ("*.h5",), {item.path for item in merged})
        lines += _remove_others(folder, _MASKS, {folder / mask.name})
    return "\n".join(lines)


def _merge(
    source: Path, folder: Path, name: str, periods: Mapping[SplitName, Period], missing: MissingDays
) -> list[Merged]:
    files = [
        path for path in sorted(source.rglob("*.h5")) if _WORDS[name] in str(path.relative_to(source)).lower()
    ]
    if not files:
        raise DataError(
            f"{source} must hold HDF5 files with {_WORDS[name]!r} in their path ({name}), got none; "
            "name the folder that holds those of all modalities"
        )
    days = find_days(files)
    return [
        merge(
            days,
            period.dates,
            folder / f"{name}_{split}_{period.years}.h5",
            missing=missing,
            sentinel=float(SENTINEL),
        )
        for split, period in periods.items()
    ]


def _copy_catchments(source: Path, folder: Path) -> list[str]:
    attributes = _only(source, "Catchment_attributes_nrfa.csv")
    series = _only(source, "*.parquet")
    try:
        table = pd.read_parquet(series)
    except (OSError, ValueError) as error:
        raise DataError(f"{series} must be a complete parquet file, got {error}; copy it again") from None
    num_catchments = table["ID"].nunique() if "ID" in table else 0
    target = folder / f"riverflow_evaporation_{num_catchments}catchments_{_years(table)}.parquet"
    if "riverflow" in table or "discharge_vol" not in table:
        line = _copy(series, target)
    else:
        table = _in_millimetres(table, attributes)
        line = _state(
            target, replace_file(target, lambda new: table.to_parquet(new, compression="zstd", index=False))
        )
        line += f"; discharge in m3/s became mm/day by the catchment areas of {attributes.name}"
    others = _remove_others(folder, ("riverflow_evaporation_*.parquet",), {target})
    return [_copy(attributes, folder / attributes.name), line, *others]


def _in_millimetres(table: pd.DataFrame, attributes: Path) -> pd.DataFrame:
    """Returns the table with ``riverflow`` in mm/day in place of ``discharge_vol`` in m3/s."""
    area = pd.read_csv(attributes).set_index("id")["catchment-area"]
    unknown = np.setdiff1d(table["ID"].unique(), area.index[area > 0])
    if unknown.size:
        raise DataError(
            f"{attributes} must hold the catchment-area of every catchment whose flow is in m3/s, got none for "
            f"{', '.join(map(str, unknown[:5]))}; fill it in, or give riverflow in mm/day"
        )
    flow = table.pop("discharge_vol") * _MM_PER_DAY / table["ID"].map(area)
    return table.assign(riverflow=flow.astype(np.float32))


def _copy(source: Path, target: Path) -> str:
    return _state(target, replace_file(target, lambda new: shutil.copyfile(source, new)))


def _state(path: Path, written: bool) -> str:
    return f"{path.name}: {'written' if written else 'there already'}"


def _remove_others(folder: Path, patterns: tuple[str, ...], kept: set[Path]) -> list[str]:
    """Removes what an earlier import wrote under another name, which holds its period, and says so."""
    found = {path for pattern in patterns for path in folder.glob(pattern)} - kept
    others = [path for path in sorted(found) if path.suffix != ".h5" or is_merged(path)]
    for path in others:
        path.unlink()
    return [f"{path.name}: removed, of an earlier import" for path in others]


def _years(table: pd.DataFrame) -> str:
    if "date" not in table or table.empty:
        return "0_0"
    dates = pd.to_datetime(table["date"])
    return f"{dates.min().year}_{dates.max().year}"


def _only(source: Path, *patterns: str) -> Path:
    found = sorted(path for pattern in patterns for path in source.rglob(pattern))
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(source)) for path in found) or "none"
        raise DataError(
            f"{source} must hold one file {' or '.join(patterns)}, got {names}; copy or move files"
        )
    return found[0]
