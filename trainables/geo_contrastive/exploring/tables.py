"""Tables of a data set: variables, splits, gaps in time."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.exploring.field_statistics import Extreme, FieldStatistics
from trainables.geo_contrastive.exploring.maps import SEASONS, date_of


def variable_table(data: FieldData, found: Mapping[str, FieldStatistics]) -> pd.DataFrame:
    """Returns a row for each variable; its mean and standard deviation are those of the training split."""
    rows = []
    for name, variable in data.variables.items():
        grid, valid = data.grids[variable.grid], data.valid[name]
        low, high = found[name].low, found[name].high
        rows.append(
            {
                "variable": name,
                "level": variable.level or "",
                "unit": variable.unit,
                "grid": variable.grid,
                "cells": valid.size,
                "with_data": int(valid.sum()),
                "train_mean": variable.mean,
                "train_std": variable.std,
                "lowest": low.value,
                "lowest_at": _place(data, grid, low),
                "highest": high.value,
                "highest_at": _place(data, grid, high),
            }
        )
    return pd.DataFrame(rows)


def split_table(data: FieldData) -> pd.DataFrame:
    """Returns a row for each split: its days, how many lie in each season, and the jumps within it."""
    rows = []
    for split, days in data.days.items():
        row: dict[str, object] = {"split": split, "days": len(days)}
        part = slice(days.start, days.stop)
        row["first"] = date_of(data, days.start) if len(days) else ""
        row["last"] = date_of(data, days.stop - 1) if len(days) else ""
        for number, season in enumerate(SEASONS):
            row[season] = int((data.season[part] == number).sum())
        row["jumps"] = int((np.diff(data.day[part]) > 1).sum())
        rows.append(row)
    return pd.DataFrame(rows)


def gap_table(data: FieldData) -> pd.DataFrame:
    """Returns a row for each jump in time: the days around it, and how many are missing."""
    steps = np.diff(data.day)
    rows = [
        {
            "after": date_of(data, int(place)),
            "before": date_of(data, int(place) + 1),
            "missing": int(step) - 1,
        }
        for place, step in ((place, steps[place]) for place in np.flatnonzero(steps > 1))
    ]
    return pd.DataFrame(rows, columns=["after", "before", "missing"])


def _place(data: FieldData, grid: Grid, extreme: Extreme) -> str:
    first, second = (
        float(axis[number]) for axis, number in zip((grid.first, grid.second), extreme.cell, strict=True)
    )
    if grid.geographic:
        sides = ("E" if first >= 0 else "W", "N" if second >= 0 else "S")
        where = f"{abs(first):.4g}{sides[0]} {abs(second):.4g}{sides[1]}"
    else:
        where = f"x {first:.7g} y {second:.7g} m"
    return f"{date_of(data, extreme.position)}, {where}"
