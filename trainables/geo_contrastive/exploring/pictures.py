"""Pictures of a trained model: fields, what of them it saw, what it reconstructed, its errors, and its latent space."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from thalweg.contract import Batch, Indices, Outputs
from thalweg.datasets.charts import scale_of
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.evaluation.latents import CLEAN
from trainables.geo_contrastive.evaluation.reconstruction import FIELD
from trainables.geo_contrastive.exploring import maps

MAX_LATENTS = 800
"""Days in the map of latents, evenly over the split."""
MAX_JOINED = 30
"""Days that are joined by a line in it."""

_PANELS = ("field", "seen by the model", "reconstruction", "error")
_BATCH = 32
_DPI = 110

Fetch = Callable[[Indices], Batch]
Predict = Callable[[Batch], Outputs]


def draw_all(predict: Predict, data: FieldData, fetch: Fetch, folder: Path) -> None:
    """Writes ``fields_VARIABLE.png`` of each variable, and ``latents.png``; what a model does not predict is left out.

    Args:
        predict: What the model predicts from a batch.
        data: Opened data.
        fetch: Samples days of the split ``val`` under the evaluation protocol.
        folder: Folder for the files.
    """
    chosen = one_day_of_each_season(data)
    batch = fetch(chosen)
    outputs = predict(batch)
    for name in data.variables:
        if f"{FIELD}{name}" in outputs:
            figure = draw_maps(data, chosen, batch, outputs, name)
            figure.savefig(folder / f"fields_{name}.png", dpi=_DPI)
    if CLEAN in outputs:
        days = np.unique(np.linspace(0, data.num_samples("val") - 1, MAX_LATENTS).round().astype(np.int64))
        latents = _latents(days, fetch, predict)
        draw_latents(data, days, latents).savefig(folder / "latents.png", dpi=_DPI)


def one_day_of_each_season(
    data: FieldData, allowed: Bool[np.ndarray, " day"] | None = None
) -> Int64[np.ndarray, " chosen"]:
    """Returns the middle day of each season in the split ``val``, as positions in the split, ascending.

    Args:
        data: Opened data.
        allowed: Days of the split that may be chosen; None allows all.
    """
    days = data.days["val"]
    seasons = data.season[days.start : days.stop]
    if allowed is not None:
        seasons = np.where(allowed, seasons, -1)
    members = [np.flatnonzero(seasons == season) for season in range(len(maps.SEASONS))]
    return np.sort(np.array([each[len(each) // 2] for each in members if len(each)], np.int64))


def draw_maps(
    data: FieldData, chosen: Int64[np.ndarray, " chosen"], batch: Batch, outputs: Outputs, name: str
) -> Figure:
    """Draws a row for each day: the field, what of it was seen, the reconstruction, and its error.

    Args:
        data: Opened data.
        chosen: The days, as positions in the split ``val``.
        batch: These days under the evaluation protocol.
        outputs: What was predicted.
        name: The variable.
    """
    variable = data.variables[name]
    grid = data.grids[variable.grid]
    truth, hidden = seen_and_true(data, batch, name)
    found = maps.in_units(variable, outputs[f"{FIELD}{name}"].detach().float().numpy())
    found = np.where(data.valid[name], found, np.nan)
    error = found - truth
    scale, around = scale_of(truth), maps.symmetric_scale(error)
    figure = maps.page(len(chosen), len(_PANELS), grid)
    figure.suptitle(f"{maps.title_of(variable)}; light grey: hidden from the model; dark grey: no data")
    axes = figure.subplots(len(chosen), len(_PANELS), squeeze=False, sharex=True, sharey=True)
    for row, position in enumerate(chosen):
        veils = (None, hidden[row], None)
        for column, (values, veil) in enumerate(
            zip((truth[row], truth[row], found[row]), veils, strict=True)
        ):
            shown = maps.draw_map(axes[row, column], grid, values, scale, hidden=veil)
        wrong = maps.draw_map(axes[row, 3], grid, error[row], around, "RdBu_r")
        axes[row, 0].set_ylabel(maps.date_of(data, data.days["val"].start + int(position)), fontsize=9)
        axes[row, 3].set_title(f"RMSE {maps.rmse(error[row], grid)} {variable.unit}", fontsize=8)
    maps.label_columns(axes, _PANELS)
    maps.add_bar(figure, shown, axes[:, :3])
    maps.add_bar(figure, wrong, axes[:, 3:])
    return figure


def seen_and_true(
    data: FieldData, batch: Batch, name: str
) -> tuple[Float[np.ndarray, "day lon lat"], Bool[np.ndarray, "day lon lat"]]:
    """Returns a variable in its unit, NaN without data, and the cells with data that are hidden from the model."""
    valid = data.valid[name]
    truth = maps.in_units(data.variables[name], batch[f"clean/{name}"].numpy())
    hidden = batch[f"view/{name}"][:, 0].numpy() == 0  # what is hidden is exactly 0
    return np.where(valid, truth, np.nan), hidden & valid


def draw_latents(
    data: FieldData, days: Int64[np.ndarray, " day"], latents: Float[np.ndarray, "day dim"]
) -> Figure:
    """Draws the two leading principal components of latents, by season, and the path through them of the first days.

    Args:
        data: Opened data.
        days: The days, as positions in the split ``val``.
        latents: Latents of their whole fields.
    """
    positions = data.days["val"].start + days
    finite = np.isfinite(latents).all(1)
    positions, latents = positions[finite], latents[finite]
    centred = latents - latents.mean(0) if len(latents) else latents
    left, sizes, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    missing = max(2 - len(sizes), 0)  # of less than two days
    left, sizes = np.pad(left, ((0, 0), (0, missing))), np.pad(sizes, (0, missing))
    places = (left * sizes)[:, :2]
    shares = sizes[:2] ** 2 / max(float((sizes**2).sum()), 1e-300)
    figure = Figure(figsize=(11, 5), layout="constrained")
    figure.suptitle(f"Latents of {len(positions)} days of the split val: principal components")
    seasons, path = figure.subplots(1, 2, sharex=True, sharey=True)
    for season, (label, colour) in enumerate(zip(maps.SEASONS, maps.SEASON_COLOURS, strict=True)):
        members = places[data.season[positions] == season]
        if len(members):
            seasons.scatter(
                members[:, 0], members[:, 1], s=9, color=colour, alpha=0.6, label=label, linewidths=0
            )
    if len(places):
        seasons.legend(fontsize=8, frameon=False, markerscale=1.6)
    _draw_path(path, data.day[positions], places)
    for place in (seasons, path):
        place.set_xlabel(f"first component, {shares[0]:.0%} of the variance")
        place.spines[["top", "right"]].set_visible(False)
    seasons.set_ylabel(f"second component, {shares[1]:.0%}")
    return figure


def _draw_path(place: Axes, day: Int64[np.ndarray, " day"], places: Float[np.ndarray, "day 2"]) -> None:
    """Joins the first days that follow one another at the usual distance; a jump breaks the line."""
    place.scatter(places[:, 0], places[:, 1], s=5, color="0.85", linewidths=0)
    first = slice(0, MAX_JOINED)
    steps = np.diff(day[first])
    usual = int(np.median(steps)) if len(steps) else 1
    for start in np.flatnonzero(steps <= usual):
        place.plot(*places[start : start + 2].T, color="0.35", linewidth=0.8)
    path = places[first]
    mesh = place.scatter(path[:, 0], path[:, 1], s=12, c=np.arange(len(path)), cmap="plasma", zorder=3)
    place.set_title(
        f"the first {len(path)} days, dark to bright, {'joined' if usual == 1 else f'every {usual} days'}",
        fontsize=9,
    )
    mesh.set_clim(0, MAX_JOINED)


def _latents(days: Int64[np.ndarray, " day"], fetch: Fetch, predict: Predict) -> Float[np.ndarray, "day dim"]:
    def batches() -> Iterator[Float[np.ndarray, "batch dim"]]:
        for first in range(0, len(days), _BATCH):
            with torch.no_grad():
                yield predict(fetch(days[first : first + _BATCH]))[CLEAN].float().numpy()

    return np.concatenate(list(batches()))
