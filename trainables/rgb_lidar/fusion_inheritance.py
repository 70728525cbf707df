"""What a fusion takes from the study that it starts from.

A study of chains gives the encoders that it has, and with them the knobs they were trained with: how they read image
and scan, and their layers. A study of fusions gives the whole model, which then trains on.
"""

from collections.abc import Mapping
from typing import Any, Literal

from thalweg.errors import ConfigError
from trainables.rgb_lidar.chain_knobs import ChainKnobs, EmbedderKnobs
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.knobs import DataKnobs, EncoderKnobs, FusionKnobs

Sensor = Literal["rgb", "lidar"]

_READS: Mapping[Sensor, tuple[str, ...]] = {
    "rgb": ("rgb_channels",),
    "lidar": ("lidar_repr", "lidar_norm"),
}
_BLOCKS = ("downsampling", "channels", "max_channels", "depth")


def inherit(own: FusionKnobs, config: RGBLidar, sources: Mapping[str, RGBLidar]) -> RGBLidar:
    """Returns a configuration with the knobs of all that its sources give; of two, the later one's.

    Args:
        own: Its knobs of the fusion.
        config: The configuration.
        sources: Configurations of the best trials of the studies that it starts from.

    Raises:
        ConfigError: A fusion is not the only source or meets in another way, a chain has no embedder, both encoders
            come from embedders of different knobs, or the knobs that a source gives leave no width to match a size.
    """
    for study, source in sources.items():
        if isinstance(source.model, FusionKnobs):
            return _whole(own, config, study, source, tuple(sources))
    givers: dict[Sensor, str] = {}
    for study, source in sources.items():
        givers |= dict.fromkeys(_given(study, source), study)
    if not givers:
        return config
    data = config.data
    for sensor, study in givers.items():
        data = _read_alike(data, sources[study].data, _READS[sensor])
    update = _encoder(own, _embedder(givers, sources))
    return config.model_copy(update={"model": own.model_copy(update=update), "data": data})


def _whole(
    own: FusionKnobs, config: RGBLidar, study: str, source: RGBLidar, studies: tuple[str, ...]
) -> RGBLidar:
    theirs = source.model
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
    data = _read_alike(config.data, source.data, (*_READS["rgb"], *_READS["lidar"]))
    return config.model_copy(update={"model": theirs, "data": data})


def _given(study: str, source: RGBLidar) -> list[Sensor]:
    theirs = source.model
    assert isinstance(theirs, ChainKnobs)
    sensors: tuple[Sensor, ...] = ("rgb", "lidar")
    found = [sensor for sensor in sensors if sensor in theirs.parts]
    if not found:
        raise ConfigError(
            f"a fusion must start from studies with an embedder, got {study!r} with {', '.join(sorted(theirs.parts))}; "
            "name one that has the stage cilp"
        )
    return found


def _embedder(givers: Mapping[Sensor, str], sources: Mapping[str, RGBLidar]) -> EmbedderKnobs:
    models = [sources[study].model for study in givers.values()]
    embedders = [model.embedder for model in models if isinstance(model, ChainKnobs)]
    if embedders[0] != embedders[-1]:
        raise ConfigError(
            f"both encoders share their knobs, got rgb from {givers['rgb']!r} and lidar from {givers['lidar']!r}, "
            "which differ in model.embedder; take both from one study"
        )
    return embedders[0]


def _encoder(own: FusionKnobs, embedder: EmbedderKnobs) -> dict[str, Any]:
    """Returns the knobs of the layers that the encoders share with an embedder."""
    if own.fusion_stage == "intermediate":
        return {name: getattr(embedder, name) for name in _BLOCKS}
    if own.num_parameters is not None:
        raise ConfigError(
            "model.num_parameters must be None for a late fusion that starts from a chain, for the widths are those of "
            f"the chain's embedders, got {own.num_parameters:,}; leave it out, or set fusion_stage to 'intermediate'"
        )
    return {name: getattr(embedder, name) for name in (*EncoderKnobs.model_fields, "embedding_dim")}


def _read_alike(own: DataKnobs, theirs: DataKnobs, names: tuple[str, ...]) -> DataKnobs:
    return own.model_copy(update={name: getattr(theirs, name) for name in names})
