"""Predicts in physical units: the probability of a sphere from an image and a scan."""

import numpy as np
import torch
from torch import nn

from thalweg.serving.quantities import Arrays, Quantity
from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.lidar import scan
from trainables.rgb_lidar.evaluation.classification import log_odds
from trainables.rgb_lidar.knobs import DataKnobs

PROBABILITY = f"probability_of_{CLASSES[1]}"


def quantities(inputs: DataKnobs, side: int) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
    """Returns image, distances and angles, and the probability.

    Args:
        inputs: Channels.
        side: Height and width of images and scans.
    """
    taken = (
        Quantity(
            name="rgb",
            unit="1/255",
            dims=("channel", "row", "column"),
            shape=(inputs.rgb_channels, side, side),
            meaning="red, green and blue from 0 to 255, and opacity if there are four channels",
        ),
        Quantity(
            name="depth",
            unit="m",
            dims=("row", "column"),
            shape=(side, side),
            meaning="distance of each ray; 50 if it did not come back",
        ),
        Quantity(name="azimuth", unit="rad", dims=("row",), shape=(side,), meaning="angle of each row"),
        Quantity(name="zenith", unit="rad", dims=("column",), shape=(side,), meaning="angle of each column"),
    )
    return taken, (Quantity(name=PROBABILITY, unit="1", dims=(), shape=()),)


def predict(model: nn.Module, inputs: Arrays, knobs: DataKnobs) -> Arrays:
    """Classifies scenes.

    Args:
        model: The model.
        inputs: ``rgb`` (sample, channel, row, column), ``depth`` (sample, row, column), ``azimuth`` (sample, row) and
            ``zenith`` (sample, column).
        knobs: What the model reads of them.
    """
    scans = [
        scan(depth[None], azimuth, zenith, lidar_repr=knobs.lidar_repr, lidar_norm=knobs.lidar_norm)
        for depth, azimuth, zenith in zip(inputs["depth"], inputs["azimuth"], inputs["zenith"], strict=True)
    ]
    batch = {"rgb": torch.from_numpy(inputs["rgb"]) / 255, "lidar": torch.from_numpy(np.concatenate(scans))}
    return {PROBABILITY: log_odds(model(batch)).sigmoid().numpy()}
