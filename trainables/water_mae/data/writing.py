"""Writes the files of a data set folder.

All synthetic worlds and imports use these functions, so that their data sets have the same format.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float32, Int64, Shaped

from thalweg.contract import SplitName
from thalweg.data.hdf5 import write_daily
from trainables.water_mae.data.layout import SENTINEL, Period
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PUBLISHED_SET


def write_grid(
    folder: Path,
    modality: str,
    split: SplitName,
    period: Period,
    *,
    land: Bool[np.ndarray, "row col"],
    pieces: Iterable[Float32[np.ndarray, "day cell"]],
    interpolated: Bool[np.ndarray, " day"] | None = None,
    units: str | None = None,
) -> Path:
    """Writes one field of one split; cells outside the land mask hold the sentinel.

    Args:
        folder: Data set folder.
        modality: Name of the field.
        split: The split.
        period: Days of the split.
        land: Land mask.
        pieces: Land cells in row-major order, a few days at a time.
        interpolated: True on interpolated days; None if there are none.
        units: Unit of the values; None is the usual one of a published modality.
    """
    path = folder / f"{modality}_{split}_{period.years}.h5"
    grids = (_on_grid(cells, land) for cells in pieces)
    marks = interpolated if interpolated is not None and interpolated.any() else None
    units = PUBLISHED_SET[modality].unit if units is None else units
    write_daily(path, period.dates, land.shape, grids, interpolated=marks, units=units)
    return path


def _on_grid(
    cells: Float32[np.ndarray, "day cell"], land: Bool[np.ndarray, "row col"]
) -> Float32[np.ndarray, "day row col"]:
    grid = np.full((len(cells), *land.shape), SENTINEL, np.float32)
    grid[:, land] = cells
    return grid


def write_mask(folder: Path, land: Bool[np.ndarray, "row col"]) -> None:
    """Writes the land mask as uint8, 1 = land."""
    np.save(folder / f"land_mask_{land.shape[0]}x{land.shape[1]}.npy", land.astype(np.uint8))


def write_splits(folder: Path, periods: Mapping[SplitName, Period]) -> None:
    """Writes the days of the splits of a data set without grids."""
    rows = [f"{split},{period.first},{period.last}\n" for split, period in periods.items()]
    (folder / "splits.csv").write_text("split,first,last\n" + "".join(rows))


def write_series(
    folder: Path,
    period: Period,
    ids: Int64[np.ndarray, " catchment"],
    *,
    evaporation: Float32[np.ndarray, "catchment day"],
    riverflow: Float32[np.ndarray, "catchment day"],
) -> Path:
    """Writes the daily series as one table ``date, ID, evaporation, riverflow`` in mm/day; returns its path."""
    dates = period.dates
    table = pd.DataFrame(
        {
            "date": np.tile(dates.astype("datetime64[ms]"), len(ids)),
            "ID": np.repeat(ids.astype(np.int32), len(dates)),
            "evaporation": evaporation.ravel(),
            "riverflow": riverflow.ravel(),
        }
    )
    path = folder / f"riverflow_evaporation_{len(ids)}catchments_{period.years}.parquet"
    table.to_parquet(path, compression="zstd", index=False)
    return path


def write_columns(
    path: Path,
    dates: Shaped[np.ndarray, " day"],
    ids: Sequence[object],
    columns: Mapping[str, Float32[np.ndarray, "day catchment"]],
    units: Mapping[str, str],
) -> None:
    """Writes daily series as one table ``date, ID`` and a column for each, with its unit in its metadata."""
    arrays = {
        "date": pa.array(np.tile(dates.astype("datetime64[ms]"), len(ids))),
        "ID": pa.array(np.repeat(np.array(ids), len(dates))),
        **{name: pa.array(values.T.ravel()) for name, values in columns.items()},
    }
    fields = [
        pa.field(name, array.type, metadata={"units": units[name]} if units.get(name) else None)
        for name, array in arrays.items()
    ]
    table = pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields))
    pq.write_table(table, path, compression="zstd")


def write_attributes(folder: Path, table: pd.DataFrame) -> None:
    """Writes the static attributes; `table` is indexed by catchment and holds `NRFA_ATTRIBUTES`."""
    table.loc[:, list(NRFA_ATTRIBUTES)].to_csv(folder / "Catchment_attributes_nrfa.csv", index_label="id")
