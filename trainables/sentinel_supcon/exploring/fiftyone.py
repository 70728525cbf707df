"""Exports a data set to FiftyOne (https://docs.voxel51.com), where scenes can be searched, tagged and compared."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from thalweg.datasets.fiftyone_export import fiftyone_for, write_groups
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.exploring.opening import open_all
from trainables.sentinel_supcon.exploring.pictures import Stretch, radar_colour, stretch_of, true_colour
from trainables.sentinel_supcon.exploring.tables import band_means, measures_of, scene_table


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
    fiftyone = fiftyone_for(name)
    data = open_all(folder)
    table, stretch = scene_table(data, band_means(data)), stretch_of(data)
    left_out = dict(data.left_out)
    return write_groups(
        fiftyone,
        name,
        shown_first="optical",
        count=len(table),
        samples=lambda row: _samples(fiftyone, data, table, stretch, row, media),
        info={"fingerprint": data.fingerprint, "folder": str(folder), "left_out": left_out},
    )


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
