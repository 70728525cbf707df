"""Knobs of views, pairs, encoder, decoder, objective and stages; light, for search spaces import them."""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from thalweg.config import Knobs
from thalweg.knobs.scheduled import Schedule, Scheduled, Shape, late_step

REFERENCE_VARIABLES = ("t2m", "u", "v", "z", "q")
"""Variables of the reference experiment at 850 hPa, and of the synthetic world, in their order."""

NAME_RULE = "letters, digits, underscores, hyphens and dots"
"""What names of variables are made of: they are those of files, pictures, parts of models and metrics."""

Objective = Literal["simclr", "barlow", "supcon", "simclr_supcon", "simclr_barlow", "autoencoder"]
Norm = Literal["batch", "instance", "group8", "group16", "group32", "layer", "none"]
Fusion = Literal["early", "average", "self_attention", "gcn", "gat", "cross_attention"]
DecoderMode = Literal["joint", "frozen", "joint_then_frozen"]


def is_name(text: str) -> bool:
    """Returns whether a variable may be called so."""
    return re.fullmatch(r"\w[\w.-]*", text) is not None


class DataKnobs(Knobs):
    """Variables that the model sees and reconstructs."""

    variables: tuple[str, ...] = Field(default=REFERENCE_VARIABLES, min_length=1)
    """Names of variables of the data set, each once; their order is that of channels and of modalities."""

    @field_validator("variables")
    @classmethod
    def _name_files_and_metrics(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if odd := [name for name in names if not is_name(name)]:
            raise ValueError(
                f"variables must have names of {NAME_RULE}, got {odd[0]!r}; rename it in the data set"
            )
        return names

    @model_validator(mode="after")
    def _each_variable_once(self) -> Self:
        if len(set(self.variables)) < len(self.variables):
            raise ValueError(
                f"variables must be named once each, got {self.variables}; leave out repeated names"
            )
        return self


class ViewKnobs(Knobs):
    """Augmentations of a field in training; the evaluation hides 70 % of the cells and changes nothing else."""

    changeable: ClassVar[frozenset[str]] = frozenset(
        {"mask_low", "mask_high", "mode_drop", "crop", "noise", "flip", "cutout"}
    )

    mask_low: float = Field(default=0.5, ge=0, le=0.99)
    """Smallest share of cells that a view hides, drawn for each view and variable by itself."""
    mask_high: float = Field(default=0.9, ge=0, le=0.99)
    """Largest share of cells that a view hides."""
    mode_drop: float = Field(default=0.2, ge=0, le=1)
    """Probability that a view hides one whole variable, another one than the other views of the day; the only variable
    of a data set is never hidden."""
    crop: float = Field(default=0.9, gt=0, le=1)
    """Smallest share of each axis that a view shows, enlarged to the whole grid; 1 switches cropping off. What is
    reconstructed stays the whole field, as published: a crop hides the rest, and its place and size are to be found."""
    smooth: Literal[1, 3, 5, 7] = 5
    """Side of the window of a moving mean over visible cells, in cells; 1 switches smoothing off."""
    noise: float = Field(default=0.0, ge=0, le=2)
    """Standard deviation of noise on visible cells, in standard deviations of the variable."""
    noise_kind: Literal["white", "matern"] = "white"
    """Independent noise in each cell, or a Matern field (nu 3/2) with a length scale of three cells."""
    flip: float = Field(default=0.0, ge=0, le=0.5)
    """Probability that a day is mirrored along longitude: its views, and the fields that are reconstructed from them,
    for nothing in a mirrored view says that it is one. Winds are refused, for mirrored ones blow against the rotation
    of the Earth."""
    cutout: float = Field(default=0.0, ge=0, le=0.9)
    """Side of a rectangle that a view hides, as a share of each axis; 0 switches it off."""

    def idle(self) -> tuple[str, ...]:
        """Names the kind of noise if there is none."""
        return () if self.noise else ("noise_kind",)

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.mask_low > self.mask_high:
            raise ValueError(
                f"mask_low must be at most mask_high, got {self.mask_low:g} > {self.mask_high:g}; search the lower "
                "share and a width"
            )
        return self


class PairKnobs(Knobs):
    """Which days are positives and negatives of a day."""

    max_delta: int = Field(default=5, ge=1, le=30, json_schema_extra={"unit": "days"})
    """Largest distance of the temporal positives t - delta and t + delta; delta is drawn from 1 to this."""
    decay: float = Field(default=0.1, ge=0, le=2, json_schema_extra={"unit": "1/day"})
    """A positive at the distance delta weighs exp(-decay * delta)."""
    hard_negatives: bool = True
    """Whether each day brings one that lies 10 to 40 days away, as a further negative."""
    soft_negatives: bool = False
    """Whether each day brings one that lies at least soft_gap days away, as a further negative."""
    soft_gap: int = Field(default=1000, ge=30, le=10000, json_schema_extra={"unit": "days"})
    """Smallest distance of a soft negative."""

    def idle(self) -> tuple[str, ...]:
        """Names the gap if there are no soft negatives."""
        return () if self.soft_negatives else ("soft_gap",)


class FusionKnobs(Knobs):
    """How variables meet: as channels of one encoder, or as latents of one encoder each."""

    kind: Fusion = "early"
    """early: one encoder of all variables, which must share a grid; the others fuse one latent per variable."""
    heads: Literal[1, 2, 4, 5, 8, 10] = 8
    """Heads of an attention; must divide latent_dim."""
    layers: int = Field(default=1, ge=1, le=3)
    """Layers of a graph network."""
    adjacency: Literal["physical", "full", "learned"] = "physical"
    """Edges of the graph, or who attends to whom: variables that physics couples, all of them, or weights that training
    finds."""
    num_parameters: int | None = Field(default=None, ge=1)
    """Parameters of the fusion, which a residual network behind it makes up to about one width of the latent; None
    leaves that network out. 4,100,000 suits all kinds at a latent_dim of 1000."""

    def idle(self) -> tuple[str, ...]:
        """Names what the kind of fusion does not read."""
        readers = {
            "heads": ("self_attention", "cross_attention", "gat"),
            "layers": ("gcn", "gat"),
            "adjacency": ("gcn", "gat", "cross_attention"),
            "num_parameters": ("average", "self_attention", "gcn", "gat", "cross_attention"),
        }
        return tuple(name for name, kinds in readers.items() if self.kind not in kinds)


class EncoderKnobs(Knobs):
    """A residual network (arXiv:1512.03385) from fields to a latent vector."""

    latent_dim: int = Field(default=1000, ge=4, le=4096)
    """Width of the latent."""
    width: int = Field(default=64, ge=4, le=256)
    """Channels of the first of four groups of blocks; each further group has twice as many."""
    blocks: int = Field(default=2, ge=1, le=4)
    """Residual blocks of each group; 2 is ResNet18."""
    stem: Literal["imagenet", "small"] = "imagenet"
    """First layer: 7 x 7 with stride 2 and a pool, or 3 x 3 for small grids."""
    norm: Norm = "instance"
    """Normalisation; instance is a group normalisation with a group for each channel."""
    positions: bool = True
    """Whether a fixed code of longitude and latitude is added behind the first layer: a network that wraps around the
    globe and ends in a mean cannot otherwise tell a field from the same one at other longitudes."""
    linear: bool = False
    """Whether a linear layer from all cells is added to the network. It finds the leading patterns of fields at once,
    which convolutions that end in a mean take long to learn from few days."""
    patterns: int = Field(default=0, ge=0, le=512)
    """Leading patterns of the training days (empirical orthogonal functions) by which hidden cells are interpolated
    before the network sees them; their amplitudes are the first numbers of the latent, to which the network adds. There
    are no more than latent_dim. 0 shows hidden cells as zeros, as published."""
    fusion: FusionKnobs = FusionKnobs()
    """How variables meet."""

    @property
    def num_patterns(self) -> int:
        """How many patterns there are: no more than a latent has numbers."""
        return min(self.patterns, self.latent_dim)

    @model_validator(mode="after")
    def _heads_divide_the_latent(self) -> Self:
        if "heads" not in self.fusion.idle() and self.latent_dim % self.fusion.heads:
            raise ValueError(
                f"heads must divide latent_dim, got {self.fusion.heads} and {self.latent_dim}; search latent_dim as a "
                "multiple of heads"
            )
        return self


class DecoderKnobs(Knobs):
    """A network from a latent to fields, one for each grid."""

    kind: Literal["deconvolution", "residual", "improved"] = "residual"
    """Transposed convolutions alone, with a residual block after each, or up-sampling with two, where the latent
    modulates every scale."""
    norm: Norm = "group8"
    """Normalisation, as in the encoder; instance takes the mean of each map away, which a field has."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout in the blocks."""
    linear: bool = False
    """Whether a linear layer to all cells is added to the network, as in the encoder."""
    adversary_weight: float = Field(default=0.0, ge=0, le=1)
    """Strength with which the decoder trains against an opponent that tells true fields from decoded ones patch by
    patch; 0 leaves the opponent out."""


class ObjectiveKnobs(Knobs):
    """What pre-training minimises."""

    added: ClassVar[frozenset[str]] = frozenset({"projector_norm"})
    changeable: ClassVar[frozenset[str]] = frozenset({"off_diagonal", "latent_l1", "latent_l2"})

    kind: Objective = "simclr"
    """Agreement of views (NT-Xent), decorrelation (Barlow Twins), agreement within seasons (SupCon), sums of two of
    them, or reconstruction alone."""
    projection_dim: int = Field(default=128, ge=8, le=2048)
    """Width of the projection that a contrastive loss compares."""
    projector_norm: Literal["batch", "layer", "none"] = "batch"
    """Normalisation between the layers of the projector. Only that of a batch looks at other samples: see
    ghost_batch_norm."""
    temperature: Scheduled = Field(default=0.3, ge=0.01, le=5)
    """Divides the cosines of NT-Xent and SupCon."""
    off_diagonal: float = Field(default=5e-3, gt=0, le=1)
    """Lambda of Barlow Twins (arXiv:2103.03230)."""
    second_weight: Scheduled = Field(default=0.5, ge=0, le=10)
    """Weight of the second loss of a sum of two; not 0 throughout."""
    weighted_negatives: bool = False
    """Whether negatives of NT-Xent weigh less the nearer they lie in time: 1 - exp(-decay * distance)."""
    cycle: Literal["off", "projection", "latent"] = "projection"
    """Where the curvature z(t + delta) - 2 z(t) + z(t - delta) is penalised."""
    cycle_weight: Scheduled = Field(default=1.0, ge=0, le=100)
    """Weight of the mean square of the curvature; not 0 throughout."""
    latent_l1: float = Field(default=0.0, ge=0, le=1)
    """Weight of the mean absolute latent."""
    latent_l2: float = Field(default=0.0, ge=0, le=1)
    """Weight of the mean squared latent."""

    @model_validator(mode="after")
    def _a_loss_that_is_there_has_a_weight(self) -> Self:
        ways = {"second_weight": "take an objective of one loss", "cycle_weight": "take cycle 'off'"}
        for name, way_out in ways.items():
            if not getattr(self, name):
                raise ValueError(f"{name} must be above 0 at some time of training, got 0; {way_out}")
        return self

    @property
    def is_contrastive(self) -> bool:
        """Whether samples are compared with one another."""
        return self.kind != "autoencoder"

    @property
    def terms(self) -> tuple[str, ...]:
        """The contrastive losses that are added up."""
        return tuple(self.kind.split("_")) if self.is_contrastive else ()

    def idle(self) -> tuple[str, ...]:
        """Names what the objective does not read."""
        names = {
            "temperature": {"simclr", "supcon"} & set(self.terms),
            "off_diagonal": "barlow" in self.terms,
            "weighted_negatives": "simclr" in self.terms,
            "second_weight": len(self.terms) > 1,
            "projection_dim": self.is_contrastive,
            "projector_norm": self.is_contrastive,
            "cycle": self.is_contrastive,
            "cycle_weight": self.is_contrastive and self.cycle != "off",
        }
        return tuple(name for name, read in names.items() if not read)


class AlphaKnobs(Knobs):
    """Alpha, the share of the contrastive loss in the joint stage; 1 - alpha is that of the reconstruction.

    It is the `Schedule` from `start` to what is named `floor` here, and the floor of the schedule is named `cap`. By
    default alpha is ``max(floor + (start - floor) * 2 ** (-p / half_point), cap)`` over the done share p of the stage.
    """

    added: ClassVar[frozenset[str]] = frozenset({"shape"})

    start: float = Field(default=1.0, gt=0, le=1)
    """Alpha at the beginning."""
    half_point: float = Field(default=0.277, gt=0.005, le=10)
    """Share of the stage after which the distance to the floor has halved; 0.277 is a decay of 0.01 per epoch over
    250 epochs."""
    floor: float = Field(default=0.0, ge=0, le=0.9)
    """What alpha tends to."""
    cap: float = Field(default=0.0, ge=0, le=0.9)
    """Smallest alpha: the decay ends there."""
    shape: Shape = "exponential"
    """Course of alpha from start to floor; see `thalweg.knobs.scheduled.Schedule`."""

    @property
    def schedule(self) -> Schedule:
        """Alpha over the stage."""
        return Schedule(
            start=self.start, end=self.floor, shape=self.shape, half_point=self.half_point, floor=self.cap
        )

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        """What `thalweg describe` draws."""
        return {"": self.schedule}

    @model_validator(mode="after")
    def _floor_cap_and_start_ascend(self) -> Self:
        if not self.floor <= max(self.cap, self.floor) <= self.start:
            raise ValueError(
                f"floor and cap must be at most start, got floor {self.floor:g}, cap {self.cap:g}, "
                f"start {self.start:g}; lower them"
            )
        if self.shape == "step" and self.half_point >= 1:
            raise ValueError(late_step(self.half_point))
        return self


def cap_of(start: float, half_point: float, floor: float, ratio: float) -> float:
    """Returns a cap that an exponential alpha reaches within its stage, for spaces that search it.

    A lower one would change nothing where alpha falls slowly.

    Args:
        start: Alpha at the beginning.
        half_point: Share of the stage after which the distance to the floor has halved.
        floor: What alpha tends to.
        ratio: Where the cap lies between alpha's end without a cap, 0, and its start, 1.
    """
    end = floor + (start - floor) * 2 ** (-1 / half_point)
    return end + (start - end) * ratio


class StageKnobs(Knobs):
    """Stages of training, and their shares of the budget."""

    changeable: ClassVar[frozenset[str]] = frozenset({"joint_lr_scale", "decoder_lr_scale", "alpha"})

    decoder_mode: DecoderMode = "joint_then_frozen"
    """How a decoder joins a contrastive encoder: both train under alpha, the decoder alone on a frozen encoder, or one
    after the other."""
    contrastive_share: float = Field(default=100, gt=0)
    """Share of contrastive pre-training, beside the other shares."""
    joint_share: float = Field(default=250, gt=0)
    """Share of encoder and decoder under alpha."""
    decoder_share: float = Field(default=200, gt=0)
    """Share of the decoder on the frozen encoder."""
    joint_lr_scale: float = Field(default=1.0, gt=0, le=100)
    """Factor on the learning rate in the joint stage."""
    decoder_lr_scale: float = Field(default=1.0, gt=0, le=100)
    """Factor on the learning rate of the decoder on the frozen encoder."""
    alpha: AlphaKnobs = AlphaKnobs()
    """Share of the contrastive loss in the joint stage."""

    def idle(self) -> tuple[str, ...]:
        """Names the knobs of stages that the mode leaves out."""
        absent = {"joint": ("decoder",), "frozen": ("joint",), "joint_then_frozen": ()}[self.decoder_mode]
        names = [f"{stage}_{knob}" for stage in absent for knob in ("share", "lr_scale")]
        return (*names, *(("alpha",) if "joint" in absent else ()))


class EvaluationKnobs(Knobs):
    """What is evaluated beside the reconstruction from all variables; no training depends on it."""

    without_each: bool = False
    """Whether fields are reconstructed with each variable missing too, as ``rrmse_without_VARIABLE``; evaluations then
    take longer, by an encoding and a decoding for each variable."""
    without: tuple[tuple[str, ...], ...] = ()
    """Further sets of variables that are missing together, such as ``[["u", "v"]]`` for ``rrmse_without_u.v``."""

    def missing(self, variables: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Returns the sets of missing variables, each once, in the order of the variables."""
        each = [(name,) for name in variables] if self.without_each and len(variables) > 1 else []
        ordered = [tuple(name for name in variables if name in names) for names in self.without]
        return tuple(dict.fromkeys([*each, *ordered]))


def rrmse_without(missing: Sequence[str]) -> str:
    """Returns the name of the metric of reconstructions with some variables missing."""
    return f"rrmse_without_{'.'.join(missing)}"
