"""The layout of METER-ML: a folder of arrays for each scene, and GeoJSON files that name the classes.

``IMAGE_FOLDER/sentinel-1.npy`` holds (row, column, 2) and ``IMAGE_FOLDER/sentinel-2-10m.npy`` (row, column, 4): red,
green, blue, near infrared. ``*train*.geojson`` and ``*val*.geojson`` have a feature for each scene with the properties
``Image_Folder`` and ``Type``. Of several types the first is the label; all of them are its classes.
Source: Zhu et al. (2022), arXiv:2207.11166; the archive is doi:10.5281/zenodo.6911013.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from thalweg.data.npy import read_npy
from thalweg.errors import DataError
from trainables.sentinel_supcon.data.contents import Contents, Scene, is_file_name, require_some
from trainables.sentinel_supcon.data.labels import METERML
from trainables.sentinel_supcon.knobs import BANDS

S1, S2 = "sentinel-1.npy", "sentinel-2-10m.npy"
_SPLITS = ("train", "val", "test")
_MAX_NAME = 255  # bytes of a folder's name
_BETWEEN = re.compile(r"[,;|&/]")
_CALLED = {name.lower(): number for number, name in enumerate(METERML)} | {
    "cafo": 0,
    "landfill": 1,
    "mine": 2,
    "wwtp": 6,
}


def is_meterml(folder: Path) -> bool:
    """Returns whether a folder has this layout."""
    return any(folder.glob("*train*.geojson"))


def find_meterml(folder: Path) -> Contents:
    """Finds the scenes of a METER-ML folder.

    Raises:
        DataError: A GeoJSON file is broken, a class is unknown, or a scene is named twice.
    """
    tables = sorted(path.name for path in folder.glob("*.geojson") if _split_of(path.name))
    parents = [folder, *sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")]
    scenes: dict[str, Scene] = {}
    left_out: dict[str, str] = {}
    for table in tables:
        for name, kinds, place in _features(folder / table):
            if name in scenes or name in left_out:
                raise DataError(
                    f"a scene must be in one GeoJSON file once, got {name} again in {folder / table}; remove one"
                )
            home = next((parent / name for parent in parents if (parent / name).is_dir()), None)
            if home is None:
                left_out[name] = "its folder is missing"
            elif missing := [each for each in (S1, S2) if not (home / each).is_file()]:
                left_out[name] = f"{' and '.join(missing)} is missing"
            else:
                below = home.relative_to(folder).as_posix()
                scenes[name] = Scene(
                    name=name,
                    s1=f"{below}/{S1}",
                    s2=f"{below}/{S2}",
                    classes=kinds,
                    place=place,
                    fallback=name,
                    split=_split_of(table),
                )
    return require_some(
        Contents(
            folder=folder,
            layout="METER-ML",
            scenes=tuple(scenes[name] for name in sorted(scenes)),
            classes=METERML,
            bands=BANDS["rgbn"],
            unit="counts",
            left_out=left_out,
            tables=tuple(tables),
        )
    )


def read_array(path: Path, num_bands: int) -> tuple[Float32[np.ndarray, "band row col"], np.dtype[Any]]:
    """Reads an array of (row, column, band) as float32 (band, row, column); NaN where there are no data.

    Returns:
        The array, and the type of the numbers in the file.

    Raises:
        DataError: The file is broken or of another shape.
    """
    values = read_npy(path)
    if values.dtype.kind not in "fiu" or values.ndim != 3 or values.shape[2] != num_bands:
        raise DataError(
            f"{path} must hold numbers of shape (row, column, {num_bands}), got {values.dtype} of shape "
            f"{values.shape}; convert it"
        )
    image = values.transpose(2, 0, 1).astype(np.float32)
    return np.where(np.isfinite(image), image, np.float32(np.nan)), values.dtype


def read_features(path: Path) -> list[tuple[dict[str, Any], str]]:
    """Reads the properties of each feature, and the square degree of its middle, empty if it has no geometry.

    Raises:
        DataError: The file is broken.
    """
    try:
        found: Any = json.loads(path.read_text("utf-8-sig"))
        return [(dict(each["properties"]), _cell(each.get("geometry"))) for each in found["features"]]
    except (
        OSError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError
    ) as error:  # fmt: skip
        raise DataError(
            f"{path} must be GeoJSON whose features have properties, got {type(error).__name__}: {error}; copy it again"
        ) from None


def _split_of(name: str) -> str:
    return next((split for split in _SPLITS if split in name.lower()), "")


def _features(path: Path) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Yields name, classes and place of each feature."""
    for properties, place in read_features(path):
        if lacking := [each for each in ("Image_Folder", "Type") if each not in properties]:
            raise DataError(
                f"features of {path} must have Image_Folder and Type, got no {lacking[0]}; copy it again"
            )
        name = str(properties["Image_Folder"]).strip("/")
        if not all(is_file_name(part, _MAX_NAME) for part in name.split("/")):
            raise DataError(
                f"Image_Folder of {path} must name a folder in it, got {name[:_MAX_NAME]!r}; correct it"
            )
        yield name, _numbers(properties["Type"], path), place


def _numbers(kind: Any, path: Path) -> tuple[int, ...]:
    names = [str(one) for one in kind] if isinstance(kind, list) else _BETWEEN.split(str(kind))
    called = [name.strip() for name in names if name.strip()]
    if unknown := [name for name in called if name.lower() not in _CALLED]:
        raise DataError(
            f"Type in {path} must be of {', '.join(METERML)}, got {unknown[0]!r}; correct it or remove the feature"
        )
    return tuple(dict.fromkeys(_CALLED[name.lower()] for name in called))


def _cell(geometry: Mapping[str, Any] | None) -> str:
    """Returns the square degree of a geometry's middle; empty if it has none."""
    if not geometry or not geometry.get("coordinates"):
        return ""
    middle = np.array(list(_positions(geometry["coordinates"])), float).mean(0)
    if not np.isfinite(middle).all():
        return ""
    longitude, latitude = np.floor(middle).astype(int)
    return f"{latitude:+03d}{longitude:+04d}"


def _positions(coordinates: Any) -> Iterator[tuple[float, float]]:
    if isinstance(coordinates[0], int | float):
        yield float(coordinates[0]), float(coordinates[1])
        return
    for part in coordinates:
        yield from _positions(part)
