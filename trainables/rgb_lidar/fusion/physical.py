"""Predicts in physical units: the probability of a sphere from an image and a scan."""

from torch import nn

from thalweg.serving.quantities import Arrays, Quantity
from trainables.rgb_lidar.data.physical import PROBABILITY, batch_of, distances, image
from trainables.rgb_lidar.evaluation.classification import log_odds
from trainables.rgb_lidar.knobs import DataKnobs


def quantities(inputs: DataKnobs, side: int) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
    """Returns image, distances and angles, and the probability.

    Args:
        inputs: Channels.
        side: Height and width of images and scans.
    """
    return (image(inputs, side), *distances(side)), (PROBABILITY,)


def predict(model: nn.Module, inputs: Arrays, knobs: DataKnobs) -> Arrays:
    """Classifies scenes.

    Args:
        model: The model.
        inputs: ``rgb`` (sample, channel, row, column), ``depth`` (sample, row, column), ``azimuth`` (sample, row) and
            ``zenith`` (sample, column).
        knobs: What the model reads of them.
    """
    return {PROBABILITY.name: log_odds(model(batch_of(inputs, knobs))).sigmoid().numpy()}
