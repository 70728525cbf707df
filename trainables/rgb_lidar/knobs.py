"""Knobs that both kinds of configuration share, and those of the fusion classifier."""

from typing import Literal, Self

from pydantic import Field, model_validator

from thalweg.config import Knobs

FusionStage = Literal["late", "intermediate", "early"]
Downsampling = Literal["maxpool", "avgpool", "strided_extra", "strided_replace"]
LidarRepr = Literal["depth", "xyza"]
LidarNorm = Literal["raw", "masked", "scaled"]


class DataKnobs(Knobs):
    """Input channels, and the share of training scenes; the evaluation always uses the same scenes."""

    rgb_channels: Literal[3, 4] = 4
    """Channels of the image: 3 drops the opacity."""
    lidar_repr: LidarRepr = "xyza"
    """The scan as one map of distances, or as x, y, z and whether the ray came back."""
    lidar_norm: LidarNorm = "scaled"
    """Distances in metres (raw), 0 if a ray did not come back (masked), or masked and divided by the range (scaled)."""
    data_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the training scenes of each class; a smaller share is part of every larger one."""

    @property
    def lidar_channels(self) -> int:
        """Channels of the scan."""
        return 4 if self.lidar_repr == "xyza" else 1


class EncoderKnobs(Knobs):
    """A convolutional network for images or scans: blocks that halve their maps, then dense layers."""

    downsampling: Downsampling = "maxpool"
    """How maps are halved: by a pool, a further convolution (strided_extra), or the block's own (strided_replace)."""
    channels: int = Field(default=25, ge=1, le=1024)
    """Channels of the first block; each further block has twice as many."""
    max_channels: int = Field(default=100, ge=1, le=4096)
    """Largest number of channels of a block."""
    depth: int = Field(default=3, ge=1, le=6)
    """Number of blocks, each of which halves its map."""
    hidden_dim: int = Field(default=1000, ge=0, le=8192)
    """Width of the first layer after the blocks; 0 leaves it out."""
    neck_dim: int = Field(default=100, ge=1, le=8192)
    """Width of the layer after that."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout after each hidden dense layer."""

    @model_validator(mode="after")
    def _channels_do_not_shrink(self) -> Self:
        if self.max_channels < self.channels:
            raise ValueError(
                f"max_channels must be at least channels, got {self.max_channels} < {self.channels}"
            )
        return self

    @property
    def block_widths(self) -> tuple[int, ...]:
        """Channels of each block."""
        return tuple(min(self.channels * 2**block, self.max_channels) for block in range(self.depth))

    @property
    def dense_widths(self) -> tuple[int, ...]:
        """Widths of the hidden dense layers."""
        return tuple(width for width in (self.hidden_dim, self.neck_dim) if width)


class FusionKnobs(EncoderKnobs):
    """Fusion stage, fusion, and the sizes of layers before and after.

    Each modality has blocks of its own, unless their pixels are fused. The dense layers come before a late fusion and
    after any other.
    """

    kind: Literal["fusion"] = "fusion"
    """A classifier of image and scan together."""
    fusion_stage: FusionStage = "late"
    """What is fused: the embeddings of both modalities (late), their feature maps (intermediate), or their pixels,
    which one encoder reads together (early)."""
    fusion: str = Field(default="concat", min_length=1)
    """How it is fused: concat (the only one for early), add, hadamard, matmul (intermediate only), attention, gated, or
    another name in `thalweg.nn.map_fusion.FUSIONS`."""
    fused_depth: int = Field(default=0, ge=0, le=5)
    """Number of blocks after an intermediate fusion, with as many channels as its output; 0 for any other."""
    embedding_dim: int = Field(default=100, ge=1, le=8192)
    """Width of a modality's embedding; late fusion only."""
    head_dim: int = Field(default=50, ge=1, le=8192)
    """Hidden width of the classifier of fused embeddings; late fusion only."""
    normalize_embeddings: bool = False
    """Whether embeddings have length 1 before they are fused; late fusion only."""
    num_logits: Literal[1, 2] = 2
    """One logit, the log-odds of a sphere, or one for each class."""
    num_parameters: int | None = Field(default=None, ge=1)
    """Number of parameters of the whole model, matched by one width; None leaves the widths as they are.

    It sets hidden_dim, or neck_dim if hidden_dim is 0, so that fusions of equal size can be compared.
    """

    def idle(self) -> tuple[str, ...]:
        """Returns the names of knobs without effect: those of the other fusion stage."""
        if self.fusion_stage == "late":
            return ("fused_depth",)
        of_embeddings = ("embedding_dim", "head_dim", "normalize_embeddings")
        return (
            of_embeddings
            if self.fusion_stage == "intermediate"
            else ("fusion", "fused_depth", *of_embeddings)
        )

    @model_validator(mode="after")
    def _knobs_of_the_stage(self) -> Self:
        if self.fusion_stage != "intermediate" and self.fused_depth:
            raise ValueError(f"fused_depth must be 0 for {self.fusion_stage} fusion, got {self.fused_depth}")
        if self.fusion_stage != "late" and self.normalize_embeddings:
            raise ValueError(
                f"normalize_embeddings needs late fusion, got fusion_stage {self.fusion_stage!r}"
            )
        if self.fusion_stage == "early" and self.fusion != "concat":
            raise ValueError(
                f"fusion must be 'concat' for early fusion, which stacks channels of pixels, got {self.fusion!r}; "
                "leave it out, or set fusion_stage to 'intermediate'"
            )
        return self
