"""A catchment stays in both splits or in none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thalweg.contract import SplitName
from trainables.water_mae.data.catchments import Catchments, read_catchments
from trainables.water_mae.data.writing import write_attributes
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PUBLISHED_SET

_SPANS: dict[SplitName, range] = {"train": range(60), "val": range(60, 100), "test": range(100, 120)}
_DATES = np.datetime64("2001-01-01") + np.arange(120)
_IDS = [7, 8, 9]
_COLUMNS = ("evaporation", "riverflow")


def _read(
    folder: Path, gaps: dict[tuple[str, int], list[int]], max_missing_ratio: float = 0.05
) -> Catchments:
    """Reads series without gaps but those given: days by column and catchment."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"date": np.tile(_DATES.astype("datetime64[ms]"), 3), "ID": np.repeat(_IDS, 120)})
    for column in _COLUMNS:
        table[column] = rng.random(len(table)).astype(np.float32)
    for (column, gauge), days in gaps.items():
        table.loc[120 * _IDS.index(gauge) + np.array(days), column] = np.nan
    table.to_parquet(folder / "series.parquet")
    write_attributes(folder, pd.DataFrame(1.0, index=_IDS, columns=list(NRFA_ATTRIBUTES)))
    files = {
        "series": folder / "series.parquet",
        "attributes": folder / "Catchment_attributes_nrfa.csv",
    }
    return read_catchments(files, _DATES, _SPANS, max_missing_ratio, PUBLISHED_SET, NRFA_ATTRIBUTES)


@pytest.mark.parametrize("column", _COLUMNS)
@pytest.mark.parametrize("split", _SPANS)
def test_a_catchment_with_gaps_in_one_split_leaves_all(tmp_path: Path, split: SplitName, column: str) -> None:
    first, length = _SPANS[split].start, len(_SPANS[split])
    many = round(0.05 * length) + 1
    assert many <= 0.05 * 120  # few, over all days
    found = _read(tmp_path, {(column, 8): list(range(first + 3, first + 3 + many))})
    assert found.ids.tolist() == [7, 9]
    assert found.values.shape == found.known.shape == (120, 2, 2)


@pytest.mark.parametrize("split", _SPANS)
def test_a_catchment_with_just_few_enough_gaps_stays(tmp_path: Path, split: SplitName) -> None:
    first, length = _SPANS[split].start, len(_SPANS[split])
    few = round(0.05 * length)
    days = range(first + 3, first + 3 + few)
    found = _read(tmp_path, {("riverflow", 8): list(days)})
    assert found.ids.tolist() == _IDS
    assert np.flatnonzero(~found.known[:, 1, 1]).tolist() == list(days)
    assert not found.values[days.start : days.stop, 1, 1].any()
    assert found.present.all()
