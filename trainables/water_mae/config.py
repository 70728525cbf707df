"""Knobs of the hydrological masked autoencoder; the defaults are the published configuration.

Sizes and training settings follow the reference experiment (26,449,212 parameters), with one exception: the static
attributes of its own catchments condition each vector patch (`film_scope`).
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from thalweg.config import FamilyConfig, Knobs, Optimization, Presets
from thalweg.knobs.scheduled import Scheduled, value_at
from trainables.water_mae.knobs import (
    PUBLISHED_SET,
    DataKnobs,
    ModalitySet,
)

MaskMode = Literal["unified", "independent"]
FilmMode = Literal["tanh", "one_plus", "none"]
FilmScope = Literal["per_patch", "global"]
DecoderType = Literal["cross", "self"]
InterpolationMode = Literal["none", "read", "added", "both"]


class MaskingKnobs(Knobs):
    """Masks of training; the masks of evaluations do not depend on these knobs."""

    changeable: ClassVar[frozenset[str]] = frozenset({"image_kept_mask_ratio", "vector_kept_mask_ratio"})

    image_mask_ratio: Scheduled = Field(default=0.4, gt=0, lt=1)
    """Share of the image patches of each day that is masked; a schedule hides more or fewer as training goes on."""
    vector_mask_ratio: Scheduled = Field(default=0.4, gt=0, lt=1)
    """Share of the vector patches of each day that is masked; a schedule hides more or fewer as training goes on."""
    mask_mode: MaskMode = "unified"
    """Whether the image modalities share one mask and the vector modalities another, or each has its own."""
    image_kept_mask_ratio: float | None = Field(default=None, gt=0, lt=1)
    """Share of all image patches that is reconstructed in training, at most the masked ones; None takes them all.

    CrossMAE's kept mask ratio (arXiv:2401.14391): fewer targets make the decoder cheaper. Evaluations predict all.
    """
    vector_kept_mask_ratio: float | None = Field(default=None, gt=0, lt=1)
    """Share of all vector patches that is reconstructed in training, at most the masked ones; None takes them all."""

    @model_validator(mode="after")
    def _only_hidden_patches_are_reconstructed(self) -> Self:
        for kind in ("image", "vector"):
            kept, hidden = getattr(self, f"{kind}_kept_mask_ratio"), getattr(self, f"{kind}_mask_ratio")
            if kept is not None and not hidden >= kept:
                raise ValueError(
                    f"{kind}_kept_mask_ratio must be at most {kind}_mask_ratio, got {kept:g} > {hidden:g}; "
                    "lower it, or leave it out to reconstruct all that is hidden"
                )
        return self


class ModelKnobs(Knobs):
    """Sizes of encoders, fusion and decoders."""

    added: ClassVar[frozenset[str]] = frozenset({"interpolation", "interpolate_anomalies"})

    dim: int = Field(default=256, ge=8, le=4096, multiple_of=2)
    """Width of encoder and fusion tokens."""
    num_heads: int = Field(default=8, ge=1, le=64)
    """Attention heads of encoders and fusion; divides `dim`."""
    image_depth: int = Field(default=6, ge=1, le=48)
    """Layers of each image encoder."""
    vector_depth: int = Field(default=4, ge=1, le=48)
    """Layers of each vector encoder."""
    shared_depth: int = Field(default=1, ge=0, le=4)
    """Layers that all modalities share after their encoders; 0 keeps the modalities separate."""
    mlp_ratio: int = Field(default=4, ge=1, le=8)
    """Hidden width of the feed-forward networks, as a multiple of their width."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout on the branches of encoder and fusion layers; attention weights are not dropped."""
    film_mode: FilmMode = "tanh"
    """Scale of the static conditioning (FiLM): tanh in (-1, 1), or 1 + tanh in (0, 2), near 1 at first; none is off."""
    film_scope: FilmScope = "per_patch"
    """Whether a vector token is conditioned by its own catchments or by the mean over all of them.

    The mean over all catchments of standardised attributes is zero, so global carries no information.
    """
    decoder_type: DecoderType = "cross"
    """Whether masked patches read the encoder's tokens (CrossMAE) or attend to all patches as in MAE."""
    decoder_dim: int = Field(default=128, ge=8, le=4096, multiple_of=2)
    """Width of decoder tokens."""
    decoder_num_heads: int = Field(default=8, ge=1, le=64)
    """Attention heads of the decoders; divides `decoder_dim`."""
    decoder_depth: int = Field(default=4, ge=1, le=48)
    """Blocks of each decoder."""
    decoder_self_attention: bool = False
    """Whether the queries of a cross decoder also see each other; off as in CrossMAE (arXiv:2401.14391)."""
    weighted_feature_maps: bool = False
    """Whether each block of a cross decoder reads its own mixture of the encoder's layers (CrossMAE, section 3.4)."""
    feature_map_layers: tuple[int, ...] | None = Field(default=None, min_length=1)
    """Encoder layers, counted from 0, that are mixed besides the last one; None takes all.

    The last map is the output of the shared layers, so that the fusion is never bypassed.
    """
    feature_map_input: bool = False
    """Whether the tokens before the first encoder layer are mixed too."""
    interpolation: InterpolationMode = "none"
    """What decoders make of values interpolated from the visible ones, in space, and in time for what persists.

    None is as published; they may read them beside the place and day of a masked patch, predict what is added to them,
    which is 0 before training, or both.
    """
    interpolate_anomalies: bool = False
    """Whether anomalies from the seasonal cycle of each place are interpolated, and added to the cycle, not values.

    The cycle is that of the training split: the mean and two harmonics of the year.
    """

    @model_validator(mode="after")
    def _heads_divide_widths(self) -> Self:
        for heads, dim in (("num_heads", "dim"), ("decoder_num_heads", "decoder_dim")):
            if getattr(self, dim) % getattr(self, heads):
                raise ValueError(
                    f"{heads} must divide {dim}, got {getattr(self, heads)} and {getattr(self, dim)}"
                )
        return self

    def idle(self) -> tuple[str, ...]:
        """Returns the names of knobs without effect: of a cross decoder, feature maps or conditioning that is off."""
        names = ["decoder_self_attention", "weighted_feature_maps"] if self.decoder_type == "self" else []
        names += [] if self.weighted_feature_maps else ["feature_map_layers", "feature_map_input"]
        names += ["film_scope"] if self.film_mode == "none" else []
        names += ["interpolate_anomalies"] if self.interpolation == "none" else []
        return tuple(names)

    @model_validator(mode="after")
    def _no_knob_is_idle(self) -> Self:
        if self.decoder_type == "self":
            _refuse_idle(self, ("decoder_self_attention", "weighted_feature_maps"), "decoder_type is cross")
        if not self.weighted_feature_maps:
            _refuse_idle(self, ("feature_map_layers", "feature_map_input"), "weighted_feature_maps is on")
        if self.film_mode == "none":
            _refuse_idle(self, ("film_scope",), "film_mode is not none")
        if self.interpolation == "none":
            _refuse_idle(self, ("interpolate_anomalies",), "interpolation is not none")
        return self

    @model_validator(mode="after")
    def _feature_maps_exist(self) -> Self:
        layers, depth = self.feature_map_layers or (), min(self.image_depth, self.vector_depth)
        if list(layers) != sorted(set(layers) & set(range(depth))):
            raise ValueError(
                f"feature_map_layers must be layers of every encoder, 0 to {depth - 1}, each once and in order, "
                f"got {layers}; leave it out to mix all layers"
            )
        return self


