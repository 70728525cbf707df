"""Predicts in physical units what a chain has learnt: with all of its stages, from images alone."""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from thalweg.serving.quantities import Arrays, Quantity
from trainables.rgb_lidar.chain.knobs import ChainKnobs
from trainables.rgb_lidar.chain.model import ChainNetwork
from trainables.rgb_lidar.data.physical import PROBABILITY, batch_of, distances, image
from trainables.rgb_lidar.knobs import DataKnobs


def quantities(
    knobs: ChainKnobs, inputs: DataKnobs, side: int
) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
    """Returns what a chain takes and gives.

    A whole chain takes an image and gives the probability of a sphere; it needs no scan. One that lacks the projector
    gives what its stages were trained for: embeddings of image and scan, and the probability by the scan.

    Args:
        knobs: Stages and architecture.
        inputs: Channels.
        side: Height and width of images and scans.
    """
    if knobs.classifies:
        return (image(inputs, side),), (PROBABILITY,)
    taken: tuple[Quantity, ...] = (image(inputs, side),) if "rgb" in knobs.parts else ()
    if {"lidar", "classifier"} & knobs.parts:
        taken += distances(side)
    return taken, tuple(_given(knobs))


def predict(model: nn.Module, inputs: Arrays, knobs: ChainKnobs, channels: DataKnobs) -> Arrays:
    """Predicts what `quantities` names.

    Args:
        model: The `ChainNetwork`.
        inputs: ``rgb`` (sample, channel, row, column); for a chain without projector also ``depth`` (sample, row,
            column), ``azimuth`` (sample, row) and ``zenith`` (sample, column).
        knobs: Stages and architecture.
        channels: What the model reads of the inputs.
    """
    network, batch = cast(ChainNetwork, model), batch_of(inputs, channels)
    if knobs.classifies:
        return {PROBABILITY.name: network.odds(batch).sigmoid().numpy()}
    found: dict[str, torch.Tensor] = {}
    if "rgb" in knobs.parts:
        found["rgb_embedding"] = network.rgb_embedding(batch).float()
    if "lidar" in knobs.parts:
        found["lidar_embedding"] = network.lidar_embedding(batch).float()
    if "classifier" in knobs.parts:
        found[PROBABILITY.name] = network.lidar_odds(batch).sigmoid()
    return {name: values.numpy() for name, values in found.items()}


def _given(knobs: ChainKnobs) -> Iterator[Quantity]:
    for part in ("rgb", "lidar"):
        if part in knobs.parts:
            yield Quantity(
                name=f"{part}_embedding",
                unit="1",
                dims=("dimension",),
                shape=(knobs.embedder.embedding_dim,),
                meaning="of length 1; the cosine of those of an image and a scan tells whether they belong together",
            )
    if "classifier" in knobs.parts:
        yield replace(PROBABILITY, meaning="by the scan alone")
