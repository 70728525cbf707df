"""Inheritance of a fusion: what it takes from the studies that it starts from.

A study of chains gives its encoders, with the knobs of their layers and of how they read image and scan. A study of
fusions gives the whole model, which is trained further.
"""

from collections.abc import Mapping
from typing import Literal

from thalweg.errors import ConfigError
from thalweg.inheritance import Givers, named, taken
from trainables.rgb_lidar.chain.inheritance import shared_embedder
from trainables.rgb_lidar.chain.knobs import ChainKnobs, Part
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.knobs import EncoderKnobs, FusionKnobs

Sensor = Literal["rgb", "lidar"]

_READS: Mapping[Sensor, tuple[str, ...]] = {
    "rgb": ("rgb_channels",),
    "lidar": ("lidar_repr", "lidar_norm"),
}
_BLOCKS = ("downsampling", "channels", "max_channels", "depth")


def inherit(own: FusionKnobs, config: RGBLidar, starting_points: Mapping[str, RGBLidar]) -> RGBLidar:
    """Returns a configuration, in which the parts that starting points give have their knobs; the last of several wins.

    Args:
        own: Knobs of the fusion in the configuration.
        config: The configuration.
        starting_points: Configurations of the best trials of the studies that it starts from.

    Raises:
        ConfigError: A study of fusions is not the only starting point or fuses in another way, a chain has no embedder,
            the embedders of the two encoders have different knobs, pixels are fused, or ``num_parameters`` is set
            although a chain fixes all widths.
    """
    for study, given in starting_points.items():
        if isinstance(given.model, FusionKnobs):
            return _whole(own, config, study, given, tuple(starting_points))
    givers: Givers[Sensor, RGBLidar] = Givers(starting_points, _given, _useless)
    embedder = shared_embedder(givers, "encoders")
    if embedder is None:
        return config
    data = config.data
    for sensor in givers.studies:
        data = taken(data, givers.config_of(sensor).data, _READS[sensor])
    model = taken(own, embedder, _shared_names(own))
    return config.model_copy(update={"model": model, "data": data})


def _whole(
    own: FusionKnobs, config: RGBLidar, study: str, given: RGBLidar, studies: tuple[str, ...]
) -> RGBLidar:
    theirs = given.model
    assert isinstance(theirs, FusionKnobs)
    if len(studies) > 1:
        raise ConfigError(
            "encoders and head of a fusion belong together, so a study of fusions must be the only one in "
            f"starts_from, got {', '.join(studies)}; name {study!r} alone, or studies of chains"
        )
    asked, met = (f"{knobs.fusion_stage} {knobs.fusion}" for knobs in (own, theirs))
    if asked != met:
        raise ConfigError(
            "a fusion must meet as in the study of fusions that it starts from, for its head was trained for that, "
            f"got {asked!r} where {study!r} has {met!r}; set model.fusion_stage and model.fusion so, or start from a "
            "study of chains, which gives encoders alone"
        )
    data = taken(config.data, given.data, (*_READS["rgb"], *_READS["lidar"]))
    return config.model_copy(update={"model": theirs, "data": data})


def _given(study: str, given: RGBLidar) -> list[Sensor]:
    return [sensor for sensor in _READS if sensor in _parts(given)]


def _useless(study: str, given: RGBLidar) -> str:
    return (
        f"a fusion must start from studies with an embedder, got {study!r} with {named(_parts(given))}; "
        "name one that has the stage cilp"
    )


def _parts(config: RGBLidar) -> frozenset[Part]:
    assert isinstance(config.model, ChainKnobs)
    return config.model.parts


def _shared_names(own: FusionKnobs) -> tuple[str, ...]:
    """Returns the names of the knobs of the layers that the encoders share with an embedder."""
    if own.fusion_stage == "early":
        raise ConfigError(
            "encoders of a chain read one sensor, so a fusion that starts from them must have an encoder for each, got "
            "model.fusion_stage 'early'; set it to 'intermediate' or 'late', or leave starts_from out"
        )
    if own.fusion_stage == "intermediate":
        return _BLOCKS
    if own.num_parameters is not None:
        raise ConfigError(
            "model.num_parameters must be None for a late fusion that starts from a chain, for the widths are those of "
            f"the chain's embedders, got {own.num_parameters:,}; leave it out, or set fusion_stage to 'intermediate'"
        )
    return (*EncoderKnobs.model_fields, "embedding_dim")
