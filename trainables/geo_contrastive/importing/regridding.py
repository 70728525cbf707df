"""Regrids fields between regular grids: means over areas to coarser cells, linear interpolation to finer ones.

Both are separable: a cell of the target is a weighted mean over the product of weights along each axis. A target cell
of which less than half has data is missing.
"""

import re
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped

from thalweg.errors import ConfigError, DataError
from trainables.geo_contrastive.data.grids import Grid

_MIN_COVERED = 0.5
_FINER = 0.999  # a target cell is finer below this share of a source cell
_CIRCLE = 360.0
_MAX_CELLS = 10_000
_SLACK = 1e-6  # rounding of coordinates

Centres = Float64[np.ndarray, " _cell"]
Edges = Float64[np.ndarray, " _edge"]
Weights = Float64[np.ndarray, "_target _source"]


class Regridder:
    """Regrids fields from one grid to another.

    Along an axis where the target is coarser, or as fine, the weight of a source cell is the length, in the sine of
    latitude or in degrees or metres, that it shares with the target cell, so that means over areas are kept (Jones
    1999, doi:10.1175/1520-0493(1999)127<2204:FASOCR>2.0.CO;2, first order). Along one where it is finer, fields are
    linear between centres, and constant beyond the outer ones.

    Args:
        source: Grid of the fields.
        target: Grid to bring them to.

    Raises:
        DataError: One grid is geographic and the other one projected, or they do not overlap.
    """

    def __init__(self, source: Grid, target: Grid) -> None:
        if source.geographic != target.geographic:
            raise DataError(
                f"fields must be regridded among longitudes and latitudes or among x and y, got {source} and {target}; "
                "import without grid="
            )
        self._first = _along_first(source, target)
        self._second = _along_second(source, target)
        self._covered = np.outer(self._first.sum(axis=1), self._second.sum(axis=1))
        if not (self._covered >= _MIN_COVERED).any():
            raise DataError(f"grids must overlap, got {source} and {target}; choose another grid")

    def __call__(self, fields: Float[np.ndarray, "day lon lat"]) -> Float32[np.ndarray, "day lon2 lat2"]:
        """Returns the fields on the target grid; NaN where less than half of a cell has data."""
        known = ~np.isnan(fields)
        is_whole = bool(known.all())
        shares = self._covered if is_whole else self._sums(known)
        sums = self._sums(fields if is_whole else np.where(known, fields, 0.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where(shares >= _MIN_COVERED - _SLACK, sums / shares, np.nan)
        return values.astype(np.float32)

    def _sums(self, fields: Shaped[np.ndarray, "day lon lat"]) -> Float64[np.ndarray, "day lon2 lat2"]:
        sums: Float64[np.ndarray, "day lon2 lat2"] = self._first @ (
            fields.astype(np.float64) @ self._second.T
        )
        return sums


def _along_first(source: Grid, target: Grid) -> Weights:
    """Returns the weights along longitude or x; each row adds up to the share of its cell that the source covers."""
    period = _CIRCLE if source.geographic else None
    if _is_finer(source.first, target.first):
        return _linear(source.first, source.first_edges, target.first, period, closed=source.wraps)
    return _shared(source.first_edges, target.first_edges, period)


def _along_second(source: Grid, target: Grid) -> Weights:
    if _is_finer(source.second, target.second):
        return _linear(source.second, source.second_edges, target.second)
    edges = [source.second_edges, target.second_edges]
    if source.geographic:
        edges = [np.sin(np.deg2rad(each)) for each in edges]
    return _shared(edges[0], edges[1])


def _is_finer(source: Centres, target: Centres) -> bool:
    cells = [
        float(np.median(np.diff(centres))) if len(centres) > 1 else np.inf for centres in (source, target)
    ]
    return cells[1] < _FINER * cells[0]


def _shared(source: Edges, target: Edges, period: float | None = None) -> Weights:
    """Returns which share of each target cell each source cell covers."""
    total: Weights = np.zeros((len(target) - 1, len(source) - 1))
    for shift in (0.0,) if period is None else (-2 * period, -period, 0.0, period, 2 * period):
        low = np.maximum(target[:-1, None], source[None, :-1] + shift)
        high = np.minimum(target[1:, None], source[None, 1:] + shift)
        total += np.clip(high - low, 0, None)
    return total / np.diff(target)[:, None]


def _linear(
    source: Centres, edges: Edges, target: Centres, period: float | None = None, *, closed: bool = False
) -> Weights:
    """Returns the weights of linear interpolation; none for a centre beyond the edges of the source."""
    places = target.copy()
    if period is not None:
        places = edges[0] + (places - edges[0] + _SLACK) % period - _SLACK
    centres, columns = source, np.arange(len(source))
    if closed and period is not None:
        centres = np.concatenate([[source[-1] - period], source, [source[0] + period]])
        columns = np.concatenate([[len(source) - 1], columns, [0]])
    total: Weights = np.zeros((len(target), len(source)))
    after = np.clip(np.searchsorted(centres, places), 1, max(len(centres) - 1, 1))
    rows = np.arange(len(target))
    if len(centres) == 1:
        total[:, 0] = 1.0
    else:
        span = centres[after] - centres[after - 1]
        share = np.clip((places - centres[after - 1]) / span, 0.0, 1.0)
        np.add.at(total, (rows, columns[after - 1]), 1 - share)
        np.add.at(total, (rows, columns[after]), share)
    total[(places < edges[0] - _SLACK) | (places > edges[-1] + _SLACK)] = 0.0
    return total


def target_grid(text: str, sources: Mapping[str, Grid]) -> Grid:
    """Returns the grid that an option asks for.

    A count or a size of cells fills what all sources have in common; around the globe, longitudes begin at -180 and
    latitudes fill the span from pole to pole.

    Args:
        text: Such as ``64x32``, ``2.5``, or the name of a variable.
        sources: Grid of each variable.

    Raises:
        ConfigError: It is neither of them.
        DataError: The sources have nothing in common.
    """
    if text in sources:
        return sources[text]
    counts = re.fullmatch(r"(\d+)\s*[xX]\s*(\d+)", text.strip())
    size = _number(text)
    if not size and not (counts and int(counts[1]) and int(counts[2])):
        raise ConfigError(
            f"grid must be COUNTxCOUNT, the size of a cell, or one of {', '.join(sources)}, got {text!r}; try 64x32"
        )
    if counts and max(int(counts[1]), int(counts[2])) > _MAX_CELLS:
        raise ConfigError(f"grid must have at most {_MAX_CELLS:,} cells along an axis, got {text}; try 64x32")
    grids = list(sources.values())
    west, east, south, north = _common(grids)
    geographic = grids[0].geographic
    if counts:
        num_first, num_second = int(counts[1]), int(counts[2])
    else:
        if max(east - west, north - south) / size > _MAX_CELLS:
            raise ConfigError(
                f"grid must have at most {_MAX_CELLS:,} cells along an axis, got cells of {text}; try larger ones"
            )
        num_first, num_second = (
            max(int((high - low) / size + _SLACK), 1) for low, high in ((west, east), (south, north))
        )
        east, north = west + num_first * size, south + num_second * size
    if all(grid.wraps for grid in grids):  # the first longitude is a centre, not an edge
        half = (east - west) / num_first / 2
        west, east = west - half, east - half
    axes = _centres(west, east, num_first), _centres(south, north, num_second)
    return Grid(f"{num_first}x{num_second}", *axes, geographic)


def _centres(low: float, high: float, count: int) -> Centres:
    edges = np.linspace(low, high, count + 1)
    centres: Centres = np.round((edges[1:] + edges[:-1]) / 2, 6)
    return centres


def _number(text: str) -> float:
    """Returns a positive finite number; 0 for any other text."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if np.isfinite(number) and number > 0 else 0.0


def _common(grids: list[Grid]) -> tuple[float, float, float, float]:
    """Returns the western, eastern, southern and northern edge of what grids have in common.

    Raises:
        DataError: Nothing.
    """
    first = grids[0]
    for grid in grids:
        if grid.geographic != first.geographic:
            raise DataError(
                f"fields must be regridded among longitudes and latitudes or among x and y, got {first} and {grid}; "
                "import without grid="
            )
    parts = [grid for grid in grids if not grid.wraps]
    west = max((float(grid.first_edges[0]) for grid in parts), default=-_CIRCLE / 2)
    east = min((float(grid.first_edges[-1]) for grid in parts), default=_CIRCLE / 2)
    south = max(float(grid.second_edges[0]) for grid in grids)
    north = min(float(grid.second_edges[-1]) for grid in grids)
    if not parts:  # to the poles, if not a whole cell is missing there
        cell = max(float(np.diff(grid.second_edges).max()) for grid in grids)
        south = -90.0 if south + 90.0 < cell else south
        north = 90.0 if 90.0 - north < cell else north
    if not (west < east and south < north):
        raise DataError(
            f"grids must overlap, got {' and '.join(map(str, grids))}; choose variables of one region"
        )
    return west, east, south, north
