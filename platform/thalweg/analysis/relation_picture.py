"""A picture of the relation of two metrics: a point for each setting, in values and in ranks."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from thalweg.analysis.pictures import also_in_mlflow, literal_text, store_study_picture
from thalweg.analysis.relation import LEVEL, MetricRelation
from thalweg.study_folder import StudyFolder

_COLOUR = "#2166ac"
_NAMED = 40  # settings that are few enough for their trials' numbers


def store_relation(relation: MetricRelation, study: str, directory: Path, uri: str) -> str:
    """Draws a relation into the study's folder and into MLflow; returns a sentence for people.

    Args:
        relation: The relation.
        study: Name of the study.
        directory: Its folder, absolute.
        uri: MLflow's address, which `check_tracking` accepted.

    Raises:
        OutputError: The folder cannot be written.
        ConnectionFailed: MLflow does not accept the picture.
    """
    name = "-".join(relation.names).replace("/", "_")
    target = StudyFolder(directory).relation(name)
    known = store_study_picture(figure(relation, study), target, study, directory, uri)
    return f"picture of the relation in {target}, {also_in_mlflow(known, uri)}"


@literal_text()
def figure(relation: MetricRelation, study: str) -> Figure:
    """Draws the values of the settings, and their ranks, which the correlation is of."""
    low, high = relation.interval
    drawn = Figure(figsize=(10, 4.8), layout="constrained")
    drawn.suptitle(
        f"{study}: rank correlation {relation.correlation:.2f}, {100 * LEVEL:.0f} % interval "
        f"[{low:.2f}, {high:.2f}], {len(relation.points)} settings"
    )
    values, ranks = drawn.subplots(1, 2)
    first, second = zip(*(point.values for point in relation.points), strict=True)
    _scatter(values, relation, first, second, "mean over the seeds of a setting")
    _scatter(ranks, relation, _ranks(first), _ranks(second), "rank among the settings")
    for axis in (ranks.xaxis, ranks.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    return drawn


def _scatter(
    place: Axes, relation: MetricRelation, across: tuple[float, ...], up: tuple[float, ...], title: str
) -> None:
    sizes = [24 + 12 * (len(point.trials) - 1) for point in relation.points]
    place.scatter(across, up, s=sizes, c=_COLOUR, alpha=0.75, edgecolors="white", linewidths=0.6)
    if len(relation.points) <= _NAMED:
        for point, here in zip(relation.points, zip(across, up, strict=True), strict=True):
            place.annotate(
                str(point.trials[0]), here, xytext=(4, 4), textcoords="offset points", fontsize=7, color="0.4"
            )
    place.set(xlabel=relation.names[0], ylabel=relation.names[1])
    place.set_title(f"{title}; numbers: its first trial", fontsize=9)
    place.spines[["top", "right"]].set_visible(False)
    place.margins(0.08)


def _ranks(values: tuple[float, ...]) -> tuple[float, ...]:
    from scipy.stats import rankdata

    return tuple(float(rank) for rank in rankdata(values))
