"""Samples batches of scenes, as tensors."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.contract import Batch, Indices, Keys, SplitName
from trainables.sentinel_supcon.data.augment import (
    Corners,
    central_corners,
    draw_corners,
    draw_views,
    warp,
    windows,
)
from trainables.sentinel_supcon.data.labels import classes_of_maps, without
from trainables.sentinel_supcon.data.loading import load
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.knobs import DataKnobs, ViewKnobs

Shown = Literal["both", "augmented", "original"]
"""Views of a scene in training: the augmented one before the original, or one of them alone."""

SENSORS = ("s1", "s2")


def training_batch(
    data: PatchData,
    indices: Indices,
    keys: Keys,
    inputs: DataKnobs,
    views: ViewKnobs,
    shown: Shown,
    sensors: Sequence[str] = SENSORS,
) -> Batch:
    """Samples training scenes; all that is random comes from their keys.

    A view shows a window of the scene, a random one if the scene is larger; with a map of classes, the labels are those
    of the window.

    Args:
        data: The data.
        indices: Sample numbers in the split ``train``.
        keys: One key for each.
        inputs: Size and scaling.
        views: Augmentations.
        shown: Which views are made; without augmentation there is the original alone.
        sensors: Sensors that are read.

    Returns:
        ``s1`` (batch, view, 2, size, size) and ``s2`` (batch, view, band, size, size) as fp32; ``label`` (batch,) as
        int64, -1 if it is ignored; ``multi`` (batch, class) as fp32.
    """
    rows = data.rows["train"][indices]
    size = inputs.size
    corners = draw_corners(keys, data.side, size)
    augmented = views.augment and shown != "original"
    made: dict[str, list[Tensor]] = {name: [] for name in sensors}
    for name, found in made.items():
        if not augmented:
            found.append(load(data, name, rows, inputs.scaling, corners, size))
            continue
        whole = load(data, name, rows, inputs.scaling, np.zeros_like(corners), data.side)
        affine = draw_views(keys, SENSORS.index(name), views, corners, data.side, size)
        found.append(warp(whole, affine, size))
        if shown == "both":
            found.append(windows(whole, corners, size))
    batch = {
        name: torch.stack(each, 1) if len(each) > 1 else each[0][:, None]  # a view of what may be large
        for name, each in made.items()
    }
    return batch | _labels(data, rows, corners, size)


def evaluation_batch(data: PatchData, split: SplitName, indices: Indices, inputs: DataKnobs) -> Batch:
    """Samples the central windows of scenes of a split; nothing about them is random.

    The labels are those of the whole scenes, whatever the size of the windows.

    Returns:
        As `training_batch`, with one view, and ``place`` (batch,), the number of the scene's place as int64.
    """
    rows = data.rows[split][indices]
    corners = central_corners(len(rows), data.side, inputs.size)
    batch = {name: load(data, name, rows, inputs.scaling, corners, inputs.size)[:, None] for name in SENSORS}
    return batch | {
        "label": torch.from_numpy(data.labels[rows]),
        "multi": torch.from_numpy(data.multi[rows].astype(np.float32)),
        "place": torch.from_numpy(data.places[rows]),
    }


def _labels(data: PatchData, rows: Int64[np.ndarray, " scene"], corners: Corners, size: int) -> Batch:
    labels, multi = data.labels[rows], data.multi[rows]
    if len(data.maps) and size < data.side:
        cut = np.stack(
            [
                data.maps[row, top : top + size, left : left + size]
                for row, (top, left) in zip(rows, corners, strict=True)
            ]
        )
        found, covered = classes_of_maps(cut, len(data.classes))
        labels = without(found, data.valid_classes)
        multi = covered & np.array(data.valid_classes, bool)
    return {"label": torch.from_numpy(labels), "multi": torch.from_numpy(multi.astype(np.float32))}
