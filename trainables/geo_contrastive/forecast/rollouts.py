"""Pictures of a forecast over its leads: what came, what was forecast, and the error, in data units."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from thalweg.datasets.charts import scale_of
from trainables.geo_contrastive.data.fields import FieldData, Variable
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.data.pairs import index_of
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.exploring import maps
from trainables.geo_contrastive.exploring.pictures import Fetch
from trainables.geo_contrastive.forecast.predict import FORECAST_FIELD

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
    for name, variable in data.variables.items():
        arrays = (batch[f"ahead/{name}"][0], batch[f"{FORECAST_FIELD}{name}"][0])
        truth, found = (
            np.where(data.valid[name], maps.in_units(variable, each.detach().numpy()), np.nan)
            for each in arrays
        )
        panels = {"truth": truth, "forecast": found, "error": found - truth}
        figure = _rows(panels, data.grids[variable.grid], variable)
        figure.suptitle(f"{maps.title_of(variable)}, issued {maps.date_of(data, int(position))}")
        figure.savefig(folder / f"forecast_{name}.png", dpi=110)


def _rows(panels: Mapping[str, Float[np.ndarray, "lead lon lat"]], grid: Grid, variable: Variable) -> Figure:
    """Draws a row of panels for each lead; truth and forecast share their colours."""
    figure = maps.page(len(LEADS), len(PANELS), grid)
    axes = figure.subplots(len(LEADS), len(PANELS), squeeze=False, sharex=True, sharey=True)
    scale, around = scale_of(panels["truth"]), maps.symmetric_scale(panels["error"])
    for row, lead in enumerate(LEADS):
        shown = [
            maps.draw_map(
                place, grid, panels[name][row], *((around, "RdBu_r") if name == "error" else (scale,))
            )
            for place, name in zip(axes[row], PANELS, strict=True)
        ]
        axes[row, 0].set_ylabel(f"{lead} d ahead", fontsize=9)
        size = maps.rmse(panels["error"][row], grid)
        axes[row, -1].set_title(f"RMSE {size} {variable.unit}", fontsize=8)
    maps.label_columns(axes, PANELS)
    maps.add_bar(figure, shown[0], axes[:, :-1])
    maps.add_bar(figure, shown[-1], axes[:, -1:])
    return figure
