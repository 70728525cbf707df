"""Published weights as a start of encoders: what of a file matches by name and shape, and a report of the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.hashing import digest
from thalweg.nn.unallocated import unallocated
from thalweg.wording import some
from trainables.sentinel_supcon.config import SentinelSupCon
from trainables.sentinel_supcon.data.pretrained import PretrainedFile
from trainables.sentinel_supcon.knobs import ModelKnobs
from trainables.sentinel_supcon.model import encoders
from trainables.sentinel_supcon.model.published_names import (
    SENSOR_ENTRIES,
    WRAPPERS,
    Published,
    is_first_layer,
    modern,
    own_names,
    read_name,
)
from trainables.sentinel_supcon.model.scene_model import PROTOTYPES, SceneModel

_MAX_NAMED = 6
_MAX_DEPTH = 3  # of entries in entries
_COUNTER = ".num_batches_tracked"  # of batch norms; nothing here reads it
_VARIANCE = ".running_var"
_BANDS_OF_RADAR, _BANDS_OF_PHOTOGRAPHS = 2, 3


@dataclass(frozen=True)
class Match:
    """What of a file encoders start from.

    Attributes:
        file: The file.
        weights: Weights by their names here.
        num_tensors: Tensors of the encoders, matched or not.
        num_matched: Parameters that start from the file.
        num_parameters: Parameters of the encoders.
        missing: Names of the encoders' tensors that the file does not give.
        other_shapes: Those that it gives in another shape: name, shape in the file, shape here.
        left_over: Names in the file that no encoder has, or that are of a sensor that the model does not read.
    """

    file: PretrainedFile
    weights: Mapping[str, Tensor]
    num_tensors: int
    num_matched: int
    num_parameters: int
    missing: tuple[str, ...]
    other_shapes: tuple[str, ...]
    left_over: tuple[str, ...]

    def report(self) -> tuple[str, ...]:
        """Returns sentences on what matched, what is missing, what is of another shape and what is left over."""
        told = (
            f"encoders start from {self.file.title}: {len(self.weights)} of their {self.num_tensors} tensors, "
            f"{self.num_matched:,} of their {self.num_parameters:,} parameters",
            *_listed("not in that file, so these start as without it", self.missing),
            *_listed("of another shape in that file, so these start as without it", self.other_shapes),
            *_listed("left over in that file", self.left_over),
        )
        return told


def matched_with(config: SentinelSupCon) -> str:
    """Returns a key of the file's name and all that the encoders, which it is matched with, depend on."""
    knobs = config.model.model_dump(mode="json", exclude={"fusion"})
    return digest({**knobs, "size": config.data.size, "trained": config.trains_encoders}, num_digits=20)


def match_file(file: PretrainedFile, config: SentinelSupCon) -> Match:
    """Reads a file of weights and finds those of a model's encoders.

    A file says by its names which sensor an encoder is of. If it does not, encoders of 2 bands are of radar, those of
    3 bands, photographs, serve every sensor, and all others are of the optical one.

    Raises:
        DataError: The file holds no weights, none that match, two of one name, or a number that is not finite.
        ConfigError: Encoders are frozen from the start, and the file lacks some of their weights.
    """
    given = read_weights(file.path)
    with unallocated():
        model = SceneModel(config)
    prefixes = tuple(f"{name}." for name in (*encoders.names(config.model), PROTOTYPES))
    own = {name: value for name, value in model.state_dict().items() if name.startswith(prefixes)}
    sources = _sources(given, config.model, own, file.path)
    weights = {
        name: given[source] for name, source in sources.items() if given[source].shape == own[name].shape
    }
    sizes = {name: value.numel() for name, value in model.named_parameters() if name in own}
    found = Match(
        file=file,
        weights=weights,
        num_tensors=len(own),
        num_matched=sum(size for name, size in sizes.items() if name in weights),
        num_parameters=sum(sizes.values()),
        missing=tuple(name for name in own if name not in sources and not name.endswith(_COUNTER)),
        other_shapes=tuple(
            f"{name} {tuple(given[source].shape)} instead of {tuple(own[name].shape)}"
            for name, source in sources.items()
            if name not in weights
        ),
        left_over=tuple(name for name in given if name not in sources.values()),
    )
    _check(found, config, given, own)
    return found


