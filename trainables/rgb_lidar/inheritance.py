"""What a chain takes from the studies that it starts from.

A part that is taken always follows its source: weights and knobs come from there, whatever the configuration asks, and
with them how the parts read image and scan. A part that a stage of the trial makes never does: it begins anew with the
trial's own knobs, even where a source has one too. Only with ``continue_parts`` are parts taken that stages make: then
these go on where the source ended.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from thalweg.errors import ConfigError
from trainables.rgb_lidar.chain_knobs import MAKES, STAGES, ChainKnobs, Part
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.knobs import DataKnobs

_READS_SCANS: frozenset[Part] = frozenset({"lidar", "classifier"})


def inherit(own: ChainKnobs, config: RGBLidar, sources: Mapping[str, RGBLidar]) -> RGBLidar:
    """Returns a configuration with the knobs of all parts that its sources give; of two, the later one's.

    Args:
        own: Its knobs of the chain.
        config: The configuration.
        sources: Configurations of the best trials of the studies that it starts from.

    Raises:
        ConfigError: A source is no chain or gives no part, a part is still missing, parts that read scans come from
            sources that read them differently, or a projector comes without the parts that it was trained for.
    """
    givers: dict[Part, str] = {}
    for study, source in sources.items():
        givers |= dict.fromkeys(sorted(_given(study, source, own)), study)
    if missing := own.missing - set(givers):
        raise ConfigError(
            f"studies in starts_from must have trained what the stages {own.stages} need, got none of "
            f"{', '.join(sources)} with {_named(missing)}; add the stage {_makers(missing)} or a study that has it"
        )
    _check_belonging(own, givers, sources)
    model, data = own, config.data
    for part, study in givers.items():
        source = sources[study]
        model = _take(part, model, source)
        if part == "rgb":
            data = data.model_copy(update={"rgb_channels": source.data.rgb_channels})
    data = data.model_copy(update=_convention({study: sources[study] for study in _scanners(givers)}))
    return config.model_copy(update={"model": model, "data": data})


def _check_belonging(own: ChainKnobs, givers: Mapping[Part, str], sources: Mapping[str, RGBLidar]) -> None:
    """Refuses a projector without the networks that it was trained for, and embedders whose shared knobs differ."""
    if "projector" in own.taken - own.made:
        study = givers["projector"]
        partners: tuple[Part, ...] = ("rgb", "classifier")
        strangers = {
            part: "made here" if part in own.made else f"from {givers[part]!r}"
            for part in partners
            if part in own.made or givers[part] != study
        }
        if strangers:
            raise ConfigError(
                f"a projector must come with the networks that it was trained for, got projector from {study!r} and "
                f"{' and '.join(f'{part} {origin}' for part, origin in strangers.items())}; name that study last in "
                "starts_from and leave out stages that make these, or train the projector anew with the stage projector"
            )
    models = [sources[givers[part]].model for part in ("rgb", "lidar") if part in givers]
    embedders = [model.embedder for model in models if isinstance(model, ChainKnobs)]
    if any(embedder != embedders[0] for embedder in embedders):
        raise ConfigError(
            f"both embedders share their knobs, got rgb from {givers['rgb']!r} and lidar from {givers['lidar']!r}, "
            "which differ in model.embedder; take both from one study"
        )


def _given(study: str, source: RGBLidar, own: ChainKnobs) -> frozenset[Part]:
    theirs = source.model
    if not isinstance(theirs, ChainKnobs):
        raise ConfigError(
            f"a chain must start from studies of chains, got {study!r}, a study of fusions; name another in starts_from"
        )
    if not theirs.parts & own.taken:
        made = f" and {', '.join(own.stages)} make {_named(own.made)}" if own.made else ""
        raise ConfigError(
            f"a study in starts_from must give a part that this chain takes, got {study!r} with {_named(theirs.parts)} "
            f"where it takes {_named(own.taken)}{made}; leave it out, change model.stages, or set model.continue_parts "
            "for stages to go on with its parts"
        )
    return theirs.parts & own.taken


def _take(part: Part, model: ChainKnobs, source: RGBLidar) -> ChainKnobs:
    theirs = source.model
    assert isinstance(theirs, ChainKnobs)
    knobs: Mapping[Part, dict[str, Any]] = {
        "rgb": {"embedder": theirs.embedder},
        "lidar": {"embedder": theirs.embedder, "similarity": theirs.similarity},
        "classifier": {"classifier": theirs.classifier},
        "projector": {"projector": theirs.projector},
    }
    return model.model_copy(update=knobs[part])


def _scanners(givers: Mapping[Part, str]) -> list[str]:
    return [study for part, study in givers.items() if part in _READS_SCANS]


def _convention(scanners: Mapping[str, RGBLidar]) -> dict[str, str]:
    """Returns how the sources of parts that read scans read them, which must be one way."""
    ways = {study: _way(source.data) for study, source in scanners.items()}
    found = list(ways.values())
    if any(way != found[0] for way in found):
        raise ConfigError(
            f"parts that read scans must come from studies that read them alike, got {ways}; "
            "start from one of these studies, or search the other anew with the same data.lidar_repr and lidar_norm"
        )
    return dict(found[0]) if found else {}


def _way(data: DataKnobs) -> dict[str, str]:
    return {"lidar_repr": data.lidar_repr, "lidar_norm": data.lidar_norm}


def _named(parts: Iterable[Part]) -> str:
    return ", ".join(sorted(parts)) or "nothing"


def _makers(parts: frozenset[Part]) -> str:
    return " and ".join(stage for stage in STAGES if MAKES[stage] & parts)
