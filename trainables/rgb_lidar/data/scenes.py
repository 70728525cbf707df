"""The data of the RGB and LiDAR family: decoded scenes in a store that all processes share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from thalweg.contract import SplitName
from thalweg.data.faults import Faults
from thalweg.data.store import StoreWriter, content_hashes, key_of, open_store
from thalweg.errors import DataError, OutputError
from thalweg.wording import counted, some
from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.layout import (
    NAMED,
    OPAQUE,
    SUFFIXES,
    Files,
    find_files,
    lidar_name,
    read_angles,
    read_depth,
    read_rgb,
    rgb_name,
)
from trainables.rgb_lidar.data.lidar import Angles
from trainables.rgb_lidar.data.splits import Rows, split_rows

FORMAT = 2


@dataclass(frozen=True)
class RGBLidarData:
    """Scenes of a data set; images and scans stay in the store until they are sampled.

    Attributes:
        rgb: Images with opacity, 255 where their files have none.
        depth: Distances in metres, 50 if a ray did not come back.
        labels: 0 for a cube, 1 for a sphere.
        numbers: Number of each scene's files.
        azimuth: Angle of each row of a scan, in radians.
        zenith: Angle of each column of a scan, in radians.
        rows: Scenes of each split.
        unpaired: Files that were left out because their partner is missing, as paths below the data set.
        others: Files that were left out because they are neither scans nor images, as paths below the data set.
        opaque: Number of images without opacity.
        zero_scans: Number of scans that write a ray that did not come back as 0 m.
        zero_rays: Number of such rays.
        fingerprint: Hash of the content of all paired files; independent of `data_fraction`.
        dataset: Name of the data set.
    """

    rgb: UInt8[np.ndarray, "scene 4 side side"]
    depth: Float32[np.ndarray, "scene side side"]
    labels: Int64[np.ndarray, " scene"]
    numbers: Int64[np.ndarray, " scene"]
    azimuth: Angles
    zenith: Angles
    rows: dict[SplitName, Rows]
    unpaired: tuple[str, ...]
    others: tuple[str, ...]
    opaque: int
    zero_scans: int
    zero_rays: int
    fingerprint: str
    dataset: str

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, images without opacity, rays written as 0 m, and splits that lack a class."""
        found = (
            _left_out(
                self.unpaired, self.dataset, "has no partner", "have no partner", " of the other sensor"
            ),
            self.strangers,
            self.opacity,
            self.zeros,
            *self.lacking,
        )
        return tuple(note for note in found if note)

    @property
    def strangers(self) -> str:
        """A sentence on files of other kinds; empty if there are none."""
        return _left_out(
            self.others, self.dataset, "is neither", "are neither", f" scan nor image ({', '.join(SUFFIXES)})"
        )

    @property
    def opacity(self) -> str:
        """A sentence on the images without opacity; empty if there are none."""
        if not self.opaque:
            return ""
        return (
            f"{self.opaque:,} of {len(self.labels):,} images of {self.dataset} have no opacity and count as opaque "
            f"({OPAQUE}), for models that read three channels"
        )

    @property
    def zeros(self) -> str:
        """A sentence on the rays that were written as 0 m; empty if there are none."""
        if not self.zero_scans:
            return ""
        return (
            f"{self.zero_rays:,} rays of {self.zero_scans:,} scans of {self.dataset} are written as 0 m "
            "and read as rays that did not come back"
        )

    @property
    def side(self) -> int:
        """Height and width of images and scans."""
        return int(self.depth.shape[1])

    def num_samples(self, split: SplitName) -> int:
        """Returns the number of scenes of a split."""
        return len(self.rows[split])

    @property
    def lacking(self) -> tuple[str, ...]:
        """A sentence on each split with scenes of one class only, whose scores tell nothing of the other."""
        return tuple(
            f"{split} of {self.dataset} has scenes of {CLASSES[present.pop()]} only; about 40 of each class are enough"
            for split, rows in self.rows.items()
            if len(present := set(self.labels[rows].tolist())) == 1
        )

    def class_shares(self, split: SplitName) -> tuple[float, float]:
        """Returns the shares of cubes and spheres in a split."""
        spheres = float(self.labels[self.rows[split]].mean())
        return 1 - spheres, spheres


def open_data(root: Path, dataset: str, data_fraction: float) -> RGBLidarData:
    """Opens a data set; the first time, checks and decodes every scene.

    Args:
        root: The family's data folder.
        dataset: Name of a folder below it.
        data_fraction: Share of the training scenes of each class that is used.

    Raises:
        DataError: Files are missing or broken, or a split has no scene.
        OutputError: The store cannot be written.
    """
    folder = root / dataset
    files = find_files(folder)
    stores = folder / ".store"
    key = key_of({"format": FORMAT, "files": _hashes(files, stores)})
    store = open_store(stores, key, partial(_prepare, files))
    arrays = store.arrays
    labels, numbers = arrays["labels"], arrays["numbers"]
    rows = split_rows(np.asarray(labels), np.asarray(numbers), data_fraction)
    empty = [split for split in ("train", "val") if not len(rows[split])]
    if empty:
        raise DataError(
            f"{folder} must hold a scene for each split, got none for {' and '.join(empty)} "
            f"of {len(labels)} scenes; about 40 of each class are enough"
        )
    return RGBLidarData(
        **{name: arrays[name] for name in ("rgb", "depth", "labels", "numbers", "azimuth", "zenith")},
        rows=rows,
        unpaired=files.unpaired,
        others=files.others,
        opaque=store.metadata.get("opaque", 0),  # stores of earlier versions hold images with opacity alone
        zero_scans=store.metadata["zero_scans"],
        zero_rays=store.metadata["zero_rays"],
        fingerprint=key,
        dataset=dataset,
    )


def _left_out(paths: Sequence[str], dataset: str, one: str, many: str, what: str) -> str:
    """Says which files were left out and why; empty if none were."""
    if not paths:
        return ""
    why, verb = (one, "is") if len(paths) == 1 else (many, "are")
    files = counted(len(paths), "file")
    return f"{files} of {dataset} {why}{what} and {verb} left out: {some(paths, NAMED)}"


def _hashes(files: Files, stores: Path) -> dict[str, str]:
    try:
        return content_hashes(files.paths(), stores)
    except OutputError:
        raise
    except OSError as error:
        raise DataError(f"files of a data set must be readable, got {error}; copy it again") from None


def _prepare(files: Files, writer: StoreWriter) -> dict[str, Any]:
    azimuth, zenith = read_angles(files.folder)
    count, side = len(files.scenes), len(azimuth)
    rgb = writer.create("rgb", (count, 4, side, side), np.uint8)
    depth = writer.create("depth", (count, side, side), np.float32)
    num_zero, opaque = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    faults = Faults()
    for row, scene in enumerate(files.scenes):
        with faults.collected():
            depth[row], num_zero[row] = read_depth(files.folder / lidar_name(scene), side)
        with faults.collected():
            rgb[row], has_opacity = read_rgb(files.folder / rgb_name(scene), side)
            opaque[row] = not has_opacity
    faults.raise_if_any()
    writer.put("labels", np.array([scene.label for scene in files.scenes], np.int64))
    writer.put("numbers", np.array([scene.number for scene in files.scenes], np.int64))
    writer.put("azimuth", azimuth)
    writer.put("zenith", zenith)
    return {
        "num_scenes": count,
        "unpaired": list(files.unpaired),
        "opaque": int(opaque.sum()),
        "zero_scans": int((num_zero > 0).sum()),
        "zero_rays": int(num_zero.sum()),
    }
