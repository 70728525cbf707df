"""Every knob of the RGB and LiDAR fusion classifier; the defaults are the first published late fusion.

Two published experiments are presets, with all their fusions. ``first_*``: three blocks of 25, 50 and 100
channels and two logits. ``second_*``: normalised embeddings of four blocks where modalities meet late, two
blocks and a shared one where they meet as maps, three colour channels, metres, one logit.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from thalweg.config import FamilyConfig, Knobs, Optimization

CLASSES = ("cubes", "spheres")
MODALITIES = ("rgb", "lidar")

FusionStage = Literal["late", "intermediate"]
Downsampling = Literal["maxpool", "avgpool", "strided_extra", "strided_replace"]
LidarRepr = Literal["depth", "xyza"]
LidarNorm = Literal["raw", "masked", "scaled"]


class DataKnobs(Knobs):
    """What a model sees of a scene, and of how many scenes; the evaluation asks about the same scenes always."""

    rgb_channels: Literal[3, 4] = 4
    """Channels of the image: 3 drops the opacity."""
    lidar_repr: LidarRepr = "xyza"
    """The scan as one map of distances, or as x, y, z and whether the ray came back."""
    lidar_norm: LidarNorm = "scaled"
    """Distances in metres (raw), 0 where no ray came back (masked), or masked and divided by the range (scaled)."""
    data_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the training scenes of each class; a smaller share is part of every larger one."""

    @property
    def lidar_channels(self) -> int:
        """Channels of the scan."""
        return 4 if self.lidar_repr == "xyza" else 1


class ModelKnobs(Knobs):
    """Where and how the modalities meet, and the sizes before and after."""

    fusion_stage: FusionStage = "late"
    """Where: the embeddings of both modalities (late) or their feature maps (intermediate)."""
    fusion: str = Field(default="concat", min_length=1)
    """How: a name in `thalweg.nn.map_fusion.FUSIONS`."""
    downsampling: Downsampling = "maxpool"
    """What halves the maps: a pool, a further convolution (strided_extra), or the block's own (strided_replace)."""
    channels: int = Field(default=25, ge=1, le=1024)
    """Channels of the first block; each further block has twice as many."""
    max_channels: int = Field(default=100, ge=1, le=4096)
    """Most channels of a block."""
    depth: int = Field(default=3, ge=1, le=6)
    """Blocks of each modality, each of which halves its map."""
    fused_depth: int = Field(default=0, ge=0, le=5)
    """Blocks after the maps have met, of as many channels as the fusion gives; 0 for late fusion."""
    hidden_dim: int = Field(default=1000, ge=0, le=8192)
    """Width of the first layer after the maps; 0 leaves it out."""
    neck_dim: int = Field(default=100, ge=1, le=8192)
    """Width of the layer after that."""
    embedding_dim: int = Field(default=100, ge=1, le=8192)
    """Width of a modality's embedding; late fusion only."""
    head_dim: int = Field(default=50, ge=1, le=8192)
    """Hidden width of the classifier of fused embeddings; late fusion only."""
    normalize_embeddings: bool = False
    """Whether embeddings have length 1 before they are fused; late fusion only."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout after each hidden layer behind the maps."""
    num_logits: Literal[1, 2] = 2
    """One logit, the log-odds of a sphere, or one for each class."""

    @model_validator(mode="after")
    def _knobs_of_the_stage(self) -> Self:
        if self.fusion_stage == "late" and self.fused_depth:
            raise ValueError(f"fused_depth must be 0 for late fusion, got {self.fused_depth}")
        if self.fusion_stage == "intermediate" and self.normalize_embeddings:
            raise ValueError("normalize_embeddings needs late fusion, got fusion_stage 'intermediate'")
        if self.max_channels < self.channels:
            raise ValueError(
                f"max_channels must be at least channels, got {self.max_channels} < {self.channels}"
            )
        return self


class RGBLidar(FamilyConfig):
    """A classifier that fuses a camera image with a LiDAR scan, for one trial."""

    dataset: str = Field(default="cubes-spheres", min_length=1)
    """Data set to train on: a folder below the family's data folder."""
    optimization: Optimization = Optimization(
        weight_decay=0.0, beta2=0.999, clip_norm=0.0, lr_schedule="constant", warmup_ratio=0.0, batch_size=32
    )
    """Optimizer, schedule and batch."""
    data: DataKnobs = DataKnobs()
    """Inputs."""
    model: ModelKnobs = ModelKnobs()
    """Architecture."""


_METRES = DataKnobs(rgb_channels=3, lidar_norm="raw")


def _first(stage: FusionStage, fusion: str) -> RGBLidar:
    return RGBLidar(model=ModelKnobs(fusion_stage=stage, fusion=fusion))


def _second(fusion: str) -> RGBLidar:
    model = ModelKnobs(
        fusion_stage="intermediate",
        fusion=fusion,
        channels=50,
        max_channels=200,
        depth=2,
        fused_depth=1,
        num_logits=1,
    )
    return RGBLidar(data=_METRES, model=model)


_SECOND_LATE = ModelKnobs(
    channels=50,
    max_channels=200,
    depth=4,
    hidden_dim=0,
    embedding_dim=200,
    head_dim=128,
    normalize_embeddings=True,
    num_logits=1,
)
_TINY_OPTIMIZATION = Optimization(lr=1e-3, weight_decay=0.01, batch_size=16)
_TINY_DATA = DataKnobs(lidar_norm="masked")
_TINY_MODEL = ModelKnobs(
    downsampling="strided_replace",
    channels=8,
    max_channels=32,
    hidden_dim=0,
    neck_dim=32,
    embedding_dim=32,
    head_dim=32,
)

PRESETS: dict[str, RGBLidar] = {
    "first_late": _first("late", "concat"),
    "first_concat": _first("intermediate", "concat"),
    "first_add": _first("intermediate", "add"),
    "first_hadamard": _first("intermediate", "hadamard"),
    "second_late": RGBLidar(data=_METRES, model=_SECOND_LATE),
    "second_concat": _second("concat"),
    "second_add": _second("add"),
    "second_matmul": _second("matmul"),
    "small": RGBLidar(
        dataset="default",
        data=_TINY_DATA,
        optimization=_TINY_OPTIMIZATION,
        model=_TINY_MODEL.model_copy(update={"channels": 16, "max_channels": 64, "neck_dim": 64}),
    ),
    "tiny": RGBLidar(dataset="tiny", data=_TINY_DATA, optimization=_TINY_OPTIMIZATION, model=_TINY_MODEL),
}
