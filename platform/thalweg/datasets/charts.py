"""Pieces of charts of data sets that families share: which days there are, months on an axis, colours, files."""

import io
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from thalweg.contract import SplitName

SPLIT_COLOURS: Mapping[SplitName, str] = {"train": "#2166ac", "val": "#e08214", "test": "#4d9221"}
NO_DATA = "0.62"
"""Grey of places without data, such as the sea."""
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTHS = "JFMAMJJASOND"
_DPI = 100


def draw_coverage(
    year: Integer[np.ndarray, " day"],
    day_of_year: Integer[np.ndarray, " day"],
    splits: Mapping[SplitName, range],
) -> Figure:
    """Draws a line for each year: days in the colour of their split, others white.

    Args:
        year: Year of each day.
        day_of_year: Days since 1 January, 0 to 365.
        splits: Positions of the days of each split.
    """
    first, last = int(year.min()), int(year.max())
    covered = np.full((last - first + 1, sum(_DAYS)), np.nan)
    for split, days in splits.items():
        part = slice(days.start, days.stop)
        covered[year[part] - first, day_of_year[part]] = list(SPLIT_COLOURS).index(split)
    figure = Figure(figsize=(11, 1.2 + min(0.22 * len(covered), 6.0)), dpi=_DPI, layout="constrained")
    place = figure.subplots()
    colours = ListedColormap(list(SPLIT_COLOURS.values()))
    edges = (np.arange(sum(_DAYS) + 1), np.arange(first, last + 2) - 0.5)
    scale = Normalize(0, len(SPLIT_COLOURS) - 1)
    place.pcolormesh(*edges, np.ma.masked_invalid(covered), cmap=colours, norm=scale)
    place.invert_yaxis()
    place.yaxis.set_major_locator(MaxNLocator(12, integer=True))
    label_months(place)
    patches = split_patches()
    figure.legend(handles=patches, loc="outside upper right", ncols=len(patches), frameon=False, fontsize=9)
    return figure


def split_patches() -> list[Patch]:
    """Returns handles of a legend that say which colour is which split."""
    return [Patch(color=colour, label=split) for split, colour in SPLIT_COLOURS.items()]


def label_months(place: Axes) -> None:
    """Labels an axis of days of the year, 0 to 365, with months."""
    starts = np.cumsum([0, *_DAYS[:-1]])
    place.set_xticks(starts + 15, list(_MONTHS))
    place.set_xlim(0, sum(_DAYS))
    place.tick_params(axis="x", length=0)


def scale_of(*fields: Float[np.ndarray, "..."]) -> Normalize:
    """Returns the scale of the middle 98 % of finite values; of at least some width."""
    values = np.concatenate([field[np.isfinite(field)].ravel() for field in fields])
    low, high = (float(end) for end in np.quantile(values, [0.01, 0.99])) if values.size else (0.0, 1.0)
    return Normalize(low, high if high > low else low + max(abs(low), 1.0) * 1e-3)


def png(figure: Figure) -> bytes:
    """Returns a picture as PNG, the same bytes each time."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
