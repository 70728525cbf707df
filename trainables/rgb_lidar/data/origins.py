"""What no two splits may have in common: the contents of scans and images, whatever their files are called."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

from thalweg.contract import SplitName
from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.scenes import RGBLidarData


def origins(data: RGBLidarData, split: SplitName) -> Mapping[str, Sequence[str]]:
    """Returns scenes, scans and images of a split, equal ones by the same name: that of the first scene that has them.

    Scans without a return and images of one colour are left out, for different scenes may have them.

    Args:
        data: Opened data.
        split: The split.
    """
    rows = data.rows[split].tolist()
    names = [f"{CLASSES[label]}/{number}" for label, number in zip(data.labels, data.numbers, strict=True)]
    found: dict[str, Sequence[str]] = {"scene": [names[row] for row in rows]}
    for kind, arrays in (("scan", data.depth[:, None]), ("image", data.rgb)):
        same = _same(arrays)
        found[kind] = sorted({names[same[row]] for row in rows if row in same})
    return found


def _same(arrays: Shaped[np.ndarray, "scene channel side side"]) -> dict[int, int]:
    """Returns the first scene of equal content for each scene whose content is not constant, by row."""
    first: dict[bytes, int] = {}
    found: dict[int, int] = {}
    for row, values in enumerate(arrays):
        channels = np.ascontiguousarray(values).reshape(len(values), -1)
        if (channels != channels[:, :1]).any():
            found[row] = first.setdefault(hashlib.blake2b(channels.data, digest_size=16).digest(), row)
    return found
