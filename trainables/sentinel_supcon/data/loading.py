"""Copies scenes out of the store into batches, standardised or divided by their maxima.

A copy converts one scene after the other and scales some at once while they are in the processor's cache, so that
memory is passed once: a batch costs little more than a plain copy of its bytes.

A batch takes the memory of one that nobody holds any longer; to clear new memory would take as long as reading scenes.
"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, Shaped
from torch import Tensor

from thalweg.data.placement import empty
from trainables.sentinel_supcon.data.augment import Corners, windows
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.data.units import REFLECTANCE
from trainables.sentinel_supcon.knobs import Scaling

_CACHED = 1 << 18  # values that are scaled at once
_DB_RANGE = (-25.0, 0.0)
_MAX_NUMBER = 1e4
_EPSILON = 1e-5  # keeps an image of zeros finite

Rows = Int64[np.ndarray, " scene"]


def load(
    data: PatchData, sensor: str, rows: Rows, scaling: Scaling, corners: Corners, size: int
) -> Float32[Tensor, "scene band size size"]:
    """Returns the windows of scenes that one sensor saw.

    Args:
        data: The data.
        sensor: ``s1`` or ``s2``.
        rows: The scenes.
        scaling: Standardised by the training split, or each band divided by its maximum in the whole scene.
        corners: Row and column at which the windows begin.
        size: Their side.
    """
    part, unit = (slice(0, 2), 1.0) if sensor == "s1" else (slice(2, None), REFLECTANCE)
    images, columns = (data.s1, np.arange(2)) if sensor == "s1" else (data.s2, data.columns)
    if scaling == "image_max":
        whole = gathered(images, columns, rows, np.zeros_like(corners), data.side, ())
        return windows(by_maximum(whole, decibels=sensor == "s1" and data.unit == "dB"), corners, size)
    return gathered(images, columns, rows, corners, size, (data.mean[part] * unit, data.std[part] * unit))


def gathered(
    images: Shaped[np.ndarray, "all stored side side"],
    columns: Int64[np.ndarray, " band"],
    rows: Rows,
    corners: Corners,
    size: int,
    statistics: tuple[Float64[np.ndarray, " band"], ...],
) -> Float32[Tensor, "scene band size size"]:
    """Copies windows out of an array as fp32.

    Args:
        images: The array.
        columns: Position of each band in it.
        rows: Scenes in it.
        corners: Row and column at which the windows begin.
        size: Their side.
        statistics: Mean and standard deviation of each band, to standardise by; empty: numbers stay as they are.
    """
    tensor = empty(len(rows), len(columns), size, size)
    found = tensor.numpy()
    every = np.array_equal(columns, np.arange(images.shape[1]))
    scale = [_column(1 / statistics[1]), _column(-statistics[0] / statistics[1])] if statistics else []
    step = max(1, _CACHED // (len(columns) * size * size))
    for at, (row, (top, left)) in enumerate(zip(rows.tolist(), corners.tolist(), strict=True)):
        window = images[row, :, top : top + size, left : left + size]
        found[at] = window if every else window[columns]
        if scale and ((at + 1) % step == 0 or at + 1 == len(rows)):
            tensor[at // step * step : at + 1].mul_(scale[0]).add_(scale[1])
    return tensor


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


def _column(values: Iterable[float]) -> Float32[Tensor, "band 1 1"]:
    return torch.tensor(list(values), dtype=torch.float32)[:, None, None]
