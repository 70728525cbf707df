"""What a chain takes from the studies that it starts from.

A part that is taken always follows its starting point: weights and knobs come from there, whatever the configuration
asks, and with them how the parts read image and scan. A part that a stage of the trial makes never does: it begins anew
with the trial's own knobs, even if a starting point has one too. Only with ``continue_parts`` are parts taken that
stages make: then these go on where the starting point ended.
"""

from collections.abc import Mapping
from typing import Any

from thalweg.errors import ConfigError
from thalweg.inheritance import Givers, named, taken
from trainables.rgb_lidar.chain.knobs import MAKES, STAGES, ChainKnobs, EmbedderKnobs, Part
from trainables.rgb_lidar.config import RGBLidar

_READS_SCANS: tuple[Part, ...] = ("lidar", "classifier")
_CONVENTION = ("lidar_repr", "lidar_norm")


def inherit(own: ChainKnobs, config: RGBLidar, starting_points: Mapping[str, RGBLidar]) -> RGBLidar:
    """Returns a configuration with the knobs of all parts that its starting points give; of two, the later one's.

    Args:
        own: Its knobs of the chain.
        config: The configuration.
        starting_points: Configurations of the best trials of the studies that it starts from.

    Raises:
        ConfigError: A starting point is no chain or gives no part, a part is still missing, parts that read scans come
            from studies that read them differently, or a projector comes without the parts that it was trained for.
    """
    givers: Givers[Part, RGBLidar] = Givers(
        starting_points,
        lambda study, theirs: _chain(study, theirs).parts & own.taken,
        lambda study, theirs: _useless(study, _chain(study, theirs), own),
    )
    givers.require(own.missing, f"the stages {own.stages}", _makers)
    if "projector" in own.taken - own.made:
        givers.require_partners("projector", ("rgb", "classifier"), own.made, "projector")
    shared_embedder(givers, "embedders")
    data = config.data.model_copy(update=_convention(givers))
    if "rgb" in givers.studies:
        data = taken(data, givers.config_of("rgb").data, ["rgb_channels"])
    model = own.model_copy(update=givers.knobs(_knobs))
    return config.model_copy(update={"model": model, "data": data})


def shared_embedder(givers: Givers[Any, RGBLidar], networks: str) -> EmbedderKnobs | None:
    """Returns the knobs of the embedders that studies of chains give; None if they give none.

    Args:
        givers: The studies.
        networks: What is made of the embedders, in words.

    Raises:
        ConfigError: Those of image and scan come from studies in which they differ.
    """
    return givers.shared(
        ("rgb", "lidar"),
        lambda theirs: _chain_knobs(theirs).embedder,
        law=f"both {networks} share their knobs",
        differ_in="model.embedder",
        way_out="take both from one study",
    )


def _chain(study: str, config: RGBLidar) -> ChainKnobs:
    if not isinstance(config.model, ChainKnobs):
        raise ConfigError(
            f"a chain must start from studies of chains, got {study!r}, a study of fusions; name another in starts_from"
        )
    return config.model


def _chain_knobs(config: RGBLidar) -> ChainKnobs:
    assert isinstance(config.model, ChainKnobs)
    return config.model


def _useless(study: str, theirs: ChainKnobs, own: ChainKnobs) -> str:
    made = f" and {', '.join(own.stages)} make {named(own.made)}" if own.made else ""
    return (
        f"a study in starts_from must give a part that this chain takes, got {study!r} with {named(theirs.parts)} "
        f"where it takes {named(own.taken)}{made}; leave it out, change model.stages, or set model.continue_parts "
        "for stages to go on with its parts"
    )


def _knobs(part: Part, config: RGBLidar) -> dict[str, Any]:
    theirs = _chain_knobs(config)
    knobs: Mapping[Part, dict[str, Any]] = {
        "rgb": {"embedder": theirs.embedder},
        "lidar": {"embedder": theirs.embedder, "similarity": theirs.similarity},
        "classifier": {"classifier": theirs.classifier},
        "projector": {"projector": theirs.projector},
    }
    return knobs[part]


def _convention(givers: Givers[Part, RGBLidar]) -> dict[str, str]:
    """Returns how parts that read scans read them, which must be the same way in all studies that give them."""
    way = givers.shared(
        [part for part in givers.studies if part in _READS_SCANS],
        lambda theirs: {name: getattr(theirs.data, name) for name in _CONVENTION},
        law="parts that read scans must come from studies that read them alike",
        way_out="start from one of these studies, or search the other anew with the same data.lidar_repr and "
        "lidar_norm",
    )
    return way or {}


def _makers(parts: frozenset[Part]) -> str:
    return " and ".join(stage for stage in STAGES if MAKES[stage] & parts)
