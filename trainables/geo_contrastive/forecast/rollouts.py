"""Pictures of a forecast over its leads: what came, what was forecast, and the error, in data units."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from trainables.geo_contrastive.data.fields import FieldData, Variable
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.exploring.pictures import Fetch, Field, draw_map
from trainables.geo_contrastive.forecast.batches import LEADS
from trainables.geo_contrastive.forecast.predict import FORECAST_FIELD
from trainables.geo_contrastive.forecast.windows import index_of

PANELS = ("truth", "forecast", "error")


def draw_rollout(data: FieldData, forecast: Fetch, folder: Path) -> None:
    """Writes ``forecast_VARIABLE.png``, one row for each lead of one day of issue in the middle of the split ``val``.

    Nothing is written if no day of the split is followed by all leads.

    Args:
        data: Opened data.
        forecast: Samples days of the split ``val`` under the evaluation protocol, with what is forecast for them.
        folder: Folder for the files.
    """
    issued = np.flatnonzero(index_of(data, "val").after >= max(LEADS))
    if not len(issued):
        return
    index = issued[len(issued) // 2]
    batch = forecast(np.array([index]))
    position = data.days["val"].start + index
    issue = f"{data.year[position]}, day {data.day_of_year[position] + 1}"
    for name, variable in data.variables.items():
        arrays = (batch[f"ahead/{name}"][0], batch[f"{FORECAST_FIELD}{name}"][0])
        truth, found = (
            np.where(data.valid[name], each.detach().numpy() * variable.std + variable.mean, np.nan)
            for each in arrays
        )
        panels = {"truth": truth, "forecast": found, "error": found - truth}
        figure = _rows(panels, data.grids[variable.grid], variable)
        figure.suptitle(f"{variable.name}, issued {issue}")
        figure.savefig(folder / f"forecast_{name}.png", dpi=110)


def _rows(panels: Mapping[str, Float[np.ndarray, "lead lon lat"]], grid: Grid, variable: Variable) -> Figure:
    """Draws a row of panels for each lead; truth and forecast share their colours."""
    figure = Figure(figsize=(3.4 * len(PANELS), 2.2 * len(LEADS)), layout="constrained")
    axes = figure.subplots(len(LEADS), len(PANELS), squeeze=False)
    low, high = float(np.nanmin(panels["truth"])), float(np.nanmax(panels["truth"]))
    most = float(np.nanmax(np.abs(panels["error"])))
    for row, lead in enumerate(LEADS):
        for column, name in enumerate(PANELS):
            field: Field = panels[name][row]
            limits = ("RdBu_r", -most, most) if name == "error" else ("viridis", low, high)
            image = draw_map(axes[row, column], grid, field, *limits)
            if row == 0:
                axes[row, column].set_title(name)
            if column:
                figure.colorbar(image, ax=axes[row, column], label=variable.unit)
        axes[row, 0].set_ylabel(f"{lead} d ahead")
    return figure
