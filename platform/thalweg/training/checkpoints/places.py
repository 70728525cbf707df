"""Where the checkpoints of a study lie: by names below its folder, so that it can be moved and copied.

What is recorded is ``checkpoints/TRIAL/samples-NUMBER``. A record of an earlier version holds an absolute path, of
which only these last parts count: the folder that was opened says the rest.
"""

from __future__ import annotations

from pathlib import Path

from thalweg.files import discard
from thalweg.study_folder import CHECKPOINTS


def relative(checkpoint: str | Path) -> str:
    """Returns what is recorded of a checkpoint's place: its path below the study's folder.

    A checkpoint that was written elsewhere, which no trial of a study does, is recorded as it is.
    """
    parts = Path(checkpoint).parts[-3:]
    return str(Path(*parts)) if parts[0] == CHECKPOINTS else str(checkpoint)


def resolve(directory: Path, checkpoint: str) -> Path:
    """Returns where a recorded checkpoint lies, or lay.

    Args:
        directory: Folder of the study as it was opened.
        checkpoint: What was recorded, by this version or an earlier one.
    """
    return directory.absolute() / relative(checkpoint)


def lies_in(folder: Path, home: Path) -> bool:
    """Says whether a folder lies below another one once all links are followed."""
    inner, outer = folder.resolve(), home.resolve()
    return inner != outer and inner.is_relative_to(outer)


def remove(folder: Path, home: Path) -> None:
    """Deletes a folder, but nothing that lies outside the study that was opened.

    Args:
        folder: What is to go; it may be gone.
        home: Folder of the study.
    """
    if lies_in(folder, home):
        discard(folder)
