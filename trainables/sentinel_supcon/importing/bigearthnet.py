"""Imports BigEarthNet v2: a folder of single-band GeoTIFF for each scene and sensor, and a table of labels.

``BigEarthNet-S1/ACQUISITION/NAME/NAME_{VV,VH}.tif``, ``BigEarthNet-S2/PRODUCT/NAME/NAME_B02.tif`` and so on, and
``metadata.parquet`` (or ``.csv``) with patch_id, s1_name, labels, split, country, contains_seasonal_snow and
contains_cloud_or_shadow. Bands of 20 and 60 m are repeated to 10 m. Backscatter keeps its fractions of dB.
Source: Clasen et al. (2024), arXiv:2407.03653.
"""

import json
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from thalweg.data.store import staged
from thalweg.errors import DataError
from thalweg.wording import counted, some
from trainables.sentinel_supcon.data import units
from trainables.sentinel_supcon.data.pairs import Described, write_tables
from trainables.sentinel_supcon.data.rasters import (
    Footprint,
    Ground,
    Raster,
    read_raster,
    require_same_ground,
)
from trainables.sentinel_supcon.data.reading import RADAR, without_blanks
from trainables.sentinel_supcon.data.splits import name_hashes
from trainables.sentinel_supcon.importing import corine
from trainables.sentinel_supcon.importing.options import one_of, whole
from trainables.sentinel_supcon.importing.shifts import Shifts
from trainables.sentinel_supcon.importing.writing import write_scene
from trainables.sentinel_supcon.knobs import BANDS

_BANDS = BANDS["l2a"]
_COPY_AGAIN = "correct s1_name, or copy them again"
_SIDE = 120
_LOOKED_AT = 32  # scenes of a product in which the offset of its numbers is looked for
_NAME = re.compile(r"\w[\w.-]{0,199}(?<!\.)", re.ASCII)
_COLUMNS = ("patch_id", "s1_name", "labels", "split")
_SPLITS = {"train": "train", "validation": "val", "val": "val", "test": "test"}
_ODD = ("contains_seasonal_snow", "contains_cloud_or_shadow")


def read(
    source: Path,
    target: Path,
    *,
    country: str = "",
    max_scenes: str = "",
    split: str = "official",
    snow_and_clouds: str = "drop",
    offset: str = "auto",
) -> str:
    """Writes the scenes of a folder as GeoTIFF pairs; see `options.BIGEARTHNET`.

    Returns:
        A report.

    Raises:
        ConfigError: An option is none of those that there are.
        DataError: The table or a file is missing or broken.
    """
    official = one_of("split", split, ("official", "tile")) == "official"
    drop = one_of("snow_and_clouds", snow_and_clouds, ("drop", "keep")) == "drop"
    limit = whole("max_scenes", max_scenes, low=3) if max_scenes else None
    shifts = Shifts(offset)
    table = _chosen(_table(source), country, drop, limit)
    lines: list[dict[str, str]] = []
    missing: list[str] = []
    with staged(target) as folder:
        for product, scenes in table.groupby(table["patch_id"].map(_product), sort=True):
            there = [scene for scene in scenes.to_dict("records") if _is_whole(source, scene, missing)]
            looked = [units.darkest(_optical(source, scene["patch_id"])[0]) for scene in there[:_LOOKED_AT]]
            shift = shifts.of(str(product), looked) if there else 0.0
            for scene in there:
                _write(folder, source, scene["patch_id"], scene["s1_name"], shift)
                lines.append(
                    {
                        "name": scene["patch_id"],
                        "place": str(product).rsplit("_", 1)[-1],
                        "split": _SPLITS[scene["split"]] if official else "",
                        "classes": ";".join(corine.classes_of(scene["labels"])),
                    }
                )
        shifts.require_known()
        _require_some(lines, missing, source)
        origin = f"BigEarthNet v2, {country or 'all countries'}"
        write_tables(folder, Described(classes=tuple(corine.CLASSES), bands=_BANDS, origin=origin), lines)
    told = f" {counted(len(missing), 'scene')} without all files: {some(missing)}." if missing else ""
    tiles = len({line["place"] for line in lines})
    return f"{len(lines)} scenes of {tiles} tiles with the 19 classes of BigEarthNet.{told} {shifts.report()}"


def _table(source: Path) -> pd.DataFrame:
    path = next(
        (source / name for name in ("metadata.parquet", "metadata.csv") if (source / name).is_file()), None
    )
    if path is None:
        raise DataError(f"{source} must hold metadata.parquet or metadata.csv, got neither; copy it there")
    try:
        table = (
            pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, keep_default_na=False)
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{path} must be a complete table, got {error}; copy it again") from None
    if lacking := [name for name in _COLUMNS if name not in table]:
        raise DataError(
            f"{path} must have the columns {', '.join(_COLUMNS)}, got no {lacking[0]}; copy it again"
        )
    _require_names(table, path)
    table["labels"] = [_names(labels, path) for labels in table["labels"]]
    known = {*corine.CLASSES, *corine.DROPPED, *(part for parts in corine.CLASSES.values() for part in parts)}
    if unknown := sorted({name for labels in table["labels"] for name in labels} - known):
        raise DataError(f"labels of {path} must be CORINE classes, got {unknown[0]!r}; correct them")
    if odd := sorted(set(table["split"]) - set(_SPLITS)):
        raise DataError(f"split of {path} must be train, validation or test, got {odd[0]!r}; correct it")
    return table


