"""What a command says when it ends badly: once, although several workers of a group may run it."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path

from thalweg.files import atomic_file

_ERROR_FILE = "TORCHELASTIC_ERROR_FILE"


def say_error(text: str) -> None:
    """Prints an error that a user can mend.

    Workers that end for the same reason say so once on each machine. A reason that differs from that of the first one
    names its worker.
    """
    folder = _shared_folder()
    if folder is None:
        print(f"error: {text}", file=sys.stderr)
        return
    digest = hashlib.sha256(text.encode()).hexdigest()
    first = _first(folder / "first.said", digest)
    if _claim(folder / f"{digest}.said"):
        whose = "" if first == digest else f" of worker {os.environ.get('RANK')}"
        print(f"error{whose}: {text}", file=sys.stderr)


def _shared_folder() -> Path | None:
    """Returns the folder that the workers of a launcher of torch share on a machine; None without one."""
    file = Path(os.environ.get(_ERROR_FILE) or os.devnull)  # FOLDER/RANK/error.json; torchrun may have none
    return file.parent.parent if file.name == "error.json" else None


def _first(file: Path, digest: str) -> str:
    """Returns the digest of the first reason: what is in a file that no worker sees half written, or its own."""
    with suppress(OSError):  # such as no folder
        try:
            with atomic_file(file, overwrite=False) as draft:
                draft.write_text(digest)
        except FileExistsError:
            return file.read_text()
    return digest


def _claim(file: Path) -> bool:
    """Returns whether this worker is the first to make a file; True, too, if it cannot be made."""
    with suppress(FileNotFoundError, PermissionError):
        try:
            file.touch(exist_ok=False)
        except FileExistsError:
            return False
    return True
