"""Pictures of a data set: which days there are, and mean, spread and seasonal cycle of each variable."""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from thalweg.data.normalization import DAYS_OF_YEAR
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.exploring import maps
from trainables.geo_contrastive.exploring.field_statistics import FieldStatistics

SPLIT_COLOURS = {"train": "#2166ac", "val": "#e08214", "test": "#4d9221"}
_MONTHS = "JFMAMJJASOND"
_DPI = 100


def draw_coverage(data: FieldData) -> Figure:
    """Draws a line for each year, coloured by split where there is a day; white where there is none."""
    first, last = int(data.year.min()), int(data.year.max())
    covered = np.full((last - first + 1, DAYS_OF_YEAR), np.nan)
    for number, days in enumerate(data.days.values()):
        part = slice(days.start, days.stop)
        covered[data.year[part] - first, data.day_of_year[part]] = number
    figure = Figure(figsize=(11, 1.2 + min(0.22 * len(covered), 6.0)), dpi=_DPI, layout="constrained")
    place = figure.subplots()
    colours = ListedColormap(list(SPLIT_COLOURS.values()))
    edges = (np.arange(DAYS_OF_YEAR + 1), np.arange(first, last + 2) - 0.5)
    place.pcolormesh(*edges, np.ma.masked_invalid(covered), cmap=colours, norm=Normalize(0, 2))
    place.invert_yaxis()
    place.yaxis.set_major_locator(MaxNLocator(12, integer=True))
    _months(place)
    figure.legend(handles=_split_patches(), loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    return figure


def draw_variable(data: FieldData, name: str, found: FieldStatistics) -> Figure:
    """Draws the mean and standard deviation of each cell, and the means over cells by day of the year."""
    variable = data.variables[name]
    grid = data.grids[variable.grid]
    height = float(np.clip(4.0 * maps.aspect(grid), 2.4, 5.5))
    figure = Figure(figsize=(13, height + 0.9), dpi=_DPI, layout="constrained")
    figure.suptitle(maps.title_of(variable), fontsize=11)
    mean, spread, cycle = figure.subplots(1, 3, width_ratios=[1, 1, 1.1])
    for place, values, title, colours in (
        (mean, found.mean, "mean of all days", "viridis"),
        (spread, found.std, "standard deviation of all days", "magma"),
    ):
        mesh = maps.draw_map(place, grid, values, maps.scale_of(values), colours)
        place.set_title(title, fontsize=9)
        bar = figure.colorbar(mesh, ax=place, location="bottom", shrink=0.8, aspect=30, pad=0.03)
        bar.locator = MaxNLocator(5)
        bar.ax.tick_params(labelsize=8)
    _draw_cycle(cycle, data, found)
    cycle.tick_params(labelsize=8)
    cycle.spines[["top", "right"]].set_visible(False)
    _months(cycle)
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
    place.legend(handles=[*lines, *_split_patches()], frameon=False, fontsize=8)
    place.set_title("mean over cells of each day, by split; lines: climatology of train", fontsize=9)


def _split_patches() -> list[Patch]:
    return [Patch(color=colour, label=split) for split, colour in SPLIT_COLOURS.items()]


def png(figure: Figure) -> bytes:
    """Returns a picture as PNG, the same bytes each time."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _months(place: Axes) -> None:
    starts = np.cumsum([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30])
    place.set_xticks(starts + 15, list(_MONTHS))
    place.set_xlim(0, DAYS_OF_YEAR)
    place.tick_params(axis="x", length=0)
