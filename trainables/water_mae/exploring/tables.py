"""Tables of a data set: modalities, splits, days without data, catchments."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool

from trainables.water_mae.data.grids import Inputs
from trainables.water_mae.exploring.modalities import Modality, Series

_SHOWN = ("latitude", "longitude", "50-percentile-altitude", "catchment-area", "bfihost")
_MOST = 8  # attributes of other tables that are shown


def modality_table(found: Mapping[str, Modality]) -> pd.DataFrame:
    """Returns a row for each modality; mean and standard deviation are those of all values of all splits."""
    rows = [
        {
            "modality": name,
            "unit": each.extremes.unit,
            "places": len(each.mean),
            "of": "land cells" if each.kind == "field" else "catchments",
            "mean": each.moments.mean,
            "std": each.moments.std,
            "lowest": each.extremes.low,
            "highest": each.extremes.high,
            "missing": each.extremes.num_missing,
            "missing_share": each.extremes.num_missing / each.extremes.num_values,
            "days_without": int((each.covered == 0).sum()),
        }
        for name, each in found.items()
    ]
    return pd.DataFrame(rows)


def split_table(inputs: Inputs, found: Mapping[str, Modality]) -> pd.DataFrame:
    """Returns a row for each split: its days, and the share of values that each modality misses in it."""
    rows = []
    for split, span in inputs.spans.items():
        days = inputs.dates[span.start : span.stop]
        row: dict[str, object] = {"split": split, "days": len(days), "first": days[0], "last": days[-1]}
        for name, each in found.items():
            row[f"missing {name}"] = float(1 - each.covered[span.start : span.stop].mean())
        rows.append(row)
    return pd.DataFrame(rows)


def gap_table(inputs: Inputs, found: Mapping[str, Modality]) -> pd.DataFrame:
    """Returns a row for each run of days without any data of a modality, and for the days between two splits."""
    rows: list[dict[str, object]] = []
    for name, each in found.items():
        for split, span in inputs.spans.items():
            for run in _runs(each.covered[span.start : span.stop] == 0):
                first, last = (inputs.dates[span.start + day] for day in (run.start, run.stop - 1))
                rows.append({"modality": name, "in": split, "first": first, "last": last, "days": len(run)})
    steps = (np.diff(inputs.dates) / np.timedelta64(1, "D")).astype(int)
    for place in np.flatnonzero(steps > 1):
        first, last = inputs.dates[place] + 1, inputs.dates[place + 1] - 1
        rows.append(
            {"modality": "all", "in": "no split", "first": first, "last": last, "days": int(steps[place]) - 1}
        )
    return pd.DataFrame(rows, columns=["modality", "in", "first", "last", "days"])


def catchment_table(inputs: Inputs, series: Series) -> pd.DataFrame:
    """Returns a row for each catchment: position, attributes, means, and missing shares of all series."""
    known = np.isfinite(series.values)
    means = np.where(known, series.values, 0).sum(axis=0, dtype=np.float64) / np.maximum(known.sum(axis=0), 1)
    table = pd.DataFrame({"id": series.ids, **{name: series.attribute(name) for name in _shown(series)}})
    for number, name in enumerate(series.modalities.series):
        table[f"mean {name}"] = np.where(known[:, number].any(axis=0), means[number], np.nan)
    for number, name in enumerate(series.modalities.series):
        for split, span in inputs.spans.items():
            table[f"missing {name} {split}"] = 1 - known[span.start : span.stop, number].mean(axis=0)
        table[f"longest gap {name}"] = [
            max((len(run) for run in _runs(~known[:, number, place])), default=0)
            for place in range(len(series.ids))
        ]
    return table


def _shown(series: Series) -> list[str]:
    """Returns the names of some attributes: those of the published experiment, or else the first ones."""
    if all(name in series.attributes for name in _SHOWN):
        return list(_SHOWN)
    located = [name for name in ("latitude", "longitude") if series.located[name].notna().any()]
    others = [str(name) for name in series.attributes if name not in located]
    return [*located, *others[:_MOST]]


def _runs(marks: Bool[np.ndarray, " day"]) -> Iterator[range]:
    """Yields the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8)))
    for first, stop in edges.reshape(-1, 2):
        yield range(int(first), int(stop))
