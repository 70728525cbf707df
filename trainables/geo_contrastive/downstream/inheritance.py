"""Inheritance of a downstream task: the representation comes from one study, with its knobs."""

from collections.abc import Mapping

from trainables.geo_contrastive.config import GeoContrastive

_OF_PARTS = ("encoder", "decoder", "objective")


def inherit(config: GeoContrastive, starting_points: Mapping[str, GeoContrastive]) -> GeoContrastive:
    """Returns a configuration with the knobs of encoder, projector and decoder of the last starting point.

    A decoder understands the latents of the encoder that it was trained with, and no others: all parts come from one
    study, as do the variables that they know.

    Args:
        config: The configuration.
        starting_points: Configurations of the best trials of the studies that it starts from.
    """
    *_, theirs = starting_points.values()
    data = config.data.model_copy(update={"variables": theirs.data.variables})
    parts = {name: getattr(theirs, name) for name in _OF_PARTS}
    return config.model_copy(update={"data": data, **parts})
