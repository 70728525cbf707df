"""Names of weights in published files, and what they are called here.

A weight belongs to a stem, the first layer in front of a shared trunk, or to a trunk, which is all the rest. The rules
are of torchvision's and timm's ResNets and Swin Transformers, of Microsoft's Swin Transformers, of the SmallAlexNet of
arXiv:1906.05849 and its variants for METER-ML (``bakiuzun/SupCon_SSL``), and of the pairs of encoders of
``HSG-AIML/SSLTransformerRS``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from trainables.sentinel_supcon.knobs import Backbone

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Entries of a file under which its weights may be."""
SENSOR_ENTRIES: Mapping[str, str] = {"s1_model_weights": "s1.", "s2_model_weights": "s2."}
"""Entries of a file with the weights of one sensor, and the prefixes that stand for them."""
_WITHOUT_MEANING = ("module.", "_orig_mod.", "model.", "encoder.")
_SENSORS: Mapping[str, str] = {
    "backbone1.": "s1",
    "backbone2.": "s2",
    "encoder_1.": "s1",
    "encoder_2.": "s2",
    "model_s1.": "s1",
    "model_s2.": "s2",
    "s1.": "s1",
    "s2.": "s2",
}
_STEM = re.compile(r"sentinel([12])_block\.([01]\..+)")
_FIRST_LAYERS = ("conv1.weight", "patch_embed.proj.weight", "features.0.0.weight")

Rules = Sequence[tuple[str, str]]
_RESNET: Rules = ((r"((?:bn1|layer[1-4])\..+)", r"0.\1"),)
_PROJECTION: Rules = ((r"fc\.0\.(\w+)", r"1.\1"), (r"fc\.2\.(\w+)", r"3.\1"))
_ALEXNET: Rules = (
    *((rf"blocks\.{number + 1}\.([01]\..+)", rf"convolutions.{number}.\1") for number in range(4)),
    (r"blocks\.5\.1\.(\w+)", r"dense.1.\1"),
    (r"blocks\.5\.2\.(\w+)", r"dense.2.\1"),
    (r"blocks\.6\.0\.(\w+)", r"dense.4.\1"),
    (r"blocks\.6\.1\.(\w+)", r"dense.5.\1"),
    (r"blocks\.7\.0\.(\w+)", r"dense.7.\1"),
)
_SWIN: Rules = ((r"((?:patch_embed|layers|norm)\..+)", r"0.\1"), *_PROJECTION)
_RULES: Mapping[Backbone, Rules] = {
    "shared": _ALEXNET,
    "dual": _ALEXNET,
    "prototypes": _ALEXNET,
    "resnet18": (*_RESNET, (r"fc\.(weight|bias)", r"1.\1")),
    "resnet50": (*_RESNET, (r"conv1\.weight", r"0.conv1.weight"), *_PROJECTION),
    "swin_t": _SWIN,
}
_IN_TRUNKS: Mapping[str, str] = {"dual": "{}.1.", "resnet50": "{}.", "swin_t": "{}."}
_IN_STEMS: Mapping[str, str] = {"dual": "{}.0."}


@dataclass(frozen=True)
class Published:
    """What the name of a weight says.

    Attributes:
        part: Whether it belongs to a stem or to a trunk.
        sensor: Sensor that it belongs to; None if the file does not say.
        name: The rest of the name: of a stem as it is called here, of a trunk as it was published.
    """

    part: Literal["stem", "trunk"]
    sensor: str | None
    name: str


def read_name(name: str) -> Published | None:
    """Returns what the name of a weight says; None if it contradicts itself, as the unused stems of METER-ML's do."""
    rest, sensor = name, None
    while True:
        found = next((prefix for prefix in (*_SENSORS, *_WITHOUT_MEANING) if rest.startswith(prefix)), None)
        if found is None:
            break
        if found in _SENSORS:
            if sensor not in (None, _SENSORS[found]):
                return None
            sensor = _SENSORS[found]
        rest = rest.removeprefix(found)
    if stem := _STEM.fullmatch(rest):
        own = f"s{stem[1]}"
        return Published("stem", own, stem[2]) if sensor in (None, own) else None
    if rest.startswith("blocks.0."):
        return Published("stem", sensor, rest.removeprefix("blocks.0."))
    return Published("trunk", sensor, rest)


def is_first_layer(published: Published) -> bool:
    """Returns whether a weight is that of the first layer of an encoder, whose second axis are bands."""
    return published.name in (("0.weight",) if published.part == "stem" else _FIRST_LAYERS)


def modern(names: Iterable[str]) -> Mapping[str, str]:
    """Returns the names of weights of a trunk as timm has them, by the names in a file.

    torchvision numbers the stages and mergings of a Swin Transformer in one row; Microsoft counts a merging as the end
    of a stage, timm as the beginning of the next one.
    """
    known = list(names)
    ends = any(re.match(r"layers\.0\.downsample\.", name) for name in known)
    return {name: _of_microsoft(name) if ends else _of_torchvision(name) for name in known}


def _of_microsoft(name: str) -> str:
    return re.sub(
        r"^layers\.(\d)\.downsample\.", lambda found: f"layers.{int(found[1]) + 1}.downsample.", name
    )


def _of_torchvision(name: str) -> str:
    found = re.fullmatch(r"features\.(\d)\.(.+)", name)
    if found is None:
        return name
    number, rest = int(found[1]), found[2]
    if number == 0:
        return re.sub(r"^2\.", "patch_embed.norm.", re.sub(r"^0\.", "patch_embed.proj.", rest))
    stage, is_stage = divmod(number, 2)
    if not is_stage:
        return f"layers.{stage}.downsample.{rest}"
    rest = rest.replace(".mlp.0.", ".mlp.fc1.").replace(".mlp.3.", ".mlp.fc2.")
    return f"layers.{stage}.blocks.{rest}"


def own_names(published: Published, backbone: Backbone, sensors: Sequence[str]) -> tuple[str, ...]:
    """Returns what a weight is called here; nothing if no rule names it.

    Args:
        published: What its name in the file says, that of a trunk as `modern` returns it.
        backbone: The encoders.
        sensors: Sensors that the model reads and that the weight may belong to.
    """
    if published.part == "stem":
        root = _IN_STEMS.get(backbone, "stem_{}." if backbone not in _IN_TRUNKS else "")
        return tuple(root.format(sensor) + published.name for sensor in sensors) if root else ()
    if published.name == "prototypes" and backbone == "prototypes":
        return ("prototypes.directions",)
    for pattern, replacement in _RULES[backbone]:
        if found := re.fullmatch(pattern, published.name):
            inner = found.expand(replacement)
            break
    else:
        return ()
    if backbone in _IN_TRUNKS:
        return tuple(_IN_TRUNKS[backbone].format(sensor) + inner for sensor in sensors)
    return (f"trunk.{inner}",) if published.sensor is None else ()
