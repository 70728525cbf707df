"""Pictures of a trained model's reconstructions: maps of each modality, and hydrographs of catchments."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, SymLogNorm
from matplotlib.figure import Figure
from torch import Tensor, nn

from thalweg.per_unit import PerUnit
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.evaluation import metrics, protocol
from trainables.water_mae.evaluation.protocol import present
from trainables.water_mae.evaluation.reconstruction import moments_by_catchment
from trainables.water_mae.model.batch import Batch, Predictions

NUM_DAYS = 3
"""Number of days of a window in the maps."""
MAX_DAYS = 400
"""Number of days of the windows in hydrographs; overlaps count twice."""
QUANTILES = (0.9, 0.75, 0.5, 0.25, 0.1)
"""Quantiles of the NSE at which catchments are chosen for hydrographs."""

_PANELS = ("input", "truth", "reconstruction", "error")
_HIDDEN = "0.82"  # grey of masked places

Draw = Callable[[Axes, np.ndarray, Normalize | None, str], object]
Fetch = Callable[[Int64[np.ndarray, " batch"]], Batch]


@dataclass(frozen=True)
class Days:
    """Some days of a modality, in data units; NaN for missing values.

    Attributes:
        truth: Observed values, (day, patch, value).
        given: The model's prediction if a patch is masked, else the truth.
        visible: True for visible patches, (day, patch).
        dates: The days.
    """

    truth: Float[np.ndarray, "day patch value"]
    given: Float[np.ndarray, "day patch value"]
    visible: Bool[np.ndarray, "day patch"]
    dates: list[str]


def draw_all(model: nn.Module, data: WaterData, fetch: Fetch, folder: Path) -> None:
    """Writes ``maps_MODALITY.png``, and hydrographs of each series without negative values.

    That of river flow, or of the first such series, is ``hydrographs.png``, others are ``hydrographs_SERIES.png``.

    Args:
        model: The model.
        data: Opened data.
        fetch: Samples windows of the split ``val`` under the evaluation protocol.
        folder: Folder for the files.
    """
    window = _most_varied(data)
    batch = fetch(np.array([window]))
    predictions = model(batch)
    for name in data.modalities.names:
        days = _days(data, batch, predictions, name, int(data.starts["val"][window]))
        _maps(data, days, name).savefig(folder / f"maps_{name}.png", dpi=110)
    measured = data.modalities.measured
    first = "river_flow" if "river_flow" in measured else next(iter(measured), "")
    for name in measured:
        figure = _hydrographs(model, data, fetch, name)
        if figure is not None:
            figure.savefig(folder / f"hydrographs{'' if name == first else f'_{name}'}.png", dpi=110)


def _most_varied(data: WaterData) -> int:
    """Returns the index of the window in which a field varies most in space: of amounts such as rain, if there are.

    A dry window shows little. Without fields, it is the same of a series.
    """
    starts = data.starts["val"]
    kind = "image" if data.modalities.fields else "vector"
    names, values = data.modalities.of_kind(kind), data.images if kind == "image" else data.vectors
    number = next((index for index, name in enumerate(names) if data.modalities[name].is_flux), 0)
    first, stop = int(starts[0]), int(starts[-1]) + data.sequence_length
    spread = np.array([values[day, number].std(dtype=np.float64) for day in range(first, stop)])
    return int(
        np.argmax([spread[start - first : start - first + data.sequence_length].mean() for start in starts])
    )


def _days(data: WaterData, batch: Batch, predictions: Predictions, name: str, first: int) -> Days:
    """Takes the first, a middle and the last day of the first window."""
    kind, index = place = data.modalities.places[name]
    masked = batch[f"{kind}_masked"][0, index]
    truth = batch[f"{kind}s"][0, index].double()
    given = truth.scatter(1, masked[..., None].expand(-1, -1, truth.shape[-1]), predictions[name][0].double())
    visible = torch.ones(truth.shape[:2], dtype=torch.bool).scatter(1, masked, False)
    chosen = torch.linspace(0, len(truth) - 1, min(NUM_DAYS, len(truth))).round().long()
    there = batch[f"{kind}_valid"][0] & (present(batch, place)[0] > 0)
    seen = there & batch[f"{kind}_observed"][0, index]

    def shown(values: Tensor, known: Tensor) -> np.ndarray:
        return np.where(known[chosen], _in_units(data, values[chosen], name).numpy(), np.nan)

    return Days(
        truth=shown(truth, seen),
        given=shown(given, seen | (there & ~visible[..., None])),
        visible=visible[chosen].numpy(),
        dates=[str(np.datetime64(int(data.epoch_day[first + int(day)]), "D")) for day in chosen],
    )


def _in_units(data: WaterData, values: Tensor, name: str) -> Tensor:
    number = data.modalities.index(name)
    scale = torch.tensor([[data.mean[number], data.std[number]]], dtype=torch.float64)
    return metrics.physical(values[None], scale, data.modalities[name])[0]


def _maps(data: WaterData, days: Days, name: str) -> Figure:
    """Draws one row per day: input, truth, reconstruction and error."""
    num_days = len(days.dates)
    panel = 2.5 * _shape(data)
    figure = Figure(figsize=(2.5 * len(_PANELS) + 1.6, panel * num_days + 0.8), layout="constrained")
    unit = data.units[data.modalities.index(name)]
    unit = "no unit" if unit in ("", "1") else unit
    title = f"{name.replace('_', ' ')} ({unit}); grey: hidden from the model; error: reconstruction minus truth there"
    figure.suptitle(title if np.isfinite(days.truth).any() else f"{name.replace('_', ' ')}: absent")
    draw, hide = _drawer(data, name)
    seen = np.where(days.visible[..., None], days.truth, np.nan)
    error = np.where(days.visible[..., None], np.nan, days.given - days.truth)
    scale, around = _scale(days.truth, skewed=data.modalities[name].is_skewed), _symmetric(error)
    axes = figure.subplots(num_days, len(_PANELS), squeeze=False)
    for row, date in enumerate(days.dates):
        hide(axes[row, 0], days.truth[row])
        panels = (seen[row], days.truth[row], days.given[row])
        pictures = [draw(axes[row, column], panel, scale, "viridis") for column, panel in enumerate(panels)]
        pictures.append(draw(axes[row, 3], error[row], around, "RdBu"))
        for column, label in enumerate(_PANELS):
            axes[row, column].set(xticks=[], yticks=[], title=label if row == 0 else "")
        axes[row, 0].set_ylabel(date)
        for picture, place in ((pictures[2], axes[row, 2]), (pictures[3], axes[row, 3])):
            figure.colorbar(picture, ax=place, fraction=0.05)  # type: ignore[arg-type]
    return figure


def _shape(data: WaterData) -> float:
    """Returns height over width of a map: of the grid of patches, or 1 without one."""
    places = data.geometry.patch_rows_cols
    if not len(places):
        return 1.0
    height, width = np.ptp(places, axis=0) + 1
    return float(np.clip(height / width, 0.6, 1.8))


def _scale(values: np.ndarray, *, skewed: bool) -> Normalize:
    known = values[np.isfinite(values)]
    low, high = (float(np.quantile(known, share)) for share in (0.01, 0.99)) if known.size else (0.0, 1.0)
    high = max(high, low + 1e-6)
    if skewed:  # a few large values would give all others one colour
        return SymLogNorm(linthresh=0.1, vmin=max(low, 0.0), vmax=high)
    return Normalize(low, high)


def _symmetric(values: np.ndarray) -> Normalize:
    known = np.abs(values[np.isfinite(values)])
    largest = float(np.quantile(known, 0.99)) if known.size else 1.0
    return Normalize(-max(largest, 1e-6), max(largest, 1e-6))


def _drawer(data: WaterData, name: str) -> tuple[Draw, Callable[[Axes, np.ndarray], object]]:
    """Returns the function that draws the values of a day, and the one that greys all existing places."""
    if name in data.modalities.fields:
        return _draw_grid(data)
    return _draw_points(data)


def _draw_grid(data: WaterData) -> tuple[Draw, Callable[[Axes, np.ndarray], object]]:
    rows_cols = data.geometry.patch_rows_cols
    size = int(np.sqrt(data.geometry.num_pixels))
    origin, extent = rows_cols.min(axis=0), np.ptp(rows_cols, axis=0) + 1

    def grid(values: np.ndarray) -> np.ndarray:
        out = np.full((extent[0] * size, extent[1] * size), np.nan)
        for (row, col), patch in zip((rows_cols - origin) * size, values, strict=True):
            out[row : row + size, col : col + size] = patch.reshape(size, size)
        return out

    def draw(axis: Axes, values: np.ndarray, scale: Normalize | None, colours: str) -> object:
        return axis.imshow(grid(values), norm=scale, cmap=colours, interpolation="nearest")

    def hide(axis: Axes, values: np.ndarray) -> object:
        land = np.where(np.isfinite(grid(values)), float(_HIDDEN), np.nan)
        return axis.imshow(land, cmap="gray", vmin=0, vmax=1, interpolation="nearest")

    return draw, hide


def _draw_points(data: WaterData) -> tuple[Draw, Callable[[Axes, np.ndarray], object]]:
    """Draws catchments at their positions, or in rows if none is known."""
    east, north = np.moveaxis(data.geometry.member_positions, -1, 0)
    if not data.geometry.member_positions.any():
        side = int(np.ceil(np.sqrt(east.size)))
        rows, columns = np.divmod(np.arange(east.size), side)
        east, north = columns.reshape(east.shape), -rows.reshape(east.shape)

    def draw(axis: Axes, values: np.ndarray, scale: Normalize | None, colours: str) -> object:
        # Outlined, for the scale of errors is white in the middle.
        known = np.isfinite(values)
        return axis.scatter(
            east[known],
            north[known],
            c=values[known],
            norm=scale,
            cmap=colours,
            s=9,
            edgecolors="0.6",
            linewidths=0.3,
        )

    def hide(axis: Axes, values: np.ndarray) -> object:
        known = np.isfinite(values)
        return axis.scatter(east[known], north[known], c=_HIDDEN, s=9)

    return draw, hide


def _hydrographs(model: nn.Module, data: WaterData, fetch: Fetch, name: str) -> Figure | None:
    """Draws a series as observed and the predictions on masked days, for catchments from good to bad."""
    truth, given, days = _record(model, data, fetch, name)
    order, scores = _ranked(truth, given)
    if not len(order):
        return None
    unit = data.units[data.modalities.index(name)]
    unit = "no unit" if unit in ("", "1") else unit
    chosen = dict.fromkeys(int(order[round(share * (len(order) - 1))]) for share in QUANTILES)
    figure = Figure(figsize=(10, 1.9 * len(chosen) + 0.7), layout="constrained")
    figure.suptitle(
        f"{name.replace('_', ' ')} ({unit}): line as observed, dots as reconstructed on days hidden from the model;\n"
        f"catchments at the quantiles {', '.join(map(str, QUANTILES))} of the NSE of the dots"
    )
    axes = figure.subplots(len(chosen), 1, sharex=True, squeeze=False)[:, 0]
    for axis, place in zip(axes, chosen, strict=True):
        axis.plot(days, truth[:, place], color="0.35", linewidth=1)
        axis.plot(days, given[:, place], ".", color="C3", markersize=4)
        axis.set_title(f"catchment {data.catchments[place]}, NSE {scores[place]:.2f}", loc="left", fontsize=9)
    return figure


def _record(
    model: nn.Module, data: WaterData, fetch: Fetch, name: str
) -> tuple[Float[np.ndarray, "day catchment"], Float[np.ndarray, "day catchment"], np.ndarray]:
    """Joins the first windows of the split; if several windows mask a day, the first counts.

    Returns:
        Observed values (NaN if missing), predicted ones (NaN on visible days), and the dates.
    """
    num_windows = max(1, min(data.num_samples("val"), MAX_DAYS // data.sequence_length))
    starts = data.starts["val"][:num_windows] - data.starts["val"][0]
    num_days = int(starts[-1]) + data.sequence_length
    places = data.geometry.member_valid.size
    truth, given = np.full((2, num_days, places), np.nan)
    row, place = data.modalities[name], data.modalities.places[name]
    training: list[PerUnit] = []
    for numbers in _batches(num_windows):
        batch = fetch(numbers)
        flows = _flows(data, batch, model(batch), name)
        windows, counted = protocol.training_part(batch)
        training.append(moments_by_catchment(model(windows)[name], windows, counted, row, place))
        present = batch["vector_present"][:, place.position].numpy() > 0
        for here, number in enumerate(numbers):
            days = slice(int(starts[number]), int(starts[number]) + data.sequence_length)
            if present[here]:
                truth[days] = flows[0][here]
                given[days] = np.where(np.isnan(given[days]), flows[1][here], given[days])
    if row.transform == "log":
        by_catchment = PerUnit.joined(training).by(0).values
        given *= metrics.mean_factor(metrics.named(by_catchment, metrics.MOMENTS)).numpy()
    valid = data.geometry.member_valid.ravel()
    first = int(data.starts["val"][0])
    dates = data.epoch_day[first : first + num_days].astype("datetime64[D]")
    return truth[:, valid], given[:, valid], dates


def _batches(num_windows: int, size: int = 8) -> Iterator[Int64[np.ndarray, " batch"]]:
    for first in range(0, num_windows, size):
        yield np.arange(first, min(first + size, num_windows))


def _flows(
    data: WaterData, batch: Batch, predictions: Predictions, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns observed values, NaN if missing, and predicted ones, NaN if they were visible.

    Both are (batch, step, catchment with padding).
    """
    kind, index = data.modalities.places[name]
    truth, masked = batch[f"{kind}s"][:, index].double(), batch[f"{kind}_masked"][:, index]
    where = masked[..., None].expand(-1, -1, -1, truth.shape[-1])
    given = torch.full_like(truth, torch.nan).scatter(2, where, predictions[name].double())
    truth = truth.masked_fill(~batch[f"{kind}_observed"][:, index], torch.nan)
    seen, found = (_in_units(data, values, name).flatten(2).numpy() for values in (truth, given))
    return seen, found


def _ranked(
    truth: Float[np.ndarray, "day catchment"], given: Float[np.ndarray, "day catchment"]
) -> tuple[Int64[np.ndarray, " ranked"], Float[np.ndarray, " catchment"]]:
    """Ranks catchments by the NSE of masked days, worst first; leaves out those without one."""
    hidden = np.isfinite(given) & np.isfinite(truth)
    count = np.maximum(hidden.sum(axis=0), 1)
    seen = np.where(hidden, truth, 0.0)
    spread = np.where(hidden, (seen - seen.sum(axis=0) / count) ** 2, 0.0).sum(axis=0)
    error = np.where(hidden, np.nan_to_num(given) - seen, 0.0)
    scores = np.where(spread > 0, 1 - (error**2).sum(axis=0) / np.where(spread > 0, spread, 1), np.nan)
    order = np.argsort(np.nan_to_num(scores, nan=-np.inf), kind="stable")
    return order[np.isfinite(scores[order])], scores