def _refuse_idle(knobs: Knobs, names: tuple[str, ...], condition: str) -> None:
    """Refuses knobs that would have no effect.

    Args:
        knobs: A group of knobs.
        names: Names of knobs that have an effect only under the condition.
        condition: The condition, in words.
    """
    for name in names:
        value, default = getattr(knobs, name), type(knobs).model_fields[name].default
        if value != default:
            raise ValueError(
                f"{name} must be {default} unless {condition}, for it would change nothing, got {value}; "
                "leave it out"
            )


Weight = Annotated[Scheduled, Field(ge=0, le=1e6)]


class LossWeights(Knobs):
    """Weight of each modality's masked mean squared error in the loss; only their ratios matter.

    Modalities other than these five are named like them and have the weight 1 by default.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Weight]

    precipitation: Weight = 100.0
    """Weight of precipitation."""
    soil_moisture: Weight = 10.0
    """Weight of soil moisture."""
    temperature: Weight = 10.0
    """Weight of temperature."""
    evaporation: Weight = 1.0
    """Weight of evaporation."""
    river_flow: Weight = 1.0
    """Weight of river flow; leave it at 1 in a search, because a common factor has no effect."""

    def of(self, names: tuple[str, ...], done: float) -> dict[str, float]:
        """Returns the weights of some modalities by name, at a share of the stage's budget."""
        given = dict(self)
        return {name: value_at(given.get(name, 1.0), done) for name in names}


