"""Imputation without leakage: fills gaps from the same patch and day, or from earlier days.

A patch is shown to a model or masked as a whole. A missing value is imputed from the rest of its own patch on the same
day, so that it is masked together with the values that it was computed from.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

FillMethod = Literal["zero", "nearest", "median"]


def fill_pixels(
    values: Float32[np.ndarray, "day patch pixel"],
    known: Bool[np.ndarray, "day patch pixel"],
    gaps: Bool[np.ndarray, "day patch pixel"],
    method: FillMethod | None,
    otherwise: float,
) -> Float32[np.ndarray, "day patch pixel"]:
    """Returns square patches with their gaps filled.

    Args:
        values: The patches.
        known: Where there are data.
        gaps: The pixels to fill.
        method: ``zero``; ``nearest``, the nearest pixel of the patch with data on the same day, the first of several;
            or ``median``, over the pixels of the patch with data on the same day. None fills with `otherwise`.
        otherwise: The value of a gap if `method` finds no data in the patch.
    """
    filled = values.copy()
    filled[gaps] = 0 if method == "zero" else otherwise
    if method == "zero" or method is None:
        return filled
    some: Bool[np.ndarray, "day patch"] = np.logical_and(gaps.any(axis=2), known.any(axis=2))
    for patch in np.flatnonzero(some.any(axis=0)):
        days = np.flatnonzero(some[:, patch])
        here = values[days, patch], known[days, patch], gaps[days, patch]
        filled[days, patch] = (_from_median if method == "median" else _from_nearest)(
            *here, filled[days, patch]
        )
    return filled


def _from_median(
    values: Float32[np.ndarray, "day pixel"],
    known: Bool[np.ndarray, "day pixel"],
    gaps: Bool[np.ndarray, "day pixel"],
    filled: Float32[np.ndarray, "day pixel"],
) -> Float32[np.ndarray, "day pixel"]:
    medians = np.nanmedian(np.where(known, values, np.float32(np.nan)), axis=1, keepdims=True)
    return np.where(gaps, medians, filled)


def _from_nearest(
    values: Float32[np.ndarray, "day pixel"],
    known: Bool[np.ndarray, "day pixel"],
    gaps: Bool[np.ndarray, "day pixel"],
    filled: Float32[np.ndarray, "day pixel"],
) -> Float32[np.ndarray, "day pixel"]:
    patterns, which = np.unique(np.concatenate([known, gaps], axis=1), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):  # the same pixels are missing on most days
        sources, missing = (np.flatnonzero(part) for part in np.split(pattern, 2))
        days = np.flatnonzero(which.ravel() == number)
        nearest = sources[_squares(missing, sources, values.shape[1]).argmin(axis=1)]
        filled[np.ix_(days, missing)] = values[np.ix_(days, nearest)]
    return filled


def _squares(
    missing: Int64[np.ndarray, " missing"], sources: Int64[np.ndarray, " source"], num_pixels: int
) -> Int64[np.ndarray, "missing source"]:
    """Returns the squared distances between pixels of a square patch."""
    rows_cols = np.stack(np.divmod(np.arange(num_pixels), round(num_pixels**0.5)), axis=1)
    squares: Int64[np.ndarray, "missing source"] = np.square(
        rows_cols[missing][:, None] - rows_cols[sources]
    ).sum(axis=2)
    return squares


def fill_members(
    values: Float32[np.ndarray, "*day patch member"],
    known: Bool[np.ndarray, "*day patch member"],
    gaps: Bool[np.ndarray, "*day patch member"],
) -> Float32[np.ndarray, "*day patch member"]:
    """Returns patches whose gaps hold the mean of the members with data on the same day; 0 if there are none.

    So the mean over the patch is the mean over the members with data.
    """
    count = known.sum(axis=-1, keepdims=True)
    total = np.where(known, values, 0).sum(axis=-1, keepdims=True, dtype=np.float64)
    return np.where(gaps, (total / np.maximum(count, 1)).astype(np.float32), values)


def carried_forward(
    values: Float[Tensor, "batch modality step *place"], known: Bool[Tensor, "batch modality step *place"]
) -> Float[Tensor, "batch modality step *place"]:
    """Returns windows with each missing value replaced by the last one with data at its place, if there is one.

    Causal: nothing depends on later steps.
    """
    steps = torch.arange(values.shape[2], device=values.device).reshape(-1, *[1] * (values.ndim - 3))
    last = torch.where(known, steps, -1).cummax(dim=2).values
    return torch.where(last >= 0, values.gather(2, last.clamp(min=0)), values)
