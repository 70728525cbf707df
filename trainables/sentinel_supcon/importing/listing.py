"""Finds one's own pairs of GeoTIFF: by patterns of paths below a folder, or in a table (CSV or GeoJSON)."""

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.errors import ConfigError, DataError
from trainables.sentinel_supcon.data.meterml import read_features

KINDS = ("s1", "s2", "labels")
PATTERNS: Mapping[str, str] = {kind: f"{kind}/{{name}}.tif" for kind in KINDS}
"""Where the files of a scene are, if nothing is said."""
COLUMNS = (*KINDS, "name", "classes", "place", "split", "baseline", "date")
_FIELDS = ("name", "classes", "place", "split")
_PIECES = re.compile(r"(\{\w*\}|\*)")
_SPLITS = {"validation": "val"}


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A pair that was found.

    Attributes:
        name: Its name.
        files: Its radar image, its optical image and, if it has one, its map of classes, by `KINDS`.
        classes: Its classes, the label first; empty texts are none.
        place: Place where it lies; empty if nothing tells.
        fallback: Place if its files have no coordinates.
        split: Its split; empty if there is none.
        baseline: Processing baseline of its optical image; empty if it is not told.
        date: Day on which it was seen; empty if it is not told.
    """

    name: str
    files: Mapping[str, Path]
    classes: str = ""
    place: str = ""
    fallback: str = ""
    split: str = ""
    baseline: str = ""
    date: str = ""

    @property
    def missing(self) -> str:
        """Which of its files are missing; empty if none is."""
        # Unlike that of a path, it is false for what can be no name.
        gone = [kind for kind, path in self.files.items() if not os.path.isfile(path)]
        return f"its {' and '.join(gone)} file is missing" if gone else ""


def find_listed(source: Path, patterns: Mapping[str, str]) -> list[Listed]:
    """Finds pairs in a folder, or those that a table names.

    Args:
        source: The folder, or the table.
        patterns: Pattern of the paths of each of `KINDS` below a folder; empty texts take `PATTERNS`.

    Returns:
        The pairs, of which some may lack files.

    Raises:
        ConfigError: A pattern cannot be, or is given for a table.
        DataError: The table is broken, or a name stands for two files.
    """
    if source.is_dir():
        return _in_folder(source, {kind: patterns[kind] or PATTERNS[kind] for kind in KINDS})
    if given := [kind for kind in KINDS if patterns[kind]]:
        raise ConfigError(
            f"{given[0]} must be left out where a table names files, got {patterns[given[0]]!r}; leave it out, or "
            "name the folder instead of the table"
        )
    rows = list(_of_geojson(source) if source.suffix.lower() in (".geojson", ".json") else _of_csv(source))
    if lacking := [kind for kind in ("s1", "s2") if not any(row.get(kind) for row, _ in rows)]:
        raise DataError(
            f"{source} must have the columns s1 and s2, paths of the images of each scene, got no {lacking[0]}; add it"
        )
    return [_of_row(source.parent, row, cell) for row, cell in rows]


def _of_csv(path: Path) -> Iterator[tuple[dict[str, str], str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                yield {column: (row.get(column) or "").strip() for column in COLUMNS}, ""
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a table of scenes, got {error}; write it again") from None


def _of_geojson(path: Path) -> Iterator[tuple[dict[str, str], str]]:
    for properties, cell in read_features(path):
        yield {column: _text(properties.get(column)) for column in COLUMNS}, cell


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ";".join(_text(each) for each in value)
    return "" if value is None else str(value).strip()


def _of_row(folder: Path, row: Mapping[str, str], cell: str) -> Listed:
    name = row["name"] or Path(row["s2"]).stem
    return Listed(
        name=name,
        # A path that is not told is that of the folder, which is no file.
        files={kind: folder / row[kind] for kind in KINDS if row[kind] or kind != "labels"},
        classes=row["classes"],
        place=row["place"],
        fallback=cell or name,
        split=_SPLITS.get(row["split"], row["split"]),
        baseline=row["baseline"],
        date=row["date"],
    )


def _in_folder(folder: Path, patterns: Mapping[str, str]) -> list[Listed]:
    found = {kind: _matches(folder, kind, pattern) for kind, pattern in patterns.items()}
    kinds = KINDS if found["labels"] else ("s1", "s2")
    listed = []
    for name in sorted({*found["s1"], *found["s2"]}):
        told: dict[str, str] = {}
        files = {}
        for kind in kinds:
            files[kind], fields = found[kind].get(name, (folder, {}))
            if other := [key for key, value in fields.items() if told.setdefault(key, value) != value]:
                raise DataError(
                    f"patterns must say the same of both images of a scene, got {told[other[0]]!r} and "
                    f"{fields[other[0]]!r} as {other[0]} of {name}; correct a path, or the pattern {kind}"
                )
        split = told.get("split", "")
        listed.append(
            Listed(
                name=name,
                files=files,
                classes=told.get("classes", ""),
                place=told.get("place", ""),
                fallback=name,
                split=_SPLITS.get(split, split),
            )
        )
    return listed


def _matches(folder: Path, kind: str, pattern: str) -> dict[str, tuple[Path, dict[str, str]]]:
    """Returns file and fields by the name of the scene."""
    pieces = _PIECES.split(pattern)
    _check(kind, pattern, pieces)
    written = re.compile(_expression(pieces))
    wild = "".join("*" if piece[:1] in ("{", "*") else re.sub(r"([\[?])", r"[\1]", piece) for piece in pieces)
    found: dict[str, tuple[Path, dict[str, str]]] = {}
    for path in sorted(folder.glob(re.sub(r"\*+", "*", wild))):  # ** would be any number of folders
        match = written.fullmatch(path.relative_to(folder).as_posix())
        if not match or not path.is_file():
            continue
        fields = match.groupdict()
        name = fields.pop("name")
        if name in found:
            raise DataError(
                f"a pattern must give each scene one file, got {found[name][0]} and {path} for {name}; put more of the "
                f"path into {{name}} of {kind}, or write a table"
            )
        found[name] = path, fields
    return found


def _check(kind: str, pattern: str, pieces: Sequence[str]) -> None:
    odd = [piece for piece in pieces if piece.startswith("{") and piece[1:-1] not in _FIELDS]
    if odd or "{name}" not in pieces or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise ConfigError(
            f"{kind} must be a path below the folder with {{name}} and, where it tells them, "
            f"{', '.join(f'{{{field}}}' for field in _FIELDS[1:])}, got {pattern!r}; write it like "
            f"{PATTERNS[kind]}"
        )


def _expression(pieces: Sequence[str]) -> str:
    """Returns a pattern as a regular expression, in which a field that comes again is the same text."""
    seen: set[str] = set()
    parts = []
    for piece in pieces:
        field = piece[1:-1] if piece.startswith("{") else ""
        if field:
            parts.append(f"(?P={field})" if field in seen else f"(?P<{field}>[^/]+?)")
            seen.add(field)
        else:
            parts.append("[^/]*" if piece == "*" else re.escape(piece))
    return "".join(parts)
