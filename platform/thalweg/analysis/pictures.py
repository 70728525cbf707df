"""Draws what the best trials of a study do: the family's pictures, from the checkpoints that were kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from thalweg.discovery import load_family
from thalweg.errors import OutputError, StudyError
from thalweg.search.prepare import data_root
from thalweg.search.records import StudyRecord

FOLDER = "pictures"


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Pictures of one trial.

    Attributes:
        number: The trial.
        folder: Where they lie.
        files: The pictures.
    """

    number: int
    folder: Path
    files: list[Path]


def draw_best(record: StudyRecord, directory: Path, root: Path | None = None) -> Iterator[Drawn]:
    """Draws each complete trial whose checkpoint is kept, best first, into the study's folder.

    Args:
        record: The study.
        directory: Its folder; ``pictures/trial-NUMBER`` below it is written anew.
        root: Folder of all data.

    Raises:
        StudyError: No checkpoint is kept, or the family draws nothing.
        OutputError: The folder cannot be written.
    """
    from thalweg.training.export import draw  # torch and DeepSpeed

    family = load_family(str(record.definition["family"]).removeprefix("trainables."))
    kept = [trial for trial in record.ranking() if trial.checkpoint and Path(trial.checkpoint).exists()]
    if not kept:
        raise StudyError(
            f"a complete trial must have its checkpoint to be drawn, none has among {len(record.trials)} of "
            f"{record.name!r}; search anew with keep_checkpoints of at least 1"
        )
    for trial in kept:
        target = directory / FOLDER / f"trial-{trial.number:05d}"
        try:
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            files = draw(Path(str(trial.checkpoint)), data_root(family, root), target)
        except OSError as error:
            raise OutputError(f"pictures must be writable, got {error}; free space") from error
        if not files:
            raise StudyError(
                f"a family must draw its models to have pictures, {family.name} does not; define draw in its task"
            )
        yield Drawn(number=trial.number, folder=target, files=files)
