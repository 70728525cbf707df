"""Knobs of data, views, model, pre-training and tuning; light, for search spaces import them."""

import re
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from thalweg.config import Knobs
from thalweg.knobs.scheduled import Scheduled

Optical = Literal["rgbn", "l2a", "l1c"]
Scaling = Literal["physical", "image_max"]
Target = Literal["single", "multi"]
Backbone = Literal["shared", "dual", "prototypes", "resnet18", "resnet50", "swin_t"]
Scenario = Literal["s1", "s2", "s1s2", "s1s2_fused"]
Fusion = Literal["concat", "mean", "gated", "attention"]

BANDS: Mapping[Optical, tuple[str, ...]] = {
    "rgbn": ("B04", "B03", "B02", "B08"),
    "l2a": ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"),
    "l1c": ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"),
}
"""Bands of Sentinel-2 that the model sees, in their order."""


IGNORED = -1
"""Label of a scene whose class is ignored or unknown; in losses and metrics it counts for nothing."""
DFC2020_CLASSES = (
    "Forest",
    "Shrubland",
    "Grassland",
    "Wetlands",
    "Croplands",
    "Urban",
    "Barren",
    "Water",
)
"""Classes of DFC2020 without savanna and snow."""
METERML_CLASSES = (
    "CAFOs",
    "Landfills",
    "Mines",
    "Negative",
    "ProcessingPlants",
    "RefineriesAndTerminals",
    "WWTreatment",
)
"""Classes of METER-ML."""


def metric_label(name: str) -> str:
    """Returns what stands for a class in names of metrics: letters, digits, underscores, hyphens and dots."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_")


class DataKnobs(Knobs):
    """Inputs and labels, and which training scenes are drawn; evaluations always use all scenes of a split."""

    classes: tuple[str, ...] = Field(default=DFC2020_CLASSES, min_length=2)
    """Classes of the data set in their order, that of the logits."""

    optical: Optical = "l1c"
    """Bands of Sentinel-2: red, green, blue and near infrared (4), those of surface reflectance (12, without the cirrus
    band B10), or all (13). A data set that lacks one of them is refused."""
    size: int = Field(default=224, ge=16, le=512, json_schema_extra={"unit": "pixels"})
    """Side of what the model sees of a scene: a random crop in training, the central one in evaluations."""
    scaling: Scaling = "physical"
    """physical: backscatter in dB and reflectance, standardised by the training split. image_max: each band divided by
    its maximum in the image, as published, which hides how bright a scene is."""
    target: Target = "single"
    """One class for each scene, or every class that the data set names or that covers a tenth of a scene."""
    ignored: tuple[str, ...] = ()
    """Classes that leave SupCon, cross-entropy and metrics alike, such as Negative of METER-ML."""
    data_ratio: float = Field(default=1.0, gt=0, le=1)
    """Share of the training scenes of each class; a smaller share is part of every larger one."""
    balanced: bool = False
    """Whether each label is drawn equally often in training, by repeating scenes; of several classes the label is the
    first, or the most frequent one of a map. Scenes without a label, or of an ignored class, are left out."""

    @property
    def valid_classes(self) -> tuple[str, ...]:
        """Classes that are not ignored."""
        return tuple(name for name in self.classes if name not in self.ignored)

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of Sentinel-2 in the order of channels."""
        return BANDS[self.optical]

    @model_validator(mode="after")
    def _each_ignored_class_once(self) -> Self:
        if len(set(self.ignored)) < len(self.ignored):
            raise ValueError(
                f"ignored must name each class once, got {', '.join(self.ignored)}; leave out repeated names"
            )
        return self

    @model_validator(mode="after")
    def _some_classes_are_left(self) -> Self:
        if twice := [name for name in self.classes if self.classes.count(name) > 1]:
            raise ValueError(f"classes must be named once each, got {twice[0]!r} twice; leave it out once")
        labels = [metric_label(name) for name in self.classes]
        if "" in labels:
            nameless = self.classes[labels.index("")]
            raise ValueError(f"classes must hold a letter or a digit, got {nameless!r}; rename it")
        if odd := [name for name, label in zip(self.classes, labels, strict=True) if labels.count(label) > 1]:
            raise ValueError(
                f"classes must give metrics of different names, got {' and '.join(map(repr, odd))}; rename one"
            )
        if unknown := [name for name in self.ignored if name not in self.classes]:
            raise ValueError(
                f"ignored must name some of the classes {', '.join(self.classes)}, got {unknown[0]!r}; leave it out"
            )
        if len(self.classes) - len(self.ignored) < 2:
            raise ValueError(
                f"at least 2 classes must be left beside those that are ignored, got {len(self.classes)} and "
                f"{len(self.ignored)}; ignore fewer"
            )
        return self


class ViewKnobs(Knobs):
    """Augmentations of a scene in training; evaluations see scenes as they are."""

    changeable: ClassVar[frozenset[str]] = frozenset({"min_crop", "rotation"})

    augment: bool = True
    """Whether there is an augmented view: beside the original, which the cross-entropy sees, if a loss compares views;
    in its place otherwise."""
    min_crop: float = Field(default=0.9, gt=0, le=1)
    """Smallest share of the area that a random crop shows, enlarged to the whole view; 1 switches cropping off."""
    flip: bool = True
    """Whether views are mirrored along each axis, each with probability 1/2."""
    rotation: float = Field(default=0.0, ge=0, le=180, json_schema_extra={"unit": "degrees"})
    """Largest angle of a random rotation in either direction; 0 switches it off."""
    paired_geometry: bool = True
    """Whether both sensors get the same crop, mirror and rotation, so that they show the same ground; otherwise each
    gets its own, as published."""

    def idle(self) -> tuple[str, ...]:
        """Returns the names of all augmentations if there are none."""
        return () if self.augment else ("min_crop", "flip", "rotation", "paired_geometry")

    @model_validator(mode="after")
    def _an_augmentation_changes_something(self) -> Self:
        if self.augment and self.min_crop == 1 and not self.flip and not self.rotation:
            raise ValueError(
                "augment must be off where min_crop is 1 and neither flip nor rotation is on, for a view would be the "
                "original, got True; switch it off, or one of these on"
            )
        return self


