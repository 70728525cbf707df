"""Pictures of a data set: maps, distributions and seasonal cycles of modalities, what is missing, hydrographs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from thalweg.datasets.charts import NO_DATA, SPLIT_COLOURS, label_months, scale_of
from trainables.water_mae.data.grids import Inputs
from trainables.water_mae.exploring.modalities import Modality, Series

QUANTILES = (0.95, 0.8, 0.6, 0.4, 0.2, 0.05)
"""Quantiles of the mean flow at which catchments are chosen for hydrographs."""

_NUM_BINS = 80
_SHARES = FuncFormatter(lambda value, _: f"{100 * value:g} %")
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
_DPI = 100
_TITLES = {"50-percentile-altitude": "median altitude (m)", "bfihost": "baseflow index of soils"}


def words(name: str) -> str:
    """Returns the name of a modality for people."""
    return name.replace("_", " ")


def is_logarithmic(series: Series) -> bool:
    """Whether hydrographs have a logarithmic axis: of series that are learnt as logarithms."""
    return series.modalities[series.main_name].transform == "log"


def draw_modality(inputs: Inputs, series: Series, found: Modality) -> Figure:
    """Draws mean and missing share of each place, the distribution by split, and the means of days of the year."""
    shape = _height(inputs, series, found.kind)
    figure = Figure(figsize=(16, float(np.clip(3.4 * shape, 2.8, 5.6)) + 0.9), dpi=_DPI, layout="constrained")
    unit = found.extremes.unit
    figure.suptitle(f"{found.name.replace('_', ' ')}{'' if unit in ('', '1') else f' ({unit})'}", fontsize=11)
    mean, missing, spread, cycle = figure.subplots(1, 4, width_ratios=[1, 1, 1.2, 1.2])
    _draw_places(figure, mean, inputs, series, found.kind, found.mean, scale_of(found.mean), "viridis")
    mean.set_title("mean of days with data", fontsize=9)
    shares = Normalize(0, max(float(found.missing.max()), 0.01))
    bar = _draw_places(figure, missing, inputs, series, found.kind, found.missing, shares, "magma_r")
    bar.ax.xaxis.set_major_formatter(_SHARES)
    title = "share of days without data" if found.missing.any() else "every place has data on every day"
    missing.set_title(title, fontsize=9)
    _draw_distribution(spread, found, skewed=series.modalities[found.name].is_skewed)
    _draw_cycle(cycle, inputs, found)
    for place in (spread, cycle):
        place.tick_params(labelsize=8)
        place.spines[["top", "right"]].set_visible(False)
    label_months(cycle)
    return figure


def draw_missing(inputs: Inputs, found: Mapping[str, Modality]) -> Figure:
    """Draws the share of places without data on each day, a line of charts for each modality."""
    figure = Figure(figsize=(11, 1.0 * len(found) + 0.8), dpi=_DPI, layout="constrained")
    axes = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
    for place, (name, each) in zip(axes, found.items(), strict=True):
        for split, span in inputs.spans.items():
            part = slice(span.start, span.stop)
            place.fill_between(
                inputs.dates[part],
                1 - each.covered[part],
                step="mid",
                color=SPLIT_COLOURS[split],
                linewidth=0,
            )
        largest = float(1 - each.covered.min())
        place.set_title(
            f"{name.replace('_', ' ')}{'' if largest else ': nothing is missing'}", fontsize=9, loc="left"
        )
        place.set_ylim(0, max(largest, 0.01))
        place.set_xlim(inputs.dates[0], inputs.dates[-1])
        place.yaxis.set_major_formatter(_SHARES)
        place.yaxis.set_major_locator(MaxNLocator(3))
        place.tick_params(labelsize=8)
        place.spines[["top", "right"]].set_visible(False)
    return figure


def draw_catchments(series: Series) -> Figure:
    """Draws the catchments on maps: area as size; the mean of the main series and two attributes as colour."""
    east, north = _places(series)
    flow = series.values[:, series.main].astype(np.float64)
    known = np.isfinite(flow)
    mean = np.where(known, flow, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    area = series.attribute("area")
    size = 6 + 90 * np.sqrt(np.nan_to_num(area) / max(float(np.nanmax(area, initial=1.0)), 1.0))
    logarithmic = is_logarithmic(series)
    mean = np.where(mean > 0, mean, np.nan) if logarithmic else mean
    unit = f" ({series.main_unit})" if series.main_unit not in ("", "1") else ""
    figure = Figure(figsize=(13, 5.4), dpi=_DPI, layout="constrained")
    panels = (
        (f"mean {words(series.main_name)}{unit}", mean, LogNorm() if logarithmic else None),
        *((title, series.attribute(name), None) for name, title in _coloured(series).items()),
    )
    places = figure.subplots(1, len(panels), squeeze=False)[0]
    for place, (title, colour, scale) in zip(places, panels, strict=True):
        mesh = place.scatter(
            east, north, c=colour, s=size, norm=scale, cmap="viridis", edgecolors="0.4", linewidths=0.3,
            plotnonfinite=False,
        )  # fmt: skip
        place.set_title(title, fontsize=9)
        _as_map(place, series)
        bar = figure.colorbar(mesh, ax=place, location="bottom", shrink=0.8, aspect=30, pad=0.03)
        if scale is not None:
            bar.ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        bar.ax.xaxis.set_major_formatter(_PLAIN)
        bar.ax.xaxis.set_minor_formatter(NullFormatter())
        bar.ax.tick_params(labelsize=8)
    return figure


def _coloured(series: Series) -> dict[str, str]:
    """Returns the title of two attributes by their names: those of Great Britain, or else the first that vary."""
    if all(name in series.attributes for name in _TITLES):
        return _TITLES
    varying = [str(name) for name in series.attributes if series.attributes[name].nunique() > 1]
    places = ("latitude", "longitude")
    return {name: name for name in [each for each in varying if each.casefold() not in places][:2]}


def draw_hydrographs(inputs: Inputs, series: Series) -> Figure:
    """Draws the main series of catchments from high to low over all days, coloured by split; gaps stay white."""
    flow = series.values[:, series.main]
    known = np.isfinite(flow)
    means = np.where(known, flow, 0).sum(axis=0, dtype=np.float64) / np.maximum(known.sum(axis=0), 1)
    order = np.argsort(means, kind="stable")
    chosen = list(dict.fromkeys(int(order[round(share * (len(order) - 1))]) for share in QUANTILES))
    figure = Figure(figsize=(13, 1.5 * len(chosen) + 0.6), dpi=_DPI, layout="constrained")
    axes = figure.subplots(len(chosen), 1, sharex=True, squeeze=False)[:, 0]
    unit = f" {series.main_unit}" if series.main_unit not in ("", "1") else ""
    for place, number in zip(axes, chosen, strict=True):
        for split, span in inputs.spans.items():
            part = slice(span.start, span.stop)
            colour = SPLIT_COLOURS[split]
            place.plot(inputs.dates[part], flow[part, number], color=colour, linewidth=0.7, label=split)
        if is_logarithmic(series):
            place.set_yscale("symlog", linthresh=0.1)
            place.set_ylim(0, None)
        place.set_xlim(inputs.dates[0], inputs.dates[-1])
        place.yaxis.set_major_formatter(_PLAIN)
        place.set_title(
            f"catchment {series.ids[number]}: mean {means[number]:.3g}{unit}, "
            f"{1 - known[:, number].mean():.1%} of days missing",
            fontsize=9,
            loc="left",
        )
        place.tick_params(labelsize=8)
        place.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def _height(inputs: Inputs, series: Series, kind: str) -> float:
    """Returns height over width of a map."""
    if kind == "field":
        rows, columns = inputs.land.shape
        return float(rows / columns)
    if not series.is_located:
        return 1.0
    east, north = (_extent(series.attribute(each)) for each in ("longitude", "latitude"))
    return float(north / (east * _narrowing(series.attribute("latitude"))))


def _extent(values: Float64[np.ndarray, " catchment"]) -> float:
    known = values[np.isfinite(values)]
    return max(float(np.ptp(known)) if known.size else 0.0, 1e-3)


def _narrowing(latitude: Float64[np.ndarray, " catchment"]) -> float:
    known = latitude[np.isfinite(latitude)]
    return max(float(np.cos(np.radians(known.mean()))) if known.size else 1.0, 0.1)


def _draw_places(
    figure: Figure,
    place: Axes,
    inputs: Inputs,
    series: Series,
    kind: str,
    values: Float64[np.ndarray, " place"],
    scale: Normalize,
    colours: str,
) -> Any:
    """Draws a map with a number of each land cell, first row up, or of each catchment; returns the colour bar."""
    if kind == "field":
        grid = np.full(inputs.land.shape, np.nan)
        grid[inputs.land] = values
        place.set_facecolor("1.0")
        sea = np.where(inputs.land, float(NO_DATA), np.nan)
        place.imshow(sea, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        mesh: Any = place.imshow(
            np.ma.masked_invalid(grid), norm=scale, cmap=colours, interpolation="nearest"
        )
        place.set(xticks=[], yticks=[])
    else:
        east, north = _places(series)
        mesh = place.scatter(
            east, north, c=values, s=14, norm=scale, cmap=colours, edgecolors="0.5", linewidths=0.3
        )
        _as_map(place, series)
    bar = figure.colorbar(mesh, ax=place, location="bottom", shrink=0.8, aspect=30, pad=0.03)
    bar.locator = MaxNLocator(5)
    bar.ax.tick_params(labelsize=8)
    return bar


def _places(
    series: Series,
) -> tuple[Float64[np.ndarray, " catchment"], Float64[np.ndarray, " catchment"]]:
    """Returns longitude and latitude; catchments without known positions lie in rows, in the order of the table."""
    if series.is_located:
        return series.attribute("longitude"), series.attribute("latitude")
    number = np.arange(len(series.ids))
    side = int(np.ceil(np.sqrt(len(number))))
    return (number % side).astype(np.float64), -(number // side).astype(np.float64)


def _as_map(place: Axes, series: Series) -> None:
    if not series.is_located:
        place.set(xticks=[], yticks=[], xlabel="positions are not known")
        return
    place.set_aspect(1 / _narrowing(series.attribute("latitude")))
    place.tick_params(labelsize=8)
    place.xaxis.set_major_formatter("{x:g}\N{DEGREE SIGN}")
    place.yaxis.set_major_formatter("{x:g}\N{DEGREE SIGN}")


def _draw_distribution(place: Axes, found: Modality, *, skewed: bool) -> None:
    """Draws the share of values in each bin, by split; of skewed modalities in the logarithm of counts."""
    every = np.concatenate(list(found.sampled.values()))
    low, high = (float(end) for end in np.quantile(every, [0.0, 0.999])) if every.size else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, _NUM_BINS + 1)
    for split, values in found.sampled.items():
        if values.size:
            counts, _ = np.histogram(values, edges)
            place.stairs(counts / values.size, edges, color=SPLIT_COLOURS[split], label=split)
    if skewed:
        place.set_yscale("log")
    place.yaxis.set_major_formatter(_SHARES)
    place.legend(frameon=False, fontsize=8)
    place.set_title("share of values, by split; the largest thousandth is left out", fontsize=9)


def _draw_cycle(place: Axes, inputs: Inputs, found: Modality) -> None:
    for split, span in inputs.spans.items():
        part = slice(span.start, span.stop)
        place.scatter(
            inputs.day_of_year[part],
            found.series[part],
            s=3,
            color=SPLIT_COLOURS[split],
            alpha=0.4,
            linewidths=0,
        )
    place.set_title("mean over places of each day, by split", fontsize=9)
