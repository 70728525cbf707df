"""The family's own layout: pairs of GeoTIFF, a table of scenes, and what they hold.

``scenes.json`` names classes, bands, unit and origin. ``scenes.csv`` has a line for each scene: name, place, split
(empty: splits follow from places), classes (separated by semicolons, the label first) and, if they are known, the
processing baseline and the date. ``s1/NAME.tif`` holds VV and VH, ``s2/NAME.tif`` the bands. If ``scenes.json`` has
``codes``, classes come from ``labels/NAME.tif``.
"""

import csv
import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from thalweg.errors import DataError
from trainables.sentinel_supcon.data.contents import Contents, Scene, Unit, is_file_name, require_some
from trainables.sentinel_supcon.knobs import BANDS

TABLE, SCENES = "scenes.json", "scenes.csv"
FORMAT = 1
COLUMNS = ("name", "place", "split", "classes", "baseline", "date")
_SPLITS = ("", "train", "val", "test")
MAX_CLASSES = 255
"""Classes of maps, whose pixels are bytes; one more stands for none."""
MAX_NAME = 240
"""Bytes of a scene's name, so that a file of this name can be."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """What ``scenes.json`` says.

    Attributes:
        classes: Names of all classes, in order.
        bands: Bands of the optical images, in the order of the files.
        unit: Unit of the radar images.
        codes: Class of each code in the maps of classes; empty if there are no maps.
        origin: Where the scenes come from, for people.
    """

    classes: tuple[str, ...]
    bands: tuple[str, ...]
    unit: Unit = "dB"
    codes: Mapping[int, int] = field(default_factory=dict)
    origin: str = ""


def is_pairs(folder: Path) -> bool:
    """Returns whether a folder has this layout."""
    return (folder / SCENES).is_file()


def write_tables(folder: Path, described: Described, scenes: Iterable[Mapping[str, str]]) -> None:
    """Writes ``scenes.json`` and ``scenes.csv``.

    Args:
        folder: The data set.
        described: What the scenes hold.
        scenes: The columns of each scene; those that are missing are empty.
    """
    table = {
        "format": FORMAT,
        "classes": list(described.classes),
        "bands": list(described.bands),
        "unit": described.unit,
        "codes": {str(code): number for code, number in described.codes.items()},
        "origin": described.origin,
    }
    (folder / TABLE).write_text(f"{json.dumps(table, indent=1)}\n")
    with (folder / SCENES).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(scenes)


def find_pairs(folder: Path) -> Contents:
    """Finds the scenes of a folder of GeoTIFF pairs.

    Raises:
        DataError: A table is broken, or names a class, a split or a file that cannot be.
    """
    described = read_described(folder)
    numbers = {name: number for number, name in enumerate(described.classes)}
    scenes, left_out = [], {}
    for line in _lines(folder / SCENES):
        name = line["name"]
        s1, s2 = f"s1/{name}.tif", f"s2/{name}.tif"
        labels = f"labels/{name}.tif" if described.codes else ""
        if missing := [path for path in (s1, s2, labels) if path and not (folder / path).is_file()]:
            left_out[name] = f"{' and '.join(missing)} is missing"
            continue
        scenes.append(
            Scene(
                name=name,
                s1=s1,
                s2=s2,
                labels=labels,
                classes=_classes(line["classes"], numbers, folder),
                place=line["place"],
                fallback=name,
                split=line["split"],
                baseline=line["baseline"],
                date=line["date"],
            )
        )
    return require_some(
        Contents(
            folder=folder,
            layout="GeoTIFF pairs",
            scenes=tuple(sorted(scenes, key=lambda scene: scene.name)),
            classes=described.classes,
            bands=described.bands,
            unit=described.unit,
            codes=described.codes,
            left_out=left_out,
            tables=(TABLE, SCENES),
        )
    )


def read_described(folder: Path) -> Described:
    """Reads ``scenes.json``.

    Raises:
        DataError: It is missing or broken.
    """
    path = folder / TABLE
    try:
        table: dict[str, Any] = json.loads(path.read_text("utf-8-sig"))
        described = Described(
            classes=tuple(map(str, table["classes"])),
            bands=tuple(map(str, table["bands"])),
            unit=_unit(table.get("unit", "dB"), path),
            codes={int(code): int(number) for code, number in table.get("codes", {}).items()},
            origin=str(table.get("origin", "")),
        )
    except DataError:
        raise
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path} must name classes and bands, got {type(error).__name__}: {error}; import the data set again"
        ) from None
    if (written := table.get("format", FORMAT)) != FORMAT:
        raise DataError(
            f"format of {path} must be {FORMAT}, which this version reads, got {written!r}; import the data set again"
        )
    _require("classes", described.classes, path)
    _require("bands", described.bands, path)
    if odd := [band for band in described.bands if band not in BANDS["l1c"]]:
        raise DataError(f"bands of {path} must be of {', '.join(BANDS['l1c'])}, got {odd[0]!r}; rename it")
    wrong = [code for code, number in described.codes.items() if not 0 <= number < len(described.classes)]
    if described.codes and len(described.classes) > MAX_CLASSES:
        raise DataError(
            f"classes of {path} must be at most {MAX_CLASSES} where maps hold them, got {len(described.classes)}; "
            "leave some out"
        )
    if wrong or any(not 0 <= code <= 255 for code in described.codes):
        raise DataError(
            f"codes of {path} must be from 0 to 255 and name classes from 0 to {len(described.classes) - 1}, got "
            f"{dict(described.codes)}; correct them"
        )
    return described


def _unit(text: Any, path: Path) -> Unit:
    for unit in get_args(Unit):
        if text == unit:
            return cast(Unit, unit)
    units = ", ".join(get_args(Unit))
    raise DataError(f"unit of {path} must be one of {units}, got {text!r}; correct it")


def _require(what: str, names: Sequence[str], path: Path) -> None:
    if not names or len(set(names)) < len(names):
        raise DataError(f"{what} of {path} must be some names, each once, got {list(names)}; correct them")


def _lines(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            read = csv.DictReader(file)
            found = [{column: (line.get(column) or "").strip() for column in COLUMNS} for line in read]
            columns = read.fieldnames or ()
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a table of scenes, got {error}; write it again") from None
    if "name" not in columns or "classes" not in columns:
        raise DataError(
            f"{path} must have the columns name and classes, separated by commas, got {', '.join(columns)}; add them"
        )
    check_scenes(path, found)
    return found


def check_scenes(path: Path, scenes: Iterable[Mapping[str, str]], *, max_name: int = MAX_NAME) -> None:
    """Checks names, splits and dates of scenes.

    Args:
        path: Where they are named, for messages.
        scenes: The columns of each scene.
        max_name: Bytes that a name may have.

    Raises:
        DataError: A name is no file's or not the only one, a split is unknown, or a date is none.
    """
    seen: set[str] = set()
    for scene in scenes:
        name, split, date = scene["name"], scene["split"], scene["date"]
        if not is_file_name(name, max_name) or name in seen:
            raise DataError(
                f"names in {path} must be of files, each once, of at most {max_name} bytes, got {name[:max_name]!r}; "
                "correct it"
            )
        if split not in _SPLITS:
            raise DataError(f"split in {path} must be train, val, test or empty, got {split!r}; correct it")
        if date and not _is_date(date):
            raise DataError(f"dates in {path} must be like 2021-06-30, got {date!r}; correct it")
        seen.add(name)


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _classes(text: str, numbers: Mapping[str, int], folder: Path) -> tuple[int, ...]:
    names = [name.strip() for name in text.split(";") if name.strip()]
    if unknown := [name for name in names if name not in numbers]:
        raise DataError(
            f"classes in {folder / SCENES} must be of {', '.join(numbers)}, got {unknown[0]!r}; correct it, or "
            f"add it to {TABLE}"
        )
    return tuple(dict.fromkeys(numbers[name] for name in names))
