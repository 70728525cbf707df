"""The configuration of supervised contrastive learning; the defaults are the published experiment on DFC2020.

Published were Adam's own L2 penalty, where AdamW's decay is decoupled, images divided by their maxima
(``data.scaling``), and another geometry for each sensor (``views.paired_geometry``).
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from thalweg.config import FamilyConfig, Optimization, Presets
from trainables.sentinel_supcon.knobs import (
    METERML_CLASSES,
    DataKnobs,
    ModelKnobs,
    PretrainingKnobs,
    TuningKnobs,
    ViewKnobs,
)


class SentinelSupCon(FamilyConfig):
    """Encoders of Sentinel-1 and Sentinel-2 and a classifier of scenes."""

    dataset: str = Field(default="dfc2020", min_length=1)
    """Data set to train on: a folder below the family's data folder."""
    optimization: Optimization = Optimization(
        lr=1e-5,
        weight_decay=1e-3,
        beta2=0.999,
        clip_norm=0.0,
        lr_schedule="constant",
        warmup_ratio=0.0,
        batch_size=16,
    )
    """Optimizer, schedule and batch."""
    data: DataKnobs = DataKnobs()
    """Inputs and labels."""
    views: ViewKnobs = ViewKnobs()
    """Augmentations."""
    model: ModelKnobs = ModelKnobs()
    """Architecture."""
    pretraining: PretrainingKnobs = PretrainingKnobs()
    """What encoders learn without labels."""
    tuning: TuningKnobs = TuningKnobs()
    """What they learn with labels."""
    ghost_batch_norm: bool = False
    """Whether batch norms may take their statistics from micro-batches (ghost batch norm, arXiv:1705.08741) where
    optimization.micro_batch_size is smaller than the batch. Results then depend on the micro-batch: gradients are not
    those of the whole batch, and a view may be told by the company it is in. Layer norms know no batch."""

    def idle(self) -> tuple[str, ...]:
        """Names what no sensor, view, block or prototype of this configuration reads."""
        model, pretraining = self.model, self.pretraining
        idle = {
            "data.optical": "s2" not in model.sensors,
            "views.paired_geometry": len(model.sensors) == 1,
            "tuning.contrast": not self.views.augment,
            "pretraining.loss": self.num_blocks == 2,
            "pretraining.ot_weight": model.backbone != "prototypes",
            "ghost_batch_norm": not self.trains_batch_norms,
        }
        named = {
            *(f"pretraining.{name}" for name in pretraining.idle()),
            *(f"views.{name}" for name in self.views.idle()),
            *(f"tuning.{name}" for name in self.tuning.idle()),
        }
        return tuple(name for name, is_idle in idle.items() if is_idle and name not in named)

    @property
    def num_blocks(self) -> int:
        """Blocks of a batch that pre-training compares: sensors, or views of sensors."""
        return len(self.model.sensors) * (2 if self.pretraining.views else 1)

    @property
    def compares_views(self) -> bool:
        """Whether a loss compares the augmented view with the original."""
        return bool(self.tuning.sup_delta) or (self.pretraining.share > 0 and self.pretraining.views)

    @property
    def trains_encoders(self) -> bool:
        """Whether any stage trains encoders."""
        return self.pretraining.share > 0 or self.tuning.mode == "full"

    @property
    def trains_batch_norms(self) -> bool:
        """Whether any stage trains batch norms."""
        return self.trains_encoders and self.model.has_batch_norms

    @model_validator(mode="after")
    def _blocks_can_be_compared(self) -> Self:
        if not self.pretraining.share:
            return self
        if self.pretraining.views and not self.views.augment:
            raise ValueError(
                "pretraining.views must be off where views.augment is, for both blocks of a sensor would be the same, "
                "got True; switch it off, or views.augment on"
            )
        if self.num_blocks < 2:
            raise ValueError(
                f"pre-training must compare at least 2 blocks, got the scenario {self.model.scenario!r} without "
                "pretraining.views; switch pretraining.views on, or take both sensors"
            )
        if self.pretraining.negatives and not self.data.ignored:
            raise ValueError(
                "pretraining.negatives must be off where data.ignored names no class, for it would change nothing, "
                'got True; switch it off, or set data.ignored, such as to ["Negative"]'
            )
        return self

    @model_validator(mode="after")
    def _pretraining_sees_each_scene_once(self) -> Self:
        if self.pretraining.share and self.data.balanced:
            raise ValueError(
                "data.balanced must be off with pre-training, which tells every scene from all others whatever their "
                "classes: repeated scenes would be negatives of themselves, and those without a class left out, got "
                f"True and a pretraining.share of {self.pretraining.share:g}; switch it off, or pre-train in a study "
                "of its own, from which this one starts (starts_from)"
            )
        return self

    @model_validator(mode="after")
    def _prototypes_are_learnt(self) -> Self:
        if self.model.backbone == "prototypes" and not self.pretraining.share:
            raise ValueError(
                "pretraining.share must be above 0 with the backbone 'prototypes', whose prototypes nothing else "
                "reads, got 0; set it to 0.5, or take the backbone 'shared'"
            )
        return self

    @model_validator(mode="after")
    def _frozen_encoders_have_learnt(self) -> Self:
        if not self.trains_encoders and not self.starts_from and not self.model.pretrained:
            raise ValueError(
                "tuning.mode must be 'full' where encoders start at random and no stage trains them, got 'linear'; set "
                "pretraining.share, starts_from or model.pretrained, or take the mode 'full'"
            )
        return self

    @model_validator(mode="after")
    def _encoders_start_from_one_place(self) -> Self:
        if self.starts_from and self.model.pretrained:
            raise ValueError(
                "model.pretrained must be empty with starts_from, whose studies give all encoders, got "
                f"{self.model.pretrained!r}; leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _maps_of_one_pixel_are_not_halved_in_bf16(self) -> Self:
        # torch 2.15 on a CPU reads memory that nobody wrote there, for gradients of weights; see findings/.
        is_resnet = self.model.backbone in ("resnet18", "resnet50")
        if is_resnet and self.data.size <= 16 and self.optimization.precision == "bf16":
            raise ValueError(
                f"data.size must be above 16 for a ResNet in bf16, got {self.data.size}: its last stage would halve "
                "maps of one pixel, whose gradients torch does not compute right; take 32, or the precision fp32"
            )
        return self

    @model_validator(mode="after")
    def _batch_norms_see_the_batch(self) -> Self:
        knobs = self.optimization
        size = knobs.batch_size
        micro = size if knobs.micro_batch_size is None else min(size, knobs.micro_batch_size)
        if not self.trains_batch_norms:
            return self
        if micro < size and not self.ghost_batch_norm:
            raise ValueError(
                f"optimization.micro_batch_size must be the batch_size of {size} where batch norms train, got {micro}: "
                "their statistics would be those of micro-batches; leave it out (workers share statistics), take the "
                "backbone swin_t, which has none, or allow it by ghost_batch_norm"
            )
        if micro < 2 and self.model.is_alexnet:
            name = "batch_size" if size < 2 else "micro_batch_size"
            raise ValueError(
                f"optimization.{name} must be at least 2 for the batch norms of the backbone {self.model.backbone!r}, "
                f"which see one number of each scene, got {micro}; raise it"
            )
        return self


_METERML = SentinelSupCon(
    dataset="meter-ml",
    seed=10,
    optimization=Optimization(
        optimizer="sgd",
        lr=0.01,
        weight_decay=0.0,
        momentum=0.0,
        clip_norm=0.0,
        lr_schedule="constant",
        warmup_ratio=0.0,
        batch_size=32,
    ),
    data=DataKnobs(classes=METERML_CLASSES, optical="rgbn", size=72, ignored=("Negative",)),
    model=ModelKnobs(backbone="dual"),
)
_TINY = SentinelSupCon(
    dataset="tiny",
    optimization=Optimization(lr=2e-3, weight_decay=0.01, batch_size=32),
    data=DataKnobs(classes=METERML_CLASSES, optical="rgbn", size=32, ignored=("Negative",)),
    model=ModelKnobs(backbone="dual", width=0.125, embedding_dim=32),
    # Of embeddings of length 1, logits grow with the head alone.
    tuning=TuningKnobs(head_lr_scale=30),
)

TERRAMESH = _TINY.vary(
    dataset="terramesh",
    data=DataKnobs(classes=("Water", "Trees", "Crops", "Built", "Snow", "Rangeland"), optical="l2a", size=32),
)
"""Real scenes of TerraMesh, imported as the README says, at a size that two cores carry."""

LOSSES: Mapping[str, Mapping[str, Any]] = {
    "cross-entropy": {"tuning": {"sup_delta": 0.0}},
    "cross-entropy of scenes as they are": {"tuning": {"sup_delta": 0.0}, "views": {"augment": False}},
    "cross-entropy + SupCon": {"tuning": {"sup_delta": 1.0}},
}
"""What is compared with SupCon, as changes of a configuration.

The cross-entropy beside it sees scenes as they are, alone augmented ones if there are any.
"""

PRESETS: Presets[SentinelSupCon] = Presets(
    {
        "meterml": _METERML,
        "dfc2020": SentinelSupCon(views=ViewKnobs(rotation=20), tuning=TuningKnobs(head_lr_scale=0.3)),
        "small": _TINY.vary(
            dataset="tiny-dfc",
            data=DataKnobs(size=56),
            views={"rotation": 20},
            model={"backbone": "resnet18", "width": 0.25, "embedding_dim": 64},
        ),
        "tiny": _TINY,
    }
)