def _require_names(table: pd.DataFrame, path: Path) -> None:
    for column in ("patch_id", "s1_name"):
        for name in table[column]:
            if not (isinstance(name, str) and _NAME.fullmatch(name)):
                raise DataError(
                    f"{column} of {path} must be names of folders, letters, digits, _, - and ., got "
                    f"{name!r}; correct it"
                )
    if len(twice := table["patch_id"][table["patch_id"].duplicated()]):
        raise DataError(f"patch_id of {path} must be there once, got {twice.iloc[0]} twice; leave one out")


def _names(labels: object, path: Path) -> list[str]:
    """Returns the names of a cell of labels: a list, its JSON text, or names between semicolons."""
    if isinstance(labels, Sequence | np.ndarray) and not isinstance(labels, str):
        return [str(name) for name in labels]
    if not isinstance(labels, str):
        raise _no_names(labels, path)
    text = labels.strip()
    if text.startswith("["):
        try:
            return [str(name) for name in json.loads(text)]
        except (ValueError, RecursionError):
            raise _no_names(text, path) from None
    return [name.strip() for name in text.split(";") if name.strip()]


def _no_names(labels: object, path: Path) -> DataError:
    return DataError(
        f"labels of {path} must be a list, or names between semicolons, got {labels!r}; correct them"
    )


def _chosen(table: pd.DataFrame, country: str, drop: bool, limit: int | None) -> pd.DataFrame:
    if drop:
        for name in (column for column in _ODD if column in table):
            table = table[~table[name].map(lambda value: str(value).lower() in ("true", "1"))]
    if country:
        if "country" not in table or country not in set(table["country"]):
            there = sorted(set(map(str, table["country"].dropna()))) if "country" in table else []
            raise DataError(
                f"country must be one of {', '.join(there) or 'none'}, got {country!r}; choose another"
            )
        table = table[table["country"] == country]
    if limit is not None and limit < len(table):
        order = np.argsort(name_hashes(table["patch_id"].tolist()), kind="stable")
        table = table.iloc[np.sort(order[:limit])]
    return table


def _product(patch: str) -> str:
    """Returns the Sentinel-2 product of a scene, whose last part is its tile."""
    return patch.rsplit("_", 2)[0]


def _radar_folder(source: Path, name: str) -> Path:
    return source / "BigEarthNet-S1" / name.rsplit("_", 3)[0] / name


def _optical_folder(source: Path, name: str) -> Path:
    return source / "BigEarthNet-S2" / _product(name) / name


def _files(source: Path, patch: str, radar: str) -> Iterator[Path]:
    yield from (_optical_folder(source, patch) / f"{patch}_{band}.tif" for band in _BANDS)
    yield from (_radar_folder(source, radar) / f"{radar}_{band}.tif" for band in RADAR)


def _is_whole(source: Path, scene: Mapping[Hashable, Any], missing: list[str]) -> bool:
    """Returns whether a scene has all files; notes its name if it has not."""
    if all(path.is_file() for path in _files(source, scene["patch_id"], scene["s1_name"])):
        return True
    missing.append(scene["patch_id"])
    return False


def _optical(source: Path, patch: str) -> tuple[Float32[np.ndarray, "band side side"], Footprint, Ground]:
    """Returns the optical bands, 10,000 for a reflectance of 1 but for an offset, and where they lie."""
    folder = _optical_folder(source, patch)
    image, raster = _stacked(folder, patch, _BANDS)
    known = units.numbers(image, folder, dtype=raster.dtype, has_scale=raster.has_scale)
    return known, raster.footprint, raster.ground


def _stacked(
    folder: Path, name: str, bands: Sequence[str]
) -> tuple[Float32[np.ndarray, "band side side"], Raster]:
    """Returns single-band files at 10 m, and one of these."""
    images: list[Float32[np.ndarray, "side side"]] = []
    first: Raster | None = None
    for band in bands:
        path = folder / f"{name}_{band}.tif"
        raster = read_raster(path)
        raster.ground.require_upright(path)
        first = first or raster
        if len(raster.values) != 1 or (raster.has_scale, raster.has_offset) != (first.has_scale, False):
            raise DataError(
                f"a file of a band must hold it alone, scaled as the others and without an offset, got {path} with "
                f"{len(raster.values)} bands; copy it again"
            )
        image = raster.values[0]
        times, rest = divmod(_SIDE, len(image))
        if rest or image.shape[0] != image.shape[1]:
            raise DataError(
                f"a band must be a square of {_SIDE} pixels or a whole part of it, got {image.shape[0]} x "
                f"{image.shape[1]} in {path}; copy it again"
            )
        require_same_ground(
            (folder / f"{name}_{bands[0]}.tif", first.ground), (path, raster.ground), _COPY_AGAIN
        )
        images.append(image.repeat(times, 0).repeat(times, 1))
    assert first is not None
    return without_blanks(np.stack(images)), first


def _write(folder: Path, source: Path, patch: str, radar: str, shift: float) -> None:
    s2, footprint, ground = _optical(source, patch)
    home = _radar_folder(source, radar)
    s1, raster = _stacked(home, radar, RADAR)
    require_same_ground((_optical_folder(source, patch), ground), (home, raster.ground), _COPY_AGAIN)
    s1 = units.backscatter(s1, "dB", home)
    write_scene(folder, patch, s1, s2, bands=_BANDS, shift=shift, footprint=footprint)


def _require_some(lines: Sequence[object], missing: Sequence[str], source: Path) -> None:
    if not lines:
        told = f", {len(missing)} of the table lack files, such as {missing[0]}" if missing else ""
        raise DataError(f"{source} must hold scenes that both sensors saw, got none{told}; copy them there")
