"""A picture of the importance of a study's parameters: an estimate with its interval for each."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from thalweg.analysis.importance.parameters import LEVEL, StudyImportance
from thalweg.analysis.pictures import also_in_mlflow, literal_text, store_study_picture
from thalweg.study_folder import StudyFolder

_SHOWN, _NOT_SHOWN = "#2166ac", "#a0a0a0"


def store_importance(importance: StudyImportance, study: str, directory: Path, uri: str) -> str:
    """Draws the importance of parameters into the study's folder and into MLflow; returns a sentence for people.

    Args:
        importance: The importance.
        study: Name of the study.
        directory: Its folder, absolute.
        uri: MLflow's address, which `check_tracking` accepted.

    Raises:
        OutputError: The folder cannot be written.
        ConnectionFailed: MLflow does not accept the picture.
    """
    target = StudyFolder(directory).importance
    known = store_study_picture(figure(importance, study), target, study, directory, uri)
    return f"picture of the importance in {target}, {also_in_mlflow(known, uri)}"


@literal_text()
def figure(importance: StudyImportance, study: str) -> Figure:
    """Draws a dot with its interval for each parameter, grey if it is not shown to matter."""
    parameters = importance.parameters[::-1]
    drawn = Figure(figsize=(8, 1.6 + 0.38 * len(parameters)), layout="constrained")
    place = drawn.subplots()
    for row, each in enumerate(parameters):
        colour = _SHOWN if each.name in importance.shown else _NOT_SHOWN
        place.plot(each.interval, (row, row), color=colour, linewidth=2, solid_capstyle="round")
        place.plot(each.importance, row, "o", color=colour, markersize=7)
    place.axvline(0, color="0.3", linewidth=0.8)
    place.set_yticks(range(len(parameters)), [each.name for each in parameters])
    place.set_xlabel(f"share of the variance of the trials' ranks, intervals of {100 * LEVEL:.0f} % together")
    count = importance.num_complete + importance.num_stopped
    place.set_title(
        f"{study}: importance of parameters, {count} trials; grey: not shown to matter", fontsize=10
    )
    place.spines[["top", "right"]].set_visible(False)
    place.margins(y=0.08)
    return drawn
