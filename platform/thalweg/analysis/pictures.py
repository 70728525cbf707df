"""Pictures of a study, and of what its best trials do, which the family draws from the checkpoints that were kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.analysis.declared import family_of
from thalweg.config import parse
from thalweg.contract import Task
from thalweg.datasets.catalogue import data_root
from thalweg.discovery import Family
from thalweg.errors import StudyError, TrialError
from thalweg.files import atomic_folder, writing
from thalweg.lanes.interruption import Ended
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.search.store.storage import output_flag
from thalweg.study_folder import StudyFolder
from thalweg.tracking import additions
from thalweg.tracking.address import check_tracking
from thalweg.wording import as_seen, counted

if TYPE_CHECKING:  # matplotlib
    from matplotlib.figure import Figure

MAX_DRAWN = 3
"""Trials of which pictures are drawn at the end of a search."""
MAX_SHARE = 0.02
"""Share of the trials' own time after which no further trial is drawn at the end of a search."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Pictures of one trial.

    Attributes:
        number: The trial.
        folder: Folder of the pictures.
        files: The pictures.
        trouble: Why there are no pictures; empty if there are some.
    """

    number: int
    folder: Path
    files: list[Path]
    trouble: str = ""


@contextmanager
def literal_text() -> Iterator[None]:
    """Draws text as it is: names may hold dollars, which matplotlib would read as formulas. Also a decorator."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}):
        yield


def store_study_picture(figure: Figure, target: Path, study: str, directory: Path, uri: str) -> bool:
    """Stores a picture of a study as ``NAME/NAME.png`` in its folder, and in MLflow; returns whether MLflow took it.

    Args:
        figure: The picture.
        target: Folder of this picture alone, whose name it gets.
        study: Name of the study.
        directory: Folder of the study, absolute.
        uri: MLflow's address, which `check_tracking` accepted.

    Raises:
        OutputError: The folder cannot be written.
        ConnectionFailed: MLflow does not accept the picture.
    """
    with (
        writing("pictures", target, "free space"),
        atomic_folder(target, overwrite=True) as draft,
        literal_text(),
    ):
        figure.savefig(draft / f"{target.name}.png", dpi=110, metadata={"Software": None})
    return additions.add_study_pictures(uri, study, directory, target) is not None


def also_in_mlflow(known: bool, uri: str) -> str:
    """Says after a place in a study's folder whether MLflow has the same, too, or why not.

    Args:
        known: Whether MLflow took it.
        uri: MLflow's address.
    """
    return "and in MLflow" if known else f"not in MLflow, for {uri} does not know the study"


def draw_best(record: StudyRecord, directory: Path, root: Path | None = None) -> Iterator[Drawn]:
    """Draws each complete trial whose checkpoint is kept, best first, into the study's folder.

    Args:
        record: The study.
        directory: Its folder; ``pictures/trial-NUMBER`` below it is written anew.
        root: Folder of all data.

    Raises:
        StudyError: No checkpoint is kept, or the family draws nothing.
        TrialError: All checkpoints are damaged.
        OutputError: The folder cannot be written.
    """
    kept = _kept(record)
    if not kept:
        raise StudyError(
            f"a complete trial must have its checkpoint to be drawn, none has among {len(record.trials)} of "
            f"{record.name!r}; {_way_out(record)}"
        )
    return _draw_all(family_of(record), kept, directory, root)


def pictures_of_best(
    record: StudyRecord, directory: Path, uri: str, root: Path | None = None
) -> Iterator[str]:
    """Draws each complete trial whose checkpoint is kept, also into MLflow; yields a sentence for people on each.

    Args:
        record: The study.
        directory: Its folder, absolute.
        uri: MLflow's address.
        root: Folder of all data.

    Raises:
        ThalwegError: As `draw_best`, or MLflow takes no pictures.
    """
    for drawn in draw_best(record, directory, root):
        if drawn.trouble:
            yield f"trial {drawn.number} has no pictures: {drawn.trouble}"
        else:
            run = additions.add_pictures(uri, record.name, directory, drawn.number, drawn.folder)
            yield sentence(drawn, uri, run)


