"""Exports a data set to FiftyOne (https://docs.voxel51.com), where scenes can be searched, tagged and compared."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from thalweg.errors import ConfigError
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.exploring.opening import open_all
from trainables.sentinel_supcon.exploring.pictures import Stretch, radar_colour, stretch_of, true_colour
from trainables.sentinel_supcon.exploring.tables import band_means, measures_of, scene_table

BATCH = 200


def export_fiftyone(folder: Path, name: str, media: Path) -> str:
    """Writes a grouped data set with two slices for each scene: ``optical``, in true colour, and ``radar``.

    Label, classes, place and measures of a scene are fields of both slices; its split is a tag.

    Args:
        folder: The data set.
        name: Name in FiftyOne.
        media: Folder for the images.

    Returns:
        A sentence on how to see it.

    Raises:
        ConfigError: FiftyOne is not installed, has no database, or has a data set of this name.
        DataError: Files are missing or broken.
    """
    fiftyone = _fiftyone(name)
    data = open_all(folder)
    table, stretch = scene_table(data, band_means(data)), stretch_of(data)
    dataset = fiftyone.Dataset(name, persistent=True)
    try:
        dataset.add_group_field("group", default="optical")
        for start in range(0, len(table), BATCH):
            rows = range(start, min(start + BATCH, len(table)))
            samples = [each for row in rows for each in _samples(fiftyone, data, table, stretch, row, media)]
            dataset.add_samples(samples, progress=False)
        left_out = dict(data.left_out)
        dataset.info = {"fingerprint": data.fingerprint, "folder": str(folder), "left_out": left_out}
        dataset.save()
    except BaseException:
        fiftyone.delete_dataset(name)
        raise
    return f"FiftyOne holds {len(table):,} scenes as {name}; see them with: fiftyone app launch {name}"


def _fiftyone(name: str) -> Any:
    """Imports FiftyOne and checks that a new data set can be written."""
    try:
        fiftyone = importlib.import_module("fiftyone")
    except ImportError as error:
        raise ConfigError(
            f"FiftyOne must be installed for an export, got {error}; put `uv run --no-dev --extra fiftyone` before the "
            "command, or `pip install fiftyone`"
        ) from None
    try:
        exists = fiftyone.dataset_exists(name)
    except Exception as error:  # exceptions of FiftyOne, or of its database client
        raise ConfigError(
            f"FiftyOne must reach its MongoDB, got {type(error).__name__}: {str(error).strip()}; install MongoDB "
            "and set FIFTYONE_DATABASE_URI"
        ) from error
    if exists:
        raise ConfigError(
            f"a data set in FiftyOne must be new, got {name!r}, which exists; choose another name or delete it with "
            f"`fiftyone datasets delete {name}`"
        )
    return fiftyone


def _samples(
    fiftyone: Any, data: PatchData, table: pd.DataFrame, stretch: Stretch, row: int, media: Path
) -> list[Any]:
    """Writes both images of a scene and returns its samples."""
    group, scene = fiftyone.Group(), table.iloc[row]
    found = []
    for slice_name, draw in (("optical", true_colour), ("radar", radar_colour)):
        path = media / f"{row:06d}-{slice_name}.png"
        Image.fromarray(draw(data, row, stretch)).save(path, compress_level=1)
        fields: dict[str, Any] = {
            measure: float(scene[measure]) for measure in measures_of(data) if np.isfinite(scene[measure])
        }
        named = [fiftyone.Classification(label=each) for each in scene["classes"].split(";") if each]
        fields |= {
            "label": fiftyone.Classification(label=scene["class"]),
            "classes": fiftyone.Classifications(classifications=named),
            "scene": scene["name"],
            "place": scene["place"],
            "split": scene["split"],
            "tags": [scene["split"]],
        }
        found.append(
            fiftyone.Sample(filepath=str(path.absolute()), group=group.element(slice_name), **fields)
        )
    return found
