"""Pictures of the variables of a data set: mean, spread and seasonal cycle."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from thalweg.data.normalization import DAYS_OF_YEAR
from thalweg.datasets.charts import SPLIT_COLOURS, label_months, scale_of, split_patches
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.exploring import maps
from trainables.geo_contrastive.exploring.field_statistics import FieldStatistics

_DPI = 100
_WIDE = 0.45  # height over width below which two maps lie above each other


def draw_variable(data: FieldData, name: str, found: FieldStatistics) -> Figure:
    """Draws the mean and standard deviation of each cell, and the means over cells by day of the year."""
    variable = data.variables[name]
    grid = data.grids[variable.grid]
    shape = maps.aspect(grid)
    wide = shape < _WIDE
    names = "mc;sc" if wide else "msc"  # mean, spread and cycle
    height = 2 * (7.0 * shape + 0.8) if wide else min(4.0 * shape, 5.5) + 0.5
    figure = Figure(figsize=(13, max(height, 2.9) + 0.4), dpi=_DPI, layout="constrained")
    figure.suptitle(maps.title_of(variable), fontsize=11)
    places = figure.subplot_mosaic(names, width_ratios=[1.3, 1] if wide else [1, 1, 1.1])
    cycle = places["c"]
    for place, values, title, colours in (
        (places["m"], found.mean, "mean of all days", "viridis"),
        (places["s"], found.std, "standard deviation of all days", "magma"),
    ):
        mesh = maps.draw_map(place, grid, values, scale_of(values), colours)
        place.set_title(title, fontsize=9)
        bar = figure.colorbar(mesh, ax=place, location="bottom", shrink=0.8, aspect=30, pad=0.03)
        bar.locator = MaxNLocator(5)
        bar.ax.tick_params(labelsize=8)
    _draw_cycle(cycle, data, found)
    cycle.tick_params(labelsize=8)
    cycle.spines[["top", "right"]].set_visible(False)
    label_months(cycle)
    return figure


def _draw_cycle(place: Axes, data: FieldData, found: FieldStatistics) -> None:
    for style, (band, series) in zip(("-", "--"), found.series.items(), strict=False):
        for split, days in data.days.items():
            part = slice(days.start, days.stop)
            place.scatter(
                data.day_of_year[part], series[part], s=3, color=SPLIT_COLOURS[split], alpha=0.4, linewidths=0
            )
        place.plot(
            np.arange(DAYS_OF_YEAR), found.cycle[band], style, color="black", linewidth=1.2, label=band
        )
    lines, _ = place.get_legend_handles_labels()
    place.legend(handles=[*lines, *split_patches()], frameon=False, fontsize=8)
    place.set_title("mean over cells of each day, by split; lines: climatology of train", fontsize=9)
