"""Inheritance of a chain: which parts and knobs it takes from the studies that it starts from.

A part that is taken has the weights and the knobs of its starting point, including how it reads image and scan,
whatever the configuration says. A part that a stage of the trial makes is trained from scratch with the trial's own
knobs, even if a starting point has this part. With ``continue_parts``, such parts are taken as well, and the stages
train them further.
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
    """Returns a configuration, in which the parts that starting points give have their knobs; the last of several wins.

    Args:
        own: Knobs of the chain in the configuration.
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
    """Returns the knobs of the embedders that starting points give; None if they give none.

    Args:
        givers: The study that gives each part.
        networks: What the embedders are used as, in words.

    Raises:
        ConfigError: The embedders of image and scan come from studies with different knobs.
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
    """Returns the knobs for reading scans, which must be equal in all studies that give parts that read scans."""
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
