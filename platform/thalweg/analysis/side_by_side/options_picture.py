"""A picture of the options of a parameter: the expected best by number of trials, and values by model parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from thalweg.analysis.pictures import also_in_mlflow, literal_text, store_study_picture
from thalweg.analysis.side_by_side.options_compared import OptionsCompared
from thalweg.study_folder import StudyFolder

_WORDS = {"min": "less is better", "max": "more is better"}


def store_options(compared: OptionsCompared, directory: Path, uri: str) -> str:
    """Draws options into the study's folder and into MLflow; returns a sentence for people.

    Args:
        compared: The options.
        directory: Folder of the study, absolute.
        uri: MLflow's address, which `check_tracking` accepted.

    Raises:
        OutputError: The folder cannot be written.
        ConnectionFailed: MLflow does not accept the picture.
    """
    target = StudyFolder(directory).comparison(f"by-{compared.parameter}")
    known = store_study_picture(figure(compared), target, compared.record.name, directory, uri)
    return f"picture of the options in {target}, {also_in_mlflow(known, uri)}"


@literal_text()
def figure(compared: OptionsCompared) -> Figure:
    """Draws the expected best, with a line at the equal budget, and complete trials by their sizes if these differ."""
    sized = not compared.have_equal_sizes
    drawn = Figure(figsize=(11 if sized else 6, 4.8), layout="constrained")
    drawn.suptitle(f"{compared.record.name}: {compared.parameter} at equal budget")
    places = drawn.subplots(1, 2 if sized else 1, squeeze=False)[0]
    _expected(places[0], compared)
    if sized:
        _sizes(places[1], compared)
    for place in places:
        metric, mode = compared.record.definition["metric"], compared.record.mode
        place.set_ylabel(f"{metric} ({_WORDS[mode]})")
        place.spines[["top", "right"]].set_visible(False)
    return drawn


def _expected(place: Axes, compared: OptionsCompared) -> None:
    for branch in compared.judged:
        known = {n: branch.expected_best(n) for n in range(1, len(branch.tried) + 1)}
        place.plot(
            list(known), np.array(list(known.values()), dtype=float), "o-", markersize=4, label=branch.option
        )
    place.axvline(compared.num_trials, color="0.6", linestyle="--", linewidth=1)
    place.xaxis.set_major_locator(MaxNLocator(integer=True))
    place.set_xlabel("trials; dashed: those of the smallest branch")
    place.set_title("expected best of so many trials", fontsize=10)
    place.legend(frameon=False, title=compared.parameter)


def _sizes(place: Axes, compared: OptionsCompared) -> None:
    for branch in compared.judged:
        place.scatter(
            [size for size, _ in branch.sized], [value for _, value in branch.sized], s=28, alpha=0.8
        )
    place.set_xscale("log")
    place.set_xlabel("model parameters")
    place.set_title("complete trials", fontsize=10)
