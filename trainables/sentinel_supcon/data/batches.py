"""Samples batches of scenes, as tensors."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
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
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.data.units import REFLECTANCE
from trainables.sentinel_supcon.knobs import DataKnobs, Scaling, ViewKnobs

Shown = Literal["both", "augmented", "original"]
"""Views of a scene in training: the augmented one before the original, or one of them alone."""

_DB_RANGE = (-25.0, 0.0)
_MAX_NUMBER = 1e4
_EPSILON = 1e-5  # keeps an image of zeros finite


def training_batch(
    data: PatchData, indices: Indices, keys: Keys, inputs: DataKnobs, views: ViewKnobs, shown: Shown
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

    Returns:
        ``s1`` (batch, view, 2, size, size) and ``s2`` (batch, view, band, size, size) as fp32; ``label`` (batch,) as
        int64, -1 if it is ignored; ``multi`` (batch, class) as fp32.
    """
    rows = data.rows["train"][indices]
    size = inputs.size
    corners = draw_corners(keys, data.side, size)
    made: dict[str, list[Tensor]] = {"s1": [], "s2": []}
    for sensor, (name, image) in enumerate(_images(data, rows, inputs.scaling).items()):
        if views.augment and shown != "original":
            affine = draw_views(keys, sensor, views, corners, data.side, size)
            made[name].append(warp(image, affine, size))
        if not views.augment or shown != "augmented":
            made[name].append(windows(image, corners, size))
    batch = {name: torch.stack(each, 1) for name, each in made.items()}
    return batch | _labels(data, rows, corners, size)


def evaluation_batch(data: PatchData, split: SplitName, indices: Indices, inputs: DataKnobs) -> Batch:
    """Samples the central windows of scenes of a split; nothing about them is random.

    The labels are those of the whole scenes, whatever the size of the windows.

    Returns:
        As `training_batch`, with one view, and ``place`` (batch,), the number of the scene's place as int64.
    """
    rows = data.rows[split][indices]
    corners = central_corners(len(rows), data.side, inputs.size)
    batch = {
        name: windows(image, corners, inputs.size)[:, None]
        for name, image in _images(data, rows, inputs.scaling).items()
    }
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


def _images(data: PatchData, rows: Int64[np.ndarray, " scene"], scaling: Scaling) -> dict[str, Tensor]:
    """Returns the scaled images of whole scenes, by sensor."""
    s1 = torch.from_numpy(data.s1[rows])
    stored = data.s2[rows]
    if len(data.columns) < stored.shape[1] or (np.diff(data.columns) != 1).any():
        stored = stored[:, data.columns]
    s2 = torch.from_numpy(stored).float()
    if scaling == "image_max":
        return {"s1": by_maximum(s1, decibels=data.unit == "dB"), "s2": by_maximum(s2, decibels=False)}
    return {
        "s1": _standardised(s1, data.mean[:2], data.std[:2], 1.0),
        "s2": _standardised(s2, data.mean[2:], data.std[2:], REFLECTANCE),
    }


def _standardised(
    images: Float32[Tensor, "scene band row col"],
    mean: Float64[np.ndarray, " band"],
    std: Float64[np.ndarray, " band"],
    unit: float,
) -> Tensor:
    """Returns images, which may be changed in place, minus the mean over the standard deviation of each band."""
    shape = (1, len(mean), 1, 1)
    mean_of = torch.from_numpy((mean * unit).astype(np.float32)).view(shape)
    factor = torch.from_numpy((1 / (std * unit)).astype(np.float32)).view(shape)
    return images.sub_(mean_of).mul_(factor)


def by_maximum(images: Float32[Tensor, "scene band row col"], *, decibels: bool) -> Tensor:
    """Divides each band by its maximum in the image, as published: what is bright in all of it is lost.

    Args:
        images: Backscatter in dB, which is clipped to [-25, 0] and shifted by 25, or positive numbers, which are
            clipped to [0, 10000].
        decibels: Whether they are in dB.
    """
    low, high = _DB_RANGE if decibels else (0.0, _MAX_NUMBER)
    clipped = images.clamp(low, high) - low
    return clipped / (clipped.amax((2, 3), keepdim=True) + _EPSILON)
