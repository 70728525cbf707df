"""Geometry of views: windows of scenes, mirrored, rotated and enlarged by one affine map for each scene.

All of it is drawn from a scene's key, so that a view is the same in any batch, process or loader. Values between pixels
are interpolated bilinearly, those of radar in dB. Beyond the edge a scene is mirrored: no value appears that it does
not hold.
"""

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor
from torch.nn import functional

from thalweg.contract import Keys
from thalweg.hashing import splitmix64
from trainables.sentinel_supcon.knobs import ViewKnobs

_WINDOW = 0  # counters of what is drawn; those of a sensor's own geometry begin at a hundred times its number
_FLIP, _ANGLE, _AREA, _PLACE = 10, 20, 30, 40

Corners = Int64[np.ndarray, "scene 2"]


def draw_corners(keys: Keys, side: int, size: int) -> Corners:
    """Draws the row and column at which the window of each scene begins."""
    shares = np.stack([_uniform(keys, _WINDOW + axis) for axis in (0, 1)], -1)
    return (shares * (side - size + 1)).astype(np.int64)


def central_corners(count: int, side: int, size: int) -> Corners:
    """Returns the row and column at which central windows begin."""
    return np.full((count, 2), (side - size) // 2, np.int64)


def windows(images: Float32[Tensor, "scene band row col"], corners: Corners, size: int) -> Tensor:
    """Returns the window of each image as (scene, band, size, size)."""
    if images.shape[-1] == size:
        return images
    cut = [
        image[:, row : row + size, column : column + size]
        for image, (row, column) in zip(images, corners.tolist(), strict=True)
    ]
    return torch.stack(cut)


def draw_views(
    keys: Keys, sensor: int, knobs: ViewKnobs, corners: Corners, side: int, size: int
) -> Float32[Tensor, "scene 2 3"]:
    """Draws the affine map of each scene from positions in its view to positions in the whole scene, both in [-1, 1].

    A view is a part of the scene's window: mirrored, rotated around the middle of the part, enlarged.

    Args:
        keys: One key for each scene.
        sensor: 0 or 1; ignored if both sensors get the same geometry.
        knobs: Augmentations.
        corners: Where the windows begin.
        side: Side of the whole scene.
        size: Side of the window, and of the view.
    """
    own = 0 if knobs.paired_geometry else 100 * sensor

    def drawn(purpose: int) -> Float64[np.ndarray, " scene"]:
        return _uniform(keys, own + purpose)

    signs = np.stack([np.where(knobs.flip & (drawn(_FLIP + axis) < 0.5), -1.0, 1.0) for axis in (0, 1)], -1)
    angle = np.deg2rad(knobs.rotation) * (2 * drawn(_ANGLE) - 1)
    scale = np.sqrt(1 - (1 - knobs.min_crop) * drawn(_AREA))
    shift = np.stack([(1 - scale) * (2 * drawn(_PLACE + axis) - 1) for axis in (0, 1)], -1)
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    part = turned * signs[:, None, :] * scale[:, None, None]
    middle = 2 * (corners[:, ::-1] + size / 2) / side - 1  # column before row, as in grids
    affine = np.concatenate((part, shift[..., None]), -1) * (size / side)
    affine[..., 2] += middle
    return torch.from_numpy(affine.astype(np.float32))


def warp(
    images: Float32[Tensor, "scene band row col"], affine: Float32[Tensor, "scene 2 3"], size: int
) -> Float32[Tensor, "scene band size size"]:
    """Returns the views of images that affine maps describe."""
    shape = [len(images), images.shape[1], size, size]
    grid = functional.affine_grid(affine, shape, align_corners=False)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def _uniform(keys: Keys, counter: int) -> Float64[np.ndarray, " scene"]:
    """Returns a number in [0, 1) for each key."""
    return (splitmix64(splitmix64(keys) ^ np.uint64(counter)) >> np.uint64(11)) * 2.0**-53
