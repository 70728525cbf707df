"""Pictures of reconstructions: whole fields, masked ones, reconstructed ones and errors, in data units."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int64
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from torch import nn

from thalweg.contract import Batch
from trainables.geo_contrastive.data.fields import FieldData, Variable
from trainables.geo_contrastive.data.grids import Grid

NUM_DAYS = 3
"""Days that are drawn, the first, the middle and the last one of the split."""
PANELS = ("truth", "masked", "reconstruction", "error")

_HIDDEN = "0.82"  # grey of hidden cells and of cells without data

Field = Float[np.ndarray, "lon lat"]
Fields = Float[np.ndarray, "day lon lat"]
Fetch = Callable[[Int64[np.ndarray, " batch"]], Batch]


def draw_days(model: nn.Module, data: FieldData, fetch: Fetch, folder: Path) -> None:
    """Writes ``fields_VARIABLE.png``, one row for each day.

    Args:
        model: The model.
        data: Opened data.
        fetch: Samples days of the split ``val`` under the evaluation protocol.
        folder: Folder for the files.
    """
    indices = np.unique(np.linspace(0, data.num_samples("val") - 1, NUM_DAYS).round().astype(np.int64))
    batch = fetch(indices)
    decoded = model(batch)
    positions = data.days["val"].start + indices
    dates = [f"{data.year[day]}, day {data.day_of_year[day] + 1}" for day in positions]
    for name, variable in data.variables.items():
        arrays = (batch[f"clean/{name}"], batch[f"view/{name}"][:, 0], decoded[name])
        panels = _panels(variable, data.valid[name], *(each.detach().numpy() for each in arrays))
        figure = _maps(dict(zip(dates, panels, strict=True)), data.grids[variable.grid], variable)
        figure.savefig(folder / f"fields_{name}.png", dpi=110)


def _panels(
    variable: Variable, valid: Bool[np.ndarray, "lon lat"], truth: Fields, view: Fields, found: Fields
) -> Iterator[tuple[Field, ...]]:
    """Yields the `PANELS` of each day in data units; NaN where nothing is known."""
    for day in range(len(truth)):
        values = [
            np.where(shown, field[day] * variable.std + variable.mean, np.nan)
            for field, shown in ((truth, valid), (view, view[day] != 0), (found, valid))
        ]
        yield (*values, values[2] - values[0])


def _maps(rows: Mapping[str, tuple[Field, ...]], grid: Grid, variable: Variable) -> Figure:
    """Draws a row of panels for each day; truth, masked field and reconstruction share their colours."""
    figure = Figure(figsize=(3.2 * len(PANELS), 2.2 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(PANELS), squeeze=False)
    whole = np.stack([fields[0] for fields in rows.values()])
    low, high = float(np.nanmin(whole)), float(np.nanmax(whole))
    most = max(float(np.nanmax(np.abs(fields[3]))) for fields in rows.values())
    label = " ".join(filter(None, (variable.name, variable.level, f"({variable.unit})")))
    for row, (day, fields) in enumerate(rows.items()):
        for column, field in enumerate(fields):
            limits = ("RdBu_r", -most, most) if PANELS[column] == "error" else ("viridis", low, high)
            image = draw_map(axes[row, column], grid, field, *limits)
            if row == 0:
                axes[row, column].set_title(PANELS[column])
            if PANELS[column] in ("reconstruction", "error"):
                figure.colorbar(image, ax=axes[row, column], label=label)
        axes[row, 0].set_ylabel(day)
    return figure


def draw_map(axes: Axes, grid: Grid, field: Field, colours: str, low: float, high: float) -> QuadMesh:
    """Draws a field on its grid; NaN is grey."""
    axes.set_facecolor(_HIDDEN)
    axes.tick_params(labelsize=7)
    return axes.pcolormesh(
        grid.first_edges, grid.second_edges, field.T, cmap=colours, vmin=low, vmax=high, shading="flat"
    )