class LossKnobs(Knobs):
    """The reconstruction loss, and the contrastive loss that may be added to it."""

    norm_target: bool = False
    """Whether the error of a patch's pattern around its mean is divided by its variance, as in MAE's pixel loss.

    Predictions stay in the units of the data and are evaluated in them.
    """
    contrastive_weight: Scheduled = Field(default=0.0, ge=0, le=1e3)
    """Weight of the contrastive loss between modalities of a window (CAV-MAE, arXiv:2210.07839); 0 leaves it out."""
    contrastive_temperature: Scheduled = Field(default=0.05, gt=0, le=10)
    """Temperature of the contrastive loss."""

    def idle(self) -> tuple[str, ...]:
        """Returns the names of knobs without effect: the temperature without a contrastive loss."""
        return () if self.contrastive_weight else ("contrastive_temperature",)

    @model_validator(mode="after")
    def _no_knob_is_idle(self) -> Self:
        if not self.contrastive_weight:
            _refuse_idle(self, ("contrastive_temperature",), "contrastive_weight is positive")
        return self


class ForecastKnobs(Knobs):
    """Downstream task: forecasts of a series, such as river flow, by a linear head on frozen or fine-tuned encoders."""

    added: ClassVar[frozenset[str]] = frozenset({"modality", "encoder_lr_scale"})
    changeable: ClassVar[frozenset[str]] = frozenset({"lr_scale"})

    share: float = Field(default=0.0, ge=0, le=1)
    """Share of the sample budget, at its end, that trains the head; 0 for no head.

    1 trains no decoders, and forecasts with encoders of another study (`starts_from`) or with random ones.
    """
    lr_scale: float = Field(default=1.0, gt=0, le=1e3)
    """Factor on the learning rate of the head."""
    modality: str = "river_flow"
    """The series that is forecast."""
    encoder_lr_scale: float = Field(default=0.0, ge=0, le=1e3)
    """Factor on the learning rate of the encoders while the head trains (fine-tuning); 0 freezes them.

    All that a forecast reads is fine-tuned: encoders, modality tokens and shared layers. Decoders stay as they are, so
    metrics of reconstruction then tell what the encoders have forgotten.
    """

    def idle(self) -> tuple[str, ...]:
        """Returns the names of knobs without effect: the learning rates and the series without a head."""
        return () if self.share else ("lr_scale", "modality", "encoder_lr_scale")

    @model_validator(mode="after")
    def _no_knob_is_idle(self) -> Self:
        if not self.share:
            _refuse_idle(self, ("lr_scale", "modality", "encoder_lr_scale"), "share is positive")
        return self


class EvaluationKnobs(Knobs):
    """What the objective of a study includes; it must be the same in all of its trials."""

    recorded: ClassVar[Mapping[str, Any]] = {"modalities": list(PUBLISHED_SET.names)}

    modalities: tuple[str, ...] | None = None
    """Modalities of which ``skill`` is the mean, at every mask ratio; None takes all.

    The other modalities are trained and measured too. Leave out a modality whose skill says nothing about a model,
    such as a derived evaporation that hardly differs from its annual cycle.
    """


