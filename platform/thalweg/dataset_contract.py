"""What a family says about its data sets: those that it can make, those that it can import, and how it shows one.

``datasets.py`` of a family holds ``WORLDS``, a `SyntheticDataset` for each name, and ``SOURCES``, a `PublicDataset` for
each name; what makes and reads them is imported by the functions that do it, for a list of all data sets imports this
module. ``explore.py`` holds ``explore``, an `Explore`, and ``export_fiftyone``, an `Export`; both may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True)
class SyntheticDataset:
    """A synthetic data set, in exactly the layout and with the irregularities of the real one.

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
        updates: Whether ``read`` may be given a target that exists: it then goes on with an import that was cut off, or
            brings one up to date, and refuses a folder that is not its own with an `OutputError`.
        takes_files: Whether ``source`` may be a file.
    """

    meaning: str
    read: Callable[..., str]
    options: Mapping[str, str] = field(default_factory=dict)
    updates: bool = False
    takes_files: bool = False


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """What a look at a data set found.

    Attributes:
        fingerprint: Hash of the content, as `Data.fingerprint`.
        report: Markdown that reads well as plain text, a few lines: what the data set holds and what is odd about it.
        facts: Numbers by which data sets are compared, such as the scenes of each class and split.
        page: Name of the file to open first.
    """

    fingerprint: str
    report: str
    facts: Mapping[str, float]
    page: str


Explore: TypeAlias = Callable[[Path, Path], Exploration]
"""Reads a data set's folder and writes pictures (PNG), tables (CSV) and pages (HTML, without any other file or network)
into an empty folder."""

Export: TypeAlias = Callable[[Path, str, Path], str]
"""Reads a data set's folder, writes a data set of a name into another tool, and what that tool should find on disk into
a folder that stays; returns a sentence on how to see it."""
