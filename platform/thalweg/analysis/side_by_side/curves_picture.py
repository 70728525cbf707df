"""A picture of the curves of trials: the objective at their evaluations, on one pair of axes."""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.figure import Figure

from thalweg.analysis.pictures import also_in_mlflow, literal_text, store_study_picture
from thalweg.analysis.side_by_side.trials_compared import TrialsCompared
from thalweg.study_folder import StudyFolder

_WORDS = {"min": "less is better", "max": "more is better"}


def store_curves(compared: TrialsCompared, uri: str) -> str:
    """Draws curves into the folders of the trials' studies and into MLflow; returns a sentence for people.

    Args:
        compared: Trials whose numbers are compared.
        uri: MLflow's address, which `check_tracking` accepted.

    Raises:
        OutputError: The folder cannot be written.
        ConnectionFailed: MLflow does not accept the picture.
    """
    name = re.sub(r"[^\w.-]+", "-", "-".join(side.label for side in compared.sides))
    drawn, told = figure(compared), []
    for directory, study in {
        Path(side.folder).absolute(): side.study.name for side in compared.sides
    }.items():
        target = StudyFolder(directory).comparison(name)
        known = store_study_picture(drawn, target, study, directory, uri)
        told.append(f"{target}, {also_in_mlflow(known, uri)}")
    return f"picture of the curves in {'; '.join(told)}"


@literal_text()
def figure(compared: TrialsCompared) -> Figure:
    """Draws a line for each trial; a cross ends one that was stopped."""
    study = compared.sides[0].study
    drawn = Figure(figsize=(8, 4.8), layout="constrained")
    place = drawn.subplots()
    for side in compared.sides:
        if side.trial.curve:
            samples, values = zip(*side.trial.curve, strict=True)
            [line] = place.plot(samples, values, "o-", markersize=4, label=side.label)
            if side.trial.status != "complete":
                place.plot(samples[-1], values[-1], "x", color=line.get_color(), markersize=11, mew=2)
    place.set(xlabel="training samples", ylabel=f"{study.definition['metric']} ({_WORDS[study.mode]})")
    stopped = any(side.trial.status != "complete" for side in compared.sides)
    cross = "; a cross: stopped before its end" if stopped else ""
    place.set_title(f"one seed each: a difference is no finding{cross}", fontsize=10)
    place.spines[["top", "right"]].set_visible(False)
    place.legend(frameon=False)
    return drawn