class WaterMAE(FamilyConfig):
    """Masked autoencoder over gridded fields and catchment series; the published one has three and two."""

    changeable: ClassVar[frozenset[str]] = frozenset({"loss_weights"})

    dataset: str = Field(default="gb-hydrology", min_length=1)
    """Data set to train on: a folder below the family's data folder."""
    optimization: Optimization = Optimization(precision="fp16", warmup_ratio=0.5)
    """Optimizer, schedule and batch; the published warm-up lasts 5 of 10 epochs."""
    data: DataKnobs = DataKnobs()
    """Windows and patches."""
    masking: MaskingKnobs = MaskingKnobs()
    """Masks of training."""
    model: ModelKnobs = ModelKnobs()
    """Architecture."""
    loss_weights: LossWeights = LossWeights()
    """Weights of the loss parts."""
    loss: LossKnobs = LossKnobs()
    """Form of the loss."""
    forecast: ForecastKnobs = ForecastKnobs()
    """Downstream task."""
    evaluation: EvaluationKnobs = EvaluationKnobs()
    """Modalities of the objective; no search may change them."""

    @property
    def modality_set(self) -> ModalitySet:
        """The modalities, fields first."""
        return self.data.modality_set

    @property
    def judged(self) -> tuple[str, ...]:
        """Modalities of which ``skill`` is the mean."""
        chosen = self.evaluation.modalities
        return self.modality_set.names if chosen is None else chosen

    def weights_at(self, done: float) -> dict[str, float]:
        """Returns the loss weight of each modality at a share of the stage's budget."""
        return self.loss_weights.of(self.modality_set.names, done)

    def idle(self) -> tuple[str, ...]:
        """Returns the names of knobs without effect: masks and loss without pre-training, those of what is not there.

        Metrics use loss weights.
        """
        modalities = self.modality_set
        absent = [f"loss_weights.{name}" for name in LossWeights.model_fields if name not in modalities.names]
        for kind, there in (("image", modalities.fields), ("vector", modalities.series)):
            if not there:
                absent += [
                    f"masking.{kind}_mask_ratio",
                    f"masking.{kind}_kept_mask_ratio",
                    f"model.{kind}_depth",
                ]
        absent += [] if self.data.described_by else ["model.film_mode", "model.film_scope"]
        return (*absent, *(("masking", "loss") if self.forecast.share == 1 else ()))

    @field_validator("evaluation")
    @classmethod
    def _all_of_them_are_none(cls, knobs: EvaluationKnobs, info: ValidationInfo) -> EvaluationKnobs:
        """Spells all modalities as None, as configurations of older studies do not."""
        data = info.data.get("data")
        if data is None or knobs.modalities != data.modality_set.names:
            return knobs
        return EvaluationKnobs()

    @model_validator(mode="after")
    def _names_are_those_of_modalities(self) -> Self:
        names, series = self.modality_set.names, self.modality_set.series
        chosen = self.judged
        ordered = tuple(name for name in names if name in chosen)
        if not ordered or chosen != ordered:
            raise ValueError(
                f"evaluation.modalities must be some of {', '.join(names)}, each once and in this order, got "
                f"{', '.join(chosen) or 'none'}; try {', '.join(ordered or names)}"
            )
        if strange := [name for name in self.loss_weights.model_extra or {} if name not in names]:
            raise ValueError(
                f"loss_weights must name modalities, got {', '.join(strange)}; there are {', '.join(names)}"
            )
        weights = dict(self.loss_weights)
        if not any(weights.get(name, 1.0) for name in names):
            raise ValueError("at least one loss weight must be positive, got 0 for all")
        if self.forecast.share and self.forecast.modality not in series:
            raise ValueError(
                f"forecast.modality must be a series, got {self.forecast.modality!r}; there are "
                f"{', '.join(series) or 'none'}"
            )
        if self.loss.contrastive_weight and len(names) < 2:
            raise ValueError(
                f"contrastive_weight must be 0 with one modality, for it contrasts several, got "
                f"{self.loss.contrastive_weight:g} with {names[0]} alone; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _a_self_decoder_predicts_all_that_is_hidden(self) -> Self:
        kept = (self.masking.image_kept_mask_ratio, self.masking.vector_kept_mask_ratio)
        if self.model.decoder_type == "self" and kept != (None, None):
            raise ValueError(
                "image_kept_mask_ratio and vector_kept_mask_ratio must be None when decoder_type is self, whose "
                f"blocks need all patches, got {kept[0]} and {kept[1]}; leave them out or take decoder_type cross"
            )
        return self


_EVEN_WEIGHTS = LossWeights(precipitation=1.0, soil_moisture=1.0, temperature=1.0)

# Published in epochs: 10 of 401 windows (reference, exp2) and 50 of 4,003 (exp1). A study counts samples.
PRESETS: Presets[WaterMAE] = Presets(
    {
        "reference": WaterMAE(),
        "exp1": WaterMAE(
            optimization=Optimization(precision="fp16", batch_size=32, warmup_ratio=0.1),
            data=DataKnobs(stride=2),
            masking=MaskingKnobs(image_mask_ratio=0.6, vector_mask_ratio=0.6),
        ),
        "exp2": WaterMAE(
            optimization=Optimization(precision="fp16", lr=5e-5, clip_norm=0.0, warmup_ratio=0.5),
            masking=MaskingKnobs(image_mask_ratio=0.3, vector_mask_ratio=0.3),
            loss_weights=_EVEN_WEIGHTS,
        ),
        "small": WaterMAE(
            dataset="small",
            optimization=Optimization(lr=2e-3, batch_size=8),
            data=DataKnobs(sequence_length=8, stride=4, evaluation_stride=4),
            model=ModelKnobs(
                dim=64,
                num_heads=4,
                image_depth=2,
                vector_depth=2,
                dropout=0.0,
                film_mode="one_plus",
                decoder_dim=64,
                decoder_num_heads=4,
                decoder_depth=2,
            ),
            loss_weights=_EVEN_WEIGHTS,
        ),
        "tiny": WaterMAE(
            dataset="tiny",
            optimization=Optimization(lr=3e-3, batch_size=8),
            data=DataKnobs(sequence_length=4, stride=2, vector_patch_size=4),
            model=ModelKnobs(
                dim=32,
                num_heads=2,
                image_depth=1,
                vector_depth=1,
                mlp_ratio=2,
                dropout=0.0,
                film_mode="one_plus",
                decoder_dim=32,
                decoder_num_heads=2,
                decoder_depth=1,
            ),
            loss_weights=_EVEN_WEIGHTS,
        ),
    }
)
PRESETS["gb_small"] = PRESETS["small"].vary(
    dataset="gb-hydrology", data={"sequence_length": 4, "stride": 4, "evaluation_stride": 4}
)
