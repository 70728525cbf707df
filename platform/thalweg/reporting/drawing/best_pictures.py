"""Pictures that the family drew of the best trials, taken from the study's folder into a report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from thalweg.reporting.blocks import ReportPicture
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study_folder import StudyFolder, trial_name

MAX_BYTES = 1_000_000
"""All pictures of a trial together; a report is sent by mail."""
MAX_PIXELS = 1400
"""Width above which a picture is made smaller."""


def drawn_trial(record: StudyRecord, folder: Path) -> tuple[TrialRecord, list[Path]] | None:
    """Returns the best trial of which there are pictures, with their files; None if there are none."""
    for trial in record.ranking():
        if files := sorted(StudyFolder(folder).pictures(trial.number).glob("*.png")):
            return trial, files
    return None


def best_pictures(trial: TrialRecord, files: list[Path]) -> Iterator[ReportPicture]:
    """Yields the pictures of a trial, as many as fit; large ones are made smaller.

    Args:
        trial: The trial.
        files: Its pictures.
    """
    total = 0
    for file in files:
        content = _fitting(file)
        total += len(content)
        if total > MAX_BYTES:
            return
        words = file.stem.replace("_", " ").replace("-", " ")
        yield ReportPicture(
            name=f"{trial_name(trial.number)}-{file.name}",
            content=content,
            caption=f"Trial {trial.number}: {words}.",
        )


def _fitting(file: Path) -> bytes:
    import io

    from PIL import Image

    with Image.open(file) as picture:
        if picture.width <= MAX_PIXELS:
            return file.read_bytes()
        smaller = picture.convert("RGB")
        smaller.thumbnail((MAX_PIXELS, MAX_PIXELS * 4))
        written = io.BytesIO()
        smaller.save(written, "PNG", optimize=True)
        return written.getvalue()
