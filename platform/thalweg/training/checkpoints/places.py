"""Where the checkpoints of a study lie: by names below its folder, so that it can be moved and copied.

What is recorded is ``checkpoints/TRIAL/samples-NUMBER``. A record of an earlier version holds an absolute path; only
these last three parts of it count, and the rest is the folder that was opened.
"""

from __future__ import annotations

from pathlib import Path

from thalweg.files import atomic_folder, copy_folder, discard, writing
from thalweg.study_folder import CHECKPOINTS

WHAT = "checkpoints"
WAY_OUT = "free space and give the same command again"


def relative(checkpoint: str | Path) -> str:
    """Returns the path of a checkpoint below the study's folder, as it is recorded.

    A checkpoint outside of a study, which no trial of a study writes, is recorded unchanged.
    """
    parts = Path(checkpoint).parts[-3:]
    return str(Path(*parts)) if parts[0] == CHECKPOINTS else str(checkpoint)


def resolve(directory: Path, checkpoint: str) -> Path:
    """Returns the path of a recorded checkpoint, which may have been deleted.

    Args:
        directory: Folder of the study as it was opened.
        checkpoint: What was recorded, by this version or an earlier one.
    """
    return directory.absolute() / relative(checkpoint)


def lies_in(folder: Path, home: Path) -> bool:
    """Returns whether a folder lies below another one once all links are followed."""
    inner, outer = folder.resolve(), home.resolve()
    return inner != outer and inner.is_relative_to(outer)


def remove(folder: Path, home: Path) -> None:
    """Deletes a folder if it lies within the study that was opened.

    Args:
        folder: The folder to delete; it may be gone already.
        home: Folder of the study.
    """
    if lies_in(folder, home):
        discard(folder)


def link(source: Path, target: Path) -> None:
    """Copies a checkpoint, by hard links if the file system has them; what lies there is replaced.

    Raises:
        OutputError: It cannot be copied.
    """
    with writing(WHAT, target, WAY_OUT), atomic_folder(target, overwrite=True) as draft:
        copy_folder(source, draft)
