"""A picture of a Pareto front: trials by the study's metric and each other objective, and the hypervolume over time."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from thalweg.analysis.pareto.front import ParetoFront, values_of
from thalweg.analysis.pictures import also_in_mlflow, literal_text, store_study_picture
from thalweg.search.store.records import StudyRecord
from thalweg.study_folder import StudyFolder
from thalweg.tracking import additions

_FRONT, _OTHERS = "#b2182b", "#9a9a9a"


def store_front(front: ParetoFront, record: StudyRecord, directory: Path, uri: str) -> str:
    """Draws a front into the study's folder and into MLflow; returns a sentence.

    In MLflow, the front's trials are tagged, and the hypervolume over time is a metric of the study.

    Args:
        front: The front.
        record: The study.
        directory: Its folder, absolute.
        uri: MLflow's address, which `check_tracking` accepted.

    Raises:
        OutputError: The folder cannot be written.
        ConnectionFailed: MLflow does not accept the picture.
    """
    name = "-".join(front.modes).replace("/", "_")
    target = StudyFolder(directory).front(name)
    if not store_study_picture(figure(front, record), target, record.name, directory, uri):
        return f"picture of the front in {target}, {also_in_mlflow(False, uri)}"
    objectives = " and ".join(front.modes)
    numbers = [trial.number for trial in front.members]
    others = [trial.number for trial in front.others]
    additions.tag_front(uri, record.name, directory, numbers, others, objectives)
    additions.add_hypervolumes(uri, record.name, directory, name, [volume for _, volume in front.volumes])
    return f"picture of the front in {target}, and in MLflow, where tags.pareto_front = '{objectives}' finds its trials"


@literal_text()
def figure(front: ParetoFront, record: StudyRecord) -> Figure:
    """Draws the trials, the front as a stair for two objectives, and its hypervolume."""
    others = list(front.modes)[1:]
    drawn = Figure(figsize=(4.6 * (len(others) + 1), 4.4), layout="constrained")
    places = drawn.subplots(1, len(others) + 1)
    drawn.suptitle(f"{record.name}: Pareto front of {len(front.members)} of {_count(front)} complete trials")
    for column, name in enumerate(others, start=1):
        _scatter(places[column - 1], front, record, column, name)
    numbers, volumes = range(1, len(front.volumes) + 1), [volume for _, volume in front.volumes]
    places[-1].step(numbers, volumes, where="post", color=_FRONT)
    places[-1].set(xlabel="complete trials", ylabel="share of the volume that is dominated", ylim=(0, 1.02))
    places[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    places[-1].set_title("hypervolume", fontsize=10)
    for place in places:
        place.spines[["top", "right"]].set_visible(False)
    return drawn


def _scatter(place: Axes, front: ParetoFront, record: StudyRecord, column: int, name: str) -> None:
    for trials, colour in ((front.others, _OTHERS), (front.members, _FRONT)):
        values = [values_of(record, trial, front.modes) for trial in trials]
        place.scatter([each[column] for each in values], [each[0] for each in values], color=colour, s=28)
    for trial in front.members:
        value = values_of(record, trial, front.modes)
        place.annotate(
            str(trial.number),
            (value[column], value[0]),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=8,
        )
    words = {"min": "less is better", "max": "more is better"}
    metric = next(iter(front.modes))
    place.set(
        xlabel=f"{name} ({words[front.modes[name]]})", ylabel=f"{metric} ({words[front.modes[metric]]})"
    )
    place.margins(0.1)


def _count(front: ParetoFront) -> int:
    return len(front.members) + len(front.others)
