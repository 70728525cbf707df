"""The contract for a family's data sets: which it can make, which it can import, and how it shows one.

``datasets.py`` of a family holds ``WORLDS``, a `SyntheticDataset` for each name, and ``SOURCES``, a `PublicDataset` for
each name. It is imported to list all data sets, so its functions import heavy libraries only when they are called.
``explore.py`` holds ``explore``, an `Explore`, and ``export_fiftyone``, an `Export`; both may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

WEIGHTS = "weights"
"""Folder below a family's data folder that may hold published weights; it is no data set."""


@dataclass(frozen=True, kw_only=True)
class SyntheticDataset:
    """A synthetic data set, with exactly the layout and the irregularities of the real one.

    Attributes:
        meaning: One sentence for people.
        make: Writes the data set into an empty folder; deterministic.
        options: Names and sentences of the keyword arguments that ``make`` takes as strings.
    """

    meaning: str
    make: Callable[..., None]
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PublicDataset:
    """A public data set that a family can import.

    Attributes:
        meaning: One sentence for people: what is observed, what is derived.
        read: Reads the folder ``source``, or the file if it takes files, and writes the family's layout into
            ``target``; returns a report.
        options: Names and sentences of the keyword arguments that ``read`` takes as strings.
        updates: Whether ``read`` may be given a target that exists: it then resumes an interrupted import or updates a
            finished one. It refuses a folder that it did not make with an `OutputError`.
        takes_files: Whether ``source`` may be a file.
    """

    meaning: str
    read: Callable[..., str]
    options: Mapping[str, str] = field(default_factory=dict)
    updates: bool = False
    takes_files: bool = False


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """The result of exploring a data set.

    Attributes:
        fingerprint: Hash of the content: `Data.fingerprint` of the opened data, or a hash of the files.
        report: Markdown that reads well as plain text, a few lines: what the data set holds and what is odd about it.
        statistics: Numbers for comparing data sets, such as the scenes of each class and split.
        page: Name of the file to open first.
    """

    fingerprint: str
    report: str
    statistics: Mapping[str, float]
    page: str


Explore: TypeAlias = Callable[[Path, Path], Exploration]
"""Reads a data set's folder and writes pictures (PNG), tables (CSV) and pages (HTML, without any other file or network)
into an empty folder."""

Export: TypeAlias = Callable[[Path, str, Path], str]
"""Reads a data set's folder and exports it to another tool under a name; writes the files that the tool needs into a
folder that stays. Returns a sentence on how to see it."""
