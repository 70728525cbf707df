"""What no two splits may have in common: scenes, the ground that they show, and places where these are dealt."""

from collections.abc import Mapping, Sequence

from thalweg.contract import SplitName
from trainables.sentinel_supcon.data.origins.ground import comparable_boxes, overlapping
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.data.splits import SPLITS


def origins(data: PatchData, split: SplitName) -> Mapping[str, Sequence[str]]:
    """Returns names of the scenes of a split, pairs of one of them and an overlapping one of another split, and places.

    Places are told of splits that were dealt by place; official ones may share them on purpose.

    Args:
        data: Opened data.
        split: The split.
    """
    rows = data.rows[split]
    found: dict[str, Sequence[str]] = {
        "scene": [data.names[row] for row in rows],
        "ground": _pairs(data, split),
    }
    if split in data.dealt:
        found["place"] = [data.place_names[place] for place in sorted(set(data.places[rows].tolist()))]
    return found


def fitted_on(data: PatchData) -> Mapping[str, Sequence[str]]:
    """Returns the scenes that means and standard deviations were computed from; nothing if the store does not tell."""
    return {} if data.fitted is None else {"scene": [data.names[row] for row in data.fitted]}


def _pairs(data: PatchData, split: SplitName) -> list[str]:
    boxes = comparable_boxes(data.crs, data.footprints)
    return [
        " and ".join(data.names[row] for row in sorted(pair))
        for other in SPLITS
        if other != split
        for pair in overlapping(boxes, data.rows[split], data.rows[other])
    ]