def read_weights(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of a file by name, out of the usual entries that hold them; no code in the file is run.

    Raises:
        DataError: The file holds none.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler reads junk as commands, which may raise any kind
        # What torch says of a file that holds more than tensors is how to run the code in it.
        told = "" if isinstance(error, UnpicklingError) else f": {str(error).partition(chr(10))[0]}"
        raise DataError(
            f"published weights must be a file of tensors by name, as torch.save writes a state_dict, got {path}: "
            f"{type(error).__name__}{told}; save its state_dict alone"
        ) from None
    weights = _tensors(content)
    if not weights:
        raise DataError(
            f"published weights must be tensors by name, or under one of {', '.join(WRAPPERS)}, got none in {path}; "
            "save its state_dict"
        )
    return weights


def _tensors(content: object, depth: int = 0) -> dict[str, Tensor]:
    """Returns the plain tensors of an entry, or of entries in it; an entry may hold itself."""
    if not isinstance(content, Mapping) or depth > _MAX_DEPTH:
        return {}
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            return _tensors(content[wrapper], depth + 1)
    found = {name: value for name, value in content.items() if isinstance(name, str) and _is_plain(value)}
    for entry, prefix in SENSOR_ENTRIES.items():
        found |= {f"{prefix}{name}": value for name, value in _tensors(content.get(entry), depth + 1).items()}
    return found


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.device.type == "cpu"
        and value.layout is torch.strided
        and not (value.is_complex() or value.is_quantized)
    )


def _sources(
    given: Mapping[str, Tensor], knobs: ModelKnobs, own: Iterable[str], path: Path
) -> dict[str, str]:
    """Returns the name in the file of each weight that it gives."""
    read = {name: found for name in given if (found := read_name(name))}
    published = modern(found.name for found in read.values() if found.part == "trunk")
    unnamed = _sensors_of_unnamed(given, read)
    known = set(own)
    sources: dict[str, str] = {}
    for name, found in read.items():
        if found.part == "trunk":
            found = Published("trunk", found.sensor, published[found.name])
        candidates = (found.sensor,) if found.sensor else unnamed
        sensors = [sensor for sensor in knobs.sensors if sensor in candidates]
        for target in own_names(found, knobs.backbone, sensors):
            if target not in known:
                continue
            if target in sources:
                raise DataError(
                    f"each weight must be in a file once, got {sources[target]} and {name} in {path}; leave one out"
                )
            sources[target] = name
    return sources


def _sensors_of_unnamed(given: Mapping[str, Tensor], read: Mapping[str, Published]) -> tuple[str, ...]:
    """Returns the sensors that weights belong to whose names do not say it."""
    if any(found.sensor for found in read.values() if found.part == "trunk"):
        return ()  # in a file with an encoder for each sensor, they are heads
    bands = {
        given[name].shape[1]
        for name, found in read.items()
        if found.sensor is None and is_first_layer(found) and given[name].ndim > 1
    }
    if bands == {_BANDS_OF_RADAR}:
        return ("s1",)
    return ("s1", "s2") if bands <= {_BANDS_OF_PHOTOGRAPHS} else ("s2",)


def _check(
    found: Match, config: SentinelSupCon, given: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> None:
    if not found.num_matched:
        raise DataError(
            f"a file of weights must give some of the encoders of model.backbone {config.model.backbone!r}, got "
            f"{found.file.path} with {_some(list(given))} where they have {_some(list(own))}"
            f"{_other(found.other_shapes)}; take the backbone that it is of, or another file"
        )
    _check_values(found, own)
    random = (*found.missing, *found.other_shapes)
    if not config.trains_encoders and random:
        raise ConfigError(
            f"model.pretrained must give all weights of encoders that no stage trains, got {found.file.path.name} "
            f"without {_some(random)}; set tuning.mode to 'full' or pretraining.share"
        )


def _check_values(found: Match, own: Mapping[str, Tensor]) -> None:
    for name, value in found.weights.items():
        if own[name].is_floating_point() and not value.is_floating_point():
            raise DataError(
                f"published weights must be floating-point numbers, got {value.dtype} in {name} of {found.file.path}; "
                "take a file that is not quantised"
            )
        held = value.to(own[name].dtype)
        if not bool(held.isfinite().all()) or (name.endswith(_VARIANCE) and bool((held < 0).any())):
            raise DataError(
                f"published weights must be finite, and variances not below 0, got others in {name} of "
                f"{found.file.path}; take another file"
            )


def _other(shapes: Sequence[str]) -> str:
    return f", of other shapes {_some(shapes)}" if shapes else ""


def _listed(what: str, names: Sequence[str]) -> tuple[str, ...]:
    return (f"{what}: {_some(names)}",) if names else ()


def _some(names: Sequence[str]) -> str:
    return some((name if name.isprintable() else repr(name) for name in names), _MAX_NAMED)
