"""Classes of scenes: names and numbers, and what a map of classes says of a whole scene."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from trainables.sentinel_supcon import knobs

IGNORED = knobs.IGNORED
INVALID = 255
"""Value of a pixel without a class in a map of classes."""
MIN_SHARE = 0.1
"""Share of a scene's pixels that a class must cover to be one of its classes."""

METERML = knobs.METERML_CLASSES
"""Classes of METER-ML, in the order of the published labels."""

DFC2020 = knobs.DFC2020_CLASSES
"""Classes of DFC2020: the simplified IGBP scheme without savanna (3) and snow (8), which its test does not hold."""
DFC2020_CODES: Mapping[int, int] = {1: 0, 2: 1, 4: 2, 5: 3, 6: 4, 7: 5, 9: 6, 10: 7}
"""Class of each code of a DFC2020 label map; all other codes have none."""
IGBP_CODES: Mapping[int, int] = {
    **dict.fromkeys((1, 2, 3, 4, 5), 0),
    **dict.fromkeys((6, 7), 1),
    10: 2,
    11: 3,
    **dict.fromkeys((12, 14), 4),
    13: 5,
    16: 6,
    17: 7,
}
"""Class of each code of the first band of a SEN12MS land cover map, IGBP; savannas (8, 9) and snow (15) have none."""


def numbers_of(codes: Mapping[int, int]) -> UInt8[np.ndarray, "257"]:
    """Returns the class of each code from 0 to 256 as a table to look up; `INVALID` if it has none, as 256."""
    table = np.full(257, INVALID, np.uint8)
    for code, number in codes.items():
        table[code] = number
    return table


def classes_of_maps(
    maps: UInt8[np.ndarray, "scene row col"], num_classes: int
) -> tuple[Int64[np.ndarray, " scene"], Bool[np.ndarray, "scene class"]]:
    """Returns what maps of classes say of their scenes.

    Args:
        maps: Class of each pixel, `INVALID` if it has none.
        num_classes: Number of classes.

    Returns:
        The most frequent class of each scene, the lower number if two are as frequent, `IGNORED` if most pixels have
        none; and which classes cover at least a tenth of all pixels.
    """
    shown = np.minimum(maps, num_classes).reshape(len(maps), -1).astype(np.int64)
    places = np.arange(len(maps))[:, None] * (num_classes + 1)
    counts = np.bincount((shown + places).ravel(), minlength=len(maps) * (num_classes + 1))
    counts = counts.reshape(len(maps), num_classes + 1)
    most = counts.argmax(1)
    covered: Bool[np.ndarray, "scene class"] = counts[:, :num_classes] >= MIN_SHARE * shown.shape[1]
    return np.where(most == num_classes, IGNORED, most).astype(np.int64), covered


def without(labels: Int64[np.ndarray, " scene"], valid: Sequence[bool]) -> Int64[np.ndarray, " scene"]:
    """Returns labels in which those of classes that are not valid are `IGNORED`."""
    kept = np.append(np.asarray(valid, bool), False)[labels]  # the last one is that of IGNORED
    return np.where(kept, labels, IGNORED).astype(np.int64)