class ModelKnobs(Knobs):
    """Encoders of both sensors, their fusion, and what is classified."""

    backbone: Backbone = "resnet50"
    """Encoder: SmallAlexNet or ResNet18 of which the sensors share all but the first layer (shared, resnet18), the same
    with prototypes of pixels (prototypes), or a SmallAlexNet, ResNet50 or Swin Transformer for each sensor (dual,
    resnet50, swin_t)."""
    scenario: Scenario = "s1s2_fused"
    """Which sensors are classified: one alone, each of both with a head of its own, or both fused."""
    fusion: Fusion = "concat"
    """How the embeddings of both sensors become one."""
    embedding_dim: int = Field(default=128, ge=2, le=4096)
    """Width of the embedding of a sensor, which is scaled to length 1."""
    num_prototypes: int = Field(default=300, ge=2, le=4096)
    """Prototypes, to which the pixels behind the first layer of both sensors are drawn in pre-training."""
    width: float = Field(default=1.0, gt=0, le=4)
    """Factor on the channels of hidden layers, of residual networks behind the first; 1 is the published network."""
    pretrained: str = Field(default="", pattern=r"^([^/\\.][^/\\]*)?$")
    """File of published weights in the folder `weights` of the family's data folder, from which encoders start where
    names and shapes match; empty: they start at random. If its name ends in - and 8 or more digits of its SHA-256, as
    in resnet50-0676ba61.pth, these must match. The file must stay there until the last export."""

    @property
    def is_fused(self) -> bool:
        """Whether one head classifies both sensors together."""
        return self.scenario == "s1s2_fused"

    @property
    def sensors(self) -> tuple[str, ...]:
        """Sensors that the model reads, in the order of channels."""
        return ("s1", "s2") if self.scenario in ("s1s2", "s1s2_fused") else (self.scenario,)

    @property
    def is_alexnet(self) -> bool:
        """Whether encoders are SmallAlexNets."""
        return self.backbone in ("shared", "dual", "prototypes")

    @property
    def has_batch_norms(self) -> bool:
        """Whether encoders normalise over the scenes of a batch."""
        return self.backbone != "swin_t"

    def idle(self) -> tuple[str, ...]:
        """Returns the fusion if nothing is fused, and the number of prototypes if there are none."""
        names = () if self.is_fused else ("fusion",)
        return names if self.backbone == "prototypes" else (*names, "num_prototypes")


class PretrainingKnobs(Knobs):
    """Self-supervised pre-training: both sensors, and views of a scene, find one another among all scenes."""

    share: float = Field(default=0.0, ge=0, le=0.95)
    """Share of the sample budget; 0 leaves pre-training out."""
    loss: Literal["nt_xent", "pairwise"] = "nt_xent"
    """nt_xent compares all blocks of a batch (sensors and views) with one another at once, pairwise each two of them,
    and takes the mean. Two blocks are one pair."""
    temperature: Scheduled = Field(default=0.2, ge=0.01, le=1)
    """Temperature of the loss."""
    views: bool = False
    """Whether the augmented view and the original of each sensor are blocks of their own: 4 blocks of both sensors
    instead of 2."""
    negatives: bool = False
    """Whether scenes of ignored classes are negatives of the others alone, and never anchors: their own losses do not
    count, so that losses of batches with more or fewer of them mean the same."""
    ot_weight: Scheduled = Field(default=0.1, ge=0.001, le=10)
    """Weight of the optimal transport of pixels to prototypes."""

    def idle(self) -> tuple[str, ...]:
        """Returns the names of all knobs but the share if there is no pre-training."""
        return () if self.share else tuple(name for name in type(self).model_fields if name != "share")


class TuningKnobs(Knobs):
    """Supervised training: cross-entropy, with SupCon beside it."""

    changeable: ClassVar[frozenset[str]] = frozenset({"head_lr_scale"})

    mode: Literal["full", "linear"] = "full"
    """full trains everything; linear trains fusion and heads on frozen encoders, whose normalisations stay as they
    are."""
    sup_delta: Scheduled = Field(default=1.0, ge=0, le=100)
    """Weight of SupCon beside the cross-entropy, whatever the temperature; 0 leaves SupCon out."""
    temperature: Scheduled = Field(default=0.07, ge=0.01, le=1)
    """Temperature of SupCon."""
    contrast: Literal["all", "one"] = "all"
    """Whether all views of a scene are anchors, or the first (augmented) one alone."""
    head_lr_scale: float = Field(default=1.0, gt=0, le=1000)
    """Factor on the learning rate of fusion and heads."""

    def idle(self) -> tuple[str, ...]:
        """Returns the knobs of SupCon if it is left out."""
        return () if self.sup_delta else ("temperature", "contrast")

    @model_validator(mode="after")
    def _supcon_reaches_an_encoder(self) -> Self:
        if self.mode == "linear" and self.sup_delta:
            raise ValueError(
                "sup_delta must be 0 in the mode linear, a dead knob where encoders are frozen, for SupCon compares "
                f"their embeddings, got {self.sup_delta:g}; set it to 0, or take the mode full"
            )
        return self
