"""The encoders of both sensors by name: one for each, or one trunk behind a stem for each."""

from collections.abc import Mapping

from torch import nn

from trainables.sentinel_supcon.knobs import ModelKnobs
from trainables.sentinel_supcon.model import published
from trainables.sentinel_supcon.model.alexnet import STEM_DIM, SmallAlexNetTrunk, scaled, stem

TRUNK = "trunk"
_SHARED = ("shared", "prototypes", "resnet18")


def stem_of(sensor: str) -> str:
    """Returns the name of a sensor's stem."""
    return f"stem_{sensor}"


def names(knobs: ModelKnobs) -> tuple[str, ...]:
    """Returns the names of the encoders among a model's children."""
    if knobs.backbone not in _SHARED:
        return knobs.sensors
    return (*(stem_of(sensor) for sensor in knobs.sensors), TRUNK)


def stem_dim(knobs: ModelKnobs) -> int:
    """Returns the channels behind the stems of a shared trunk."""
    return published.RESNET18_STEM_DIM if knobs.backbone == "resnet18" else scaled(STEM_DIM, knobs.width)


def build(knobs: ModelKnobs, bands: Mapping[str, int], size: int) -> dict[str, nn.Module]:
    """Returns the encoders by name.

    Args:
        knobs: Architecture.
        bands: Number of bands of each sensor.
        size: Side of the images.
    """
    if knobs.backbone in _SHARED:
        stems: dict[str, nn.Module] = {
            stem_of(sensor): stem(bands[sensor], stem_dim(knobs)) for sensor in knobs.sensors
        }
        return stems | {TRUNK: _trunk(knobs, size)}
    return {sensor: _alone(knobs, bands[sensor], size) for sensor in knobs.sensors}


def _trunk(knobs: ModelKnobs, size: int) -> nn.Module:
    if knobs.backbone == "resnet18":
        return published.resnet18_trunk(knobs.width, knobs.embedding_dim)
    return SmallAlexNetTrunk(knobs.width, knobs.embedding_dim, size)


def _alone(knobs: ModelKnobs, in_dim: int, size: int) -> nn.Module:
    if knobs.backbone == "resnet50":
        return published.resnet50(in_dim, knobs.width, knobs.embedding_dim)
    if knobs.backbone == "swin_t":
        return published.swin_t(in_dim, knobs.width, knobs.embedding_dim, size)
    return nn.Sequential(stem(in_dim, stem_dim(knobs)), _trunk(knobs, size))
