"""Pictures of what a classifier calls the scenes of the split ``val``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure

from thalweg.contract import Batch, Indices, Measure, Outputs
from thalweg.per_unit import PerUnit
from trainables.sentinel_supcon.evaluation.measures import measures
from trainables.sentinel_supcon.evaluation.several_classes import CALLS
from trainables.sentinel_supcon.knobs import DataKnobs

_BATCH = 32
_DARK = 0.55  # share above which numbers are white


def draw_calls(
    knobs: DataKnobs, count: int, called: Callable[[Indices], tuple[Outputs, Batch]], folder: Path
) -> None:
    """Writes ``confusion.png``; of scenes with several classes ``calls.png``.

    Args:
        knobs: Classes and target.
        count: Number of scenes of the split.
        called: Samples scenes of the split, and predicts them.
        folder: Folder for the file.
    """
    table = total(measures(knobs)[0], count, called)
    if knobs.target == "multi":
        _draw_shares(table[CALLS].total().numpy(), knobs.valid_classes, count).savefig(folder / "calls.png")
        return
    valid = [knobs.classes.index(name) for name in knobs.valid_classes]
    confusion = table["confusion"].total().numpy()[np.ix_(valid, valid)]
    _draw_confusion(confusion, knobs.valid_classes).savefig(folder / "confusion.png")


def total(
    measure: Measure, count: int, called: Callable[[Indices], tuple[Outputs, Batch]]
) -> dict[str, PerUnit]:
    """Returns the tables that a measure gives of a whole split."""
    tables: dict[str, Any] = {}
    with torch.no_grad():
        for first in range(0, count, _BATCH):
            outputs, batch = called(np.arange(first, min(first + _BATCH, count)))
            for name, table in measure.add(outputs, batch).items():
                tables[name] = tables[name] + table if name in tables else table
    return tables


def _draw_confusion(confusion: Float[np.ndarray, "label called"], classes: Sequence[str]) -> Figure:
    """Draws the share of the scenes of each class that is called each class, with their numbers."""
    there = confusion.sum(1, keepdims=True)
    shares = np.divide(confusion, there, out=np.zeros_like(confusion), where=there > 0)
    side = 3.2 + 0.62 * len(classes)
    figure = Figure(figsize=(side, side - 0.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(confusion > 0):
        colour = "white" if shares[row, column] > _DARK else "black"
        axes.text(
            column, row, f"{confusion[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=8
        )
    axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right", fontsize=8)
    axes.set_yticks(range(len(classes)), classes, fontsize=8)
    known = [share for share, number in zip(shares.diagonal(), there[:, 0], strict=True) if number]
    accuracy = confusion.trace() / max(confusion.sum(), 1)
    mean = float(np.mean(known)) if known else float("nan")
    axes.set(
        xlabel="called",
        ylabel="is",
        title=f"{confusion.sum():.0f} scenes of val: overall accuracy {accuracy:.3f}, mean over classes {mean:.3f}",
    )
    axes.title.set_fontsize(9)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the class")
    return figure


def _draw_shares(sums: Float[np.ndarray, "class_ sum"], classes: Sequence[str], count: int) -> Figure:
    """Draws recall and precision of each class, with the number of scenes that have it."""
    hits, called, there = sums.T
    figure = Figure(figsize=(6.5, 1.2 + 0.42 * len(classes)), dpi=110, layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(classes))
    for offset, whole, label, colour in (
        (-0.2, there, "recall", "#1b4f9c"),
        (0.2, called, "precision", "#e08214"),
    ):
        shares = np.divide(hits, whole, out=np.zeros_like(hits), where=whole > 0)
        axes.barh(places + offset, shares, height=0.36, label=label, color=colour)
    names = [f"{name} ({number:.0f})" for name, number in zip(classes, there, strict=True)]
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share", title=f"Classes of {count} scenes of val, and how many have each")
    axes.title.set_fontsize(9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure
