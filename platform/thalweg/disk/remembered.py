"""Answers about code, kept on the disk: the next process need not import a framework to find them again.

An answer holds as long as what it was found with is the same: the files of all modules that were imported then, all
files in the folder of the package that was asked about, and the installed distributions. Environment variables and
files elsewhere that the package reads are not seen; whoever depends on them switches this off with
``THALWEG_CACHE=/dev/null``.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from thalweg.disk.caches import BEGAN_NS, cache_folder
from thalweg.files import atomic_file
from thalweg.hashing import digest

_ROOMS = frozenset({"site-packages", "dist-packages"})
_DISTRIBUTIONS = (".dist-info", ".egg-info")
_PYTHON = os.path.join(os.path.dirname(os.__file__), "")

Answer = TypeVar("Answer", bound=BaseModel)


class _Kept(BaseModel):
    """An answer on the disk.

    Attributes:
        sources: Files of the modules with which it was found.
        state: Hash of these files, of what else it depends on, and of the answer.
        answer: JSON.
    """

    sources: tuple[str, ...]
    state: str
    answer: str


def remembered(
    kind: type[Answer],
    package: str,
    question: str,
    find: Callable[[], Answer],
    lasts: Callable[[Answer], bool] = lambda answer: True,
) -> Answer:
    """Returns what an earlier process found, or finds it and keeps it.

    A file that is damaged, out of date or cannot be read is as good as none; that an answer cannot be kept is no error.

    Args:
        kind: What an answer is.
        package: Dotted name of an imported package, on whose code the answer depends.
        question: What is asked about it, with all arguments.
        find: Finds the answer from these alone.
        lasts: Returns whether another process would find the same; an answer that does not last is not kept.
    """
    folder = cache_folder()
    if folder is None:
        return find()
    asked = {"kind": kind.__name__, "package": package, "question": question, "path": sys.path}
    file = folder / f"{package}-{digest({**asked, 'python': [sys.version, sys.prefix]}, 32)}.json"
    with suppress(OSError, ValueError):
        kept = _Kept.model_validate_json(file.read_bytes())
        if kept.state == _state(package, kept.sources, kept.answer):
            return kind.model_validate_json(kept.answer)
    answer = find()
    if lasts(answer):
        with suppress(OSError, ValueError):
            _keep(file, package, answer.model_dump_json())
    return answer


def _keep(file: Path, package: str, answer: str) -> None:
    sources = tuple(sorted({*_imported(package)}))
    kept = _Kept(sources=sources, state=_state(package, sources, answer), answer=answer)
    if any(os.stat(source).st_ctime_ns >= BEGAN_NS for source in sources):
        return  # what was imported may have been another text
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as draft:
        draft.write_text(kept.model_dump_json(), encoding="utf-8")


def _state(package: str, sources: Sequence[str], answer: str) -> str:
    """Hashes an answer and what it depends on.

    Raises:
        OSError: A source is gone.
    """
    found = hashlib.sha256(answer.encode())
    for source in sources:
        found.update(f"\n{source}\n".encode(errors="surrogateescape"))
        found.update(hashlib.sha256(Path(source).read_bytes()).digest())
    for fact in sorted({*_files_of(package, frozenset(sources)), *_distributions()}):
        found.update(f"\n{fact}".encode(errors="surrogateescape"))
    return found.hexdigest()


def _imported(package: str) -> Iterator[str]:
    """Yields the files of all modules, but for those that their distribution stands for."""
    own = {"thalweg", package.partition(".")[0]}
    for name, module in [*sys.modules.items()]:
        file = getattr(module, "__dict__", {}).get("__file__")  # an attribute may import something
        if not isinstance(file, str):
            continue
        # Thousands of modules are installed: nothing is asked of their files.
        is_installed = file.startswith(_PYTHON) or not _ROOMS.isdisjoint(file.split(os.sep))
        if (name.partition(".")[0] in own or not is_installed) and os.path.isfile(file):
            yield os.path.abspath(file)


def _files_of(package: str, sources: frozenset[str]) -> Iterator[str]:
    """Yields all files of a package, and the sizes and times of those that are not among the sources."""
    for place in sys.modules[package].__path__:
        for folder, inner, names in os.walk(place):
            inner[:] = [name for name in inner if name != "__pycache__"]
            for name in names:
                file = os.path.join(folder, name)
                yield file if file in sources else _fact(file, os.lstat(file))


def _distributions() -> Iterator[str]:
    for place in sys.path:
        if os.path.basename(place) in _ROOMS and os.path.isdir(place):
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.endswith(_DISTRIBUTIONS):
                        yield _fact(entry.path, entry.stat())


def _fact(file: str, found: os.stat_result) -> str:
    return f"{file} {found.st_size} {found.st_mtime_ns}"
