"""Images and scans in physical units: what models take as arrays, and the batches that they become."""

from typing import Any

import numpy as np
import torch

from thalweg.contract import Batch
from thalweg.serving.quantities import Arrays, Quantity
from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.lidar import scan
from trainables.rgb_lidar.knobs import DataKnobs

PROBABILITY = Quantity(name=f"probability_of_{CLASSES[1]}", unit="1", dims=(), shape=())
"""What classifiers give."""


def image(inputs: DataKnobs, side: int) -> Quantity:
    """Returns the image that a model takes.

    Args:
        inputs: Channels.
        side: Height and width of images and scans.
    """
    return Quantity(
        name="rgb",
        unit="1/255",
        dims=("channel", "row", "column"),
        shape=(inputs.rgb_channels, side, side),
        meaning="red, green and blue from 0 to 255, and opacity if there are four channels",
    )


def distances(side: int) -> tuple[Quantity, ...]:
    """Returns the distances of a scan, and the angles of its rays."""
    depth = Quantity(
        name="depth",
        unit="m",
        dims=("row", "column"),
        shape=(side, side),
        meaning="distance of each ray; 50 if it did not come back",
    )
    angles: Any = (("azimuth", "row"), ("zenith", "column"))
    return depth, *(
        Quantity(name=name, unit="rad", dims=(dim,), shape=(side,), meaning=f"angle of each {dim}")
        for name, dim in angles
    )


def batch_of(inputs: Arrays, knobs: DataKnobs) -> Batch:
    """Returns the batch that a model reads, with ``rgb`` and ``lidar`` as far as they are given.

    Args:
        inputs: ``rgb`` (sample, channel, row, column); ``depth`` (sample, row, column), ``azimuth`` (sample, row) and
            ``zenith`` (sample, column).
        knobs: What the model reads of them.
    """
    found: Batch = {}
    if "rgb" in inputs:
        found["rgb"] = torch.from_numpy(inputs["rgb"]) / 255
    if "depth" in inputs:
        scans = [
            scan(depth[None], azimuth, zenith, lidar_repr=knobs.lidar_repr, lidar_norm=knobs.lidar_norm)
            for depth, azimuth, zenith in zip(
                inputs["depth"], inputs["azimuth"], inputs["zenith"], strict=True
            )
        ]
        found["lidar"] = torch.from_numpy(np.concatenate(scans))
    return found
