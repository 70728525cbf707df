"""Pictures of samples: the field, what of it was seen, the mean of its samples, two of them, and their spread."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from thalweg.contract import Batch, Outputs
from thalweg.datasets.charts import scale_of
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.diffusion.scores import ENSEMBLE
from trainables.geo_contrastive.evaluation.subset import rows_scored, scored_days
from trainables.geo_contrastive.exploring import maps
from trainables.geo_contrastive.exploring.pictures import (
    Fetch,
    Predict,
    one_day_of_each_season,
    seen_and_true,
)

PANELS = ("field", "seen by the model", "mean of samples", "one sample", "another sample", "spread")


def draw_samples(predict: Predict, data: FieldData, fetch: Fetch, folder: Path) -> None:
    """Writes ``samples_VARIABLE.png``, one row for a day of each season.

    Args:
        predict: What the model predicts from a batch.
        data: Opened data.
        fetch: Samples days of the split ``val`` under the evaluation protocol.
        folder: Folder for the files.
    """
    days = data.num_samples("val")
    chosen = one_day_of_each_season(data, scored_days(np.arange(days), days).numpy())
    batch = fetch(chosen)
    with torch.no_grad():
        outputs = predict(batch)
    for name in data.variables:
        _draw(data, chosen, batch, outputs, name).savefig(folder / f"samples_{name}.png", dpi=110)


def _draw(data: FieldData, chosen: np.ndarray, batch: Batch, outputs: Outputs, name: str) -> Figure:
    """Draws a row for each day; samples share the colours of the field."""
    variable, valid = data.variables[name], data.valid[name]
    grid = data.grids[variable.grid]
    assert len(rows_scored(batch)) == len(chosen)
    truth, hidden = seen_and_true(data, batch, name)
    members = maps.in_units(variable, outputs[f"{ENSEMBLE}{name}"].float().numpy())
    members = np.where(valid, members, np.nan)
    mean, spread = members.mean(1), members.std(1, ddof=1)
    known = spread[np.isfinite(spread)]
    scale = scale_of(truth)
    width = Normalize(0, max(float(np.quantile(known, 0.99)) if known.size else 0.0, 1e-12))
    figure = maps.page(len(chosen), len(PANELS), grid)
    figure.suptitle(
        f"{maps.title_of(variable)}: {members.shape[1]} samples of each day; light grey: hidden from the model; "
        "dark grey: no data"
    )
    axes = figure.subplots(len(chosen), len(PANELS), squeeze=False, sharex=True, sharey=True)
    for row, position in enumerate(chosen):
        fields = (truth[row], truth[row], mean[row], members[row, 0], members[row, 1])
        for column, values in enumerate(fields):
            veil = hidden[row] if column == 1 else None
            shown = maps.draw_map(axes[row, column], grid, values, scale, hidden=veil)
        apart = maps.draw_map(axes[row, 5], grid, spread[row], width, "magma")
        axes[row, 0].set_ylabel(maps.date_of(data, data.days["val"].start + int(position)), fontsize=9)
        axes[row, 2].set_title(f"RMSE {maps.rmse(mean[row] - truth[row], grid)}", fontsize=8)
        axes[row, 5].set_title(f"RMS {maps.rmse(spread[row], grid)}", fontsize=8)
    maps.label_columns(axes, PANELS)
    maps.add_bar(figure, shown, axes[:, :5])
    maps.add_bar(figure, apart, axes[:, 5:])
    return figure
