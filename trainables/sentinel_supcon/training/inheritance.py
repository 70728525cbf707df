"""What a trial takes from the studies that it starts from: encoders, with the inputs that they were trained for."""

from collections.abc import Mapping

from thalweg.errors import ConfigError
from thalweg.inheritance import taken
from trainables.sentinel_supcon.config import SentinelSupCon

_INPUTS = ("optical", "size", "scaling")
_ENCODERS = ("backbone", "embedding_dim", "num_prototypes", "width")


def inherit(config: SentinelSupCon, starting_points: Mapping[str, SentinelSupCon]) -> SentinelSupCon:
    """Returns a configuration with the encoders and inputs of the last starting point; heads and fusion are its own.

    Args:
        config: The configuration.
        starting_points: Configurations of the best trials of the studies that it starts from.

    Raises:
        ConfigError: The study has no encoder of a sensor, or the knobs do not go together.
    """
    *_, (study, given) = starting_points.items()
    if missing := [sensor for sensor in config.model.sensors if sensor not in given.model.sensors]:
        raise ConfigError(
            f"a study in starts_from must have trained an encoder of each sensor of model.scenario "
            f"{config.model.scenario!r}, got {study!r} without {' and '.join(missing)}; take the scenario "
            f"{given.model.scenario!r}, or another study"
        )
    return config.vary(
        data=taken(config.data, given.data, _INPUTS), model=taken(config.model, given.model, _ENCODERS)
    )
