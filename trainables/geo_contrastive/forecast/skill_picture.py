"""A picture of forecast errors over lead time, beside climatology and persistence on the same days."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from matplotlib.figure import Figure

from thalweg.per_unit import PerUnit
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.exploring.pictures import Fetch
from trainables.geo_contrastive.forecast.measure import ForecastSkill, relative_errors

MAX_DAYS = 256
"""Days of issue at most, evenly over the split."""
_BATCH = 32
_STYLES = {
    "forecast": {"color": "#1b4f9c", "marker": "o"},
    "persistence": {"color": "#e08214", "marker": "s", "linestyle": "--"},
    "climatology": {"color": "0.5", "marker": "^", "linestyle": ":"},
}


def draw_skill(data: FieldData, forecast: Fetch, folder: Path) -> None:
    """Writes ``forecast_skill.png``; nothing if no day of the split ``val`` is followed by one that is forecast.

    Args:
        data: Opened data.
        forecast: Samples days of the split ``val`` under the evaluation protocol, with what is forecast for them.
        folder: Folder for the file.
    """
    days = np.unique(np.linspace(0, data.num_samples("val") - 1, MAX_DAYS).round().astype(np.int64))
    curves = errors_over_leads(data, forecast, days)
    if not np.isfinite(list(curves.values())).any():
        return
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    place = figure.subplots()
    for name, values in curves.items():
        place.plot(LEADS, values, label=name, linewidth=1.6, markersize=5, **_STYLES[name])  # type: ignore[arg-type]
    place.set_xticks(LEADS, [f"{lead}" for lead in LEADS])
    place.set(
        xlabel="days ahead",
        ylabel="RMSE over RMS of the truth, mean over variables",
        ylim=(0, None),
        title=f"Forecasts from {len(days)} days of the split val",
    )
    place.spines[["top", "right"]].set_visible(False)
    place.legend(frameon=False)
    figure.savefig(folder / "forecast_skill.png", dpi=110)


def errors_over_leads(
    data: FieldData, forecast: Fetch, days: Int64[np.ndarray, " day"]
) -> Mapping[str, list[float]]:
    """Returns the relative error at each lead of the forecast, of persistence and of the climatology.

    Args:
        data: Opened data.
        forecast: Samples days and what is forecast for them.
        days: Days of issue, as positions in the split ``val``.
    """
    measure = ForecastSkill(tuple(data.variables))
    tables: dict[str, PerUnit] = {}
    with torch.no_grad():
        for first in range(0, len(days), _BATCH):
            batch = forecast(days[first : first + _BATCH])
            for name, table in measure.add(batch, batch).items():
                tables[name] = tables[name] + table if name in tables else table
    return relative_errors([table.total() for table in tables.values()])
