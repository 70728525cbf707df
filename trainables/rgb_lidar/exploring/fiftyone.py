"""Exports a data set to FiftyOne (https://docs.voxel51.com), where scenes can be searched, tagged and rotated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64

from thalweg.datasets.fiftyone_export import fiftyone_for, write_groups
from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.layout import Files, find_files, rgb_name
from trainables.rgb_lidar.data.scenes import RGBLidarData, open_data
from trainables.rgb_lidar.exploring.pictures import points_of, relief
from trainables.rgb_lidar.exploring.tables import MEASURES, scene_table


def export_fiftyone(folder: Path, name: str, media: Path) -> str:
    """Writes a grouped data set with two slices per scene: ``rgb``, image with the scan as a heat map, and ``lidar``.

    Class, split, file number and measures of a scene are fields of both slices; its split is a tag as well.

    Args:
        folder: The data set.
        name: Name in FiftyOne.
        media: Folder for the point clouds; images are not copied.

    Returns:
        A sentence on how to see it.

    Raises:
        ConfigError: FiftyOne is not installed, has no database, or has a data set of this name.
        DataError: Files are missing or broken.
    """
    fiftyone = fiftyone_for(name)
    data = open_data(folder.parent, folder.name, 1.0)
    table = scene_table(data)
    return write_groups(
        fiftyone,
        name,
        shown_first="rgb",
        count=len(table),
        samples=_Writer(fiftyone, data, table, find_files(folder), media).samples,
        info={
            "fingerprint": data.fingerprint,
            "folder": str(folder),
            "unpaired": list(data.unpaired),
        },
    )


@dataclass(frozen=True)
class _Writer:
    """Makes the samples of scenes; attributes as in `export_fiftyone`."""

    fiftyone: Any
    data: RGBLidarData
    table: pd.DataFrame
    files: Files
    media: Path

    def samples(self, row: int) -> list[Any]:
        """Writes the points of a scene and returns both of its samples."""
        group = self.fiftyone.Group()
        image = self.files.folder / rgb_name(self.files.scenes[row])
        nearness = np.nan_to_num(1 - relief(self.data.depth[row]), nan=0.0).astype(np.float32)
        heat = self.fiftyone.Heatmap(map=nearness, range=[0, 1])
        sample = self.fiftyone.Sample
        return [
            sample(
                filepath=str(image.absolute()), group=group.element("rgb"), nearness=heat, **self._fields(row)
            ),
            sample(filepath=str(self._world(row)), group=group.element("lidar"), **self._fields(row)),
        ]

    def _fields(self, row: int) -> dict[str, Any]:
        scene = self.table.iloc[row]
        fields: dict[str, Any] = {name: float(scene[name]) for name in MEASURES if np.isfinite(scene[name])}
        label = self.fiftyone.Classification(label=scene["class"])
        return fields | {
            "label": label, "number": int(scene["number"]), "split": scene["split"], "tags": [scene["split"]]
        }  # fmt: skip

    def _world(self, row: int) -> Path:
        """Writes the points, and a 3D scene that shows them from the position of the sensors."""
        fiftyone, scene = self.fiftyone, self.files.scenes[row]
        stem = f"{CLASSES[scene.label]}-{Path(scene.lidar).stem}"
        points, colours = points_of(self.data, row)
        write_pcd(self.media / f"{stem}.pcd", points, colours)
        distance = float(np.median(points[:, 1])) if len(points) else 1.0
        world = fiftyone.Scene()
        world.camera = fiftyone.PerspectiveCamera(position=[0, 0, 0], look_at=[0, distance, 0], up="Z")
        colours_of_the_image = fiftyone.PointCloudMaterial(shading_mode="rgb", point_size=4.0)
        world.add(fiftyone.PointCloud("returns", f"{stem}.pcd", material=colours_of_the_image))
        path = self.media / f"{stem}.fo3d"
        world.write(str(path))
        return path


def write_pcd(
    path: Path, points: Float32[np.ndarray, "point 3"], colours: Float64[np.ndarray, "point 3"]
) -> None:
    """Writes points in colours as a binary PCD file, version 0.7 of the Point Cloud Library.

    Args:
        path: The file.
        points: Right, forward and up in metres.
        colours: Red, green and blue, 1 for full brightness.
    """
    content = np.zeros(len(points), dtype=[("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])
    content["x"], content["y"], content["z"] = points.T
    red, green, blue = np.round(255 * colours).astype(np.uint32).T
    content["rgb"] = red << 16 | green << 8 | blue  # the bytes of what the format declares a float
    header = (
        "VERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n"
        f"WIDTH {len(points)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA binary\n"
    )
    path.write_bytes(header.encode() + content.tobytes())