def _draw_all(
    family: Family, trials: Sequence[TrialRecord], directory: Path, root: Path | None
) -> Iterator[Drawn]:
    """Draws trials; a damaged checkpoint is reported, and the other trials are drawn all the same."""
    troubles: list[TrialError] = []
    for trial in trials:
        target = _target(directory, trial)
        try:
            yield _draw(family, trial, target, root)
        except TrialError as error:
            troubles.append(error)
            if len(troubles) == len(trials):
                raise
            yield Drawn(number=trial.number, folder=target, files=[], trouble=str(error))


def _way_out(record: StudyRecord) -> str:
    if record.keeps_checkpoints and any(trial.checkpoint for trial in record.ranking()):
        return "bring back the folder `checkpoints` of the study, or search anew"
    return "search anew with keep_checkpoints of at least 1"


def draw_new(
    record: StudyRecord,
    directory: Path,
    uri: str,
    tell: Callable[[str], None],
    root: Path | None = None,
) -> None:
    """Draws the best trials of a search that has ended, also into MLflow; errors are reported, not raised.

    Of the `MAX_DRAWN` best trials, those are drawn that have a checkpoint and no pictures yet. The first is always
    drawn, the others only while drawing has taken less than `MAX_SHARE` of the time that the study's trials took.

    Args:
        record: The study.
        directory: Its folder.
        uri: MLflow's address.
        tell: Called with sentences for people.
        root: Folder of all data.

    Raises:
        Ended: A signal other than that of Ctrl-C asked the process to end.
    """
    family = family_of(record)
    later = f"thalweg best {record.name}{output_flag(directory.parent)} --pictures draws them"
    left = [trial for trial in _kept(record)[:MAX_DRAWN] if not _target(directory, trial).exists()]
    if not left or not _draws(family, left[0]):
        return
    deadline = time.monotonic() + MAX_SHARE * sum(trial.seconds for trial in record.trials)
    try:
        for number, trial in enumerate(left):
            if number and time.monotonic() > deadline:
                tell(f"{len(left) - number} more of the best trials have no pictures yet; {later}")
                return
            try:
                drawn = _draw(family, trial, _target(directory, trial), root)
            except TrialError as error:
                tell(f"trial {trial.number} has no pictures: {error}")
                continue
            check_tracking(uri)
            tell(
                sentence(
                    drawn,
                    uri,
                    additions.add_pictures(uri, record.name, directory, drawn.number, drawn.folder),
                )
            )
    except KeyboardInterrupt as error:
        tell(f"stopped drawing pictures; {later}")
        if isinstance(error, Ended):  # Ctrl-C ends the drawing alone
            raise
    except Exception as error:  # the study has succeeded, whatever a family's drawing does
        tell(f"pictures could not be drawn: {type(error).__name__}: {error}; {later}")


def sentence(drawn: Drawn, uri: str, run: str | None) -> str:
    """Returns a sentence on where the pictures of a trial are; ``run`` is its run in MLflow, if MLflow knows it."""
    drawings = counted(len(drawn.files), "picture")
    where = "and in MLflow" if run else f"not in MLflow, for {uri} does not know the trial"
    return f"trial {drawn.number}: {drawings} in {as_seen(drawn.folder)}, {where}"


def _draws(family: Family, trial: TrialRecord) -> bool:
    """Returns whether the task of a trial draws anything."""
    task = family.task(parse(family.config_type, dict(trial.config)))
    return type(task).draw is not Task.draw


def _kept(record: StudyRecord) -> Sequence[TrialRecord]:
    return [trial for trial in record.ranking() if trial.checkpoint and Path(trial.checkpoint).exists()]


def _target(directory: Path, trial: TrialRecord) -> Path:
    return StudyFolder(directory).pictures(trial.number)


def _draw(family: Family, trial: TrialRecord, target: Path, root: Path | None) -> Drawn:
    """Draws one trial; the folder appears under its name only when complete."""
    from thalweg.training.checkpoints.export import draw  # torch and DeepSpeed

    with writing("pictures", target, "free space"), atomic_folder(target, overwrite=True) as draft:
        if not draw(Path(str(trial.checkpoint)), data_root(family, root), draft):
            raise StudyError(
                f"a family must draw its models to have pictures, {family.name} does not; define draw in its task"
            )
    return Drawn(number=trial.number, folder=target, files=sorted(target.glob("*.png")))
