"""The configuration of the RGB and LiDAR family; the defaults are the first published late fusion.

Two published experiments are presets. ``first_*``, seed 51: three blocks of 25, 50 and 100 channels and two logits; a
learnable temperature in contrastive pre-training. ``second_*``, seed 42: normalised embeddings of four blocks where
modalities meet late, two blocks and a shared one where they meet as maps, three colour channels, metres, one logit; its
chain reads opacity and bare distances, without a temperature.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from thalweg.config import FamilyConfig, Optimization, Presets
from trainables.rgb_lidar.chain.knobs import (
    MAKES,
    STAGES,
    ChainKnobs,
    ClassifierKnobs,
    EmbedderKnobs,
    LrScaleKnobs,
    ProjectorKnobs,
    ShareKnobs,
    SimilarityKnobs,
)
from trainables.rgb_lidar.knobs import DataKnobs, EncoderKnobs, FusionKnobs, FusionStage

CLASSES = ("cubes", "spheres")


class RGBLidar(FamilyConfig):
    """A classifier of scenes that a camera and a LiDAR see."""

    dataset: str = Field(default="cubes-spheres", min_length=1)
    """Data set to train on: a folder below the family's data folder."""
    optimization: Optimization = Optimization(
        weight_decay=0.0, beta2=0.999, clip_norm=0.0, lr_schedule="constant", warmup_ratio=0.0, batch_size=32
    )
    """Optimizer, schedule and batch."""
    data: DataKnobs = DataKnobs()
    """Inputs."""
    model: Annotated[FusionKnobs | ChainKnobs, Field(discriminator="kind")] = FusionKnobs()
    """Architecture: a fusion of both sensors, or the chain to an image classifier that learnt from scans."""

    def idle(self) -> tuple[str, ...]:
        """Returns the names of knobs without effect: channels of images that no part reads, `continue_parts` alone."""
        if not isinstance(self.model, ChainKnobs):
            return ()
        names = [] if "rgb" in self.model.parts else ["data.rgb_channels"]
        return (*names, *([] if self.starts_from else ["model.continue_parts"]))

    @model_validator(mode="after")
    def _stages_have_what_they_need(self) -> Self:
        if isinstance(self.model, ChainKnobs) and self.model.missing and not self.starts_from:
            makers = [stage for stage in STAGES if MAKES[stage] & self.model.missing]
            raise ValueError(
                f"stages must follow those that train what they need, got {self.model.stages} without "
                f"{' and '.join(makers)}; add these to model.stages, or name a study that has them in starts_from"
            )
        return self


_FIRST_SEED, _SECOND_SEED = 51, 42


def _first(stage: FusionStage, fusion: str) -> RGBLidar:
    return RGBLidar(seed=_FIRST_SEED, model=FusionKnobs(fusion_stage=stage, fusion=fusion))


_METRES = DataKnobs(rgb_channels=3, lidar_norm="raw")


def _second(fusion: str) -> RGBLidar:
    model = FusionKnobs(
        fusion_stage="intermediate",
        fusion=fusion,
        channels=50,
        max_channels=200,
        depth=2,
        fused_depth=1,
        num_logits=1,
    )
    return RGBLidar(seed=_SECOND_SEED, data=_METRES, model=model)


_SECOND_LATE = FusionKnobs(
    channels=50,
    max_channels=200,
    depth=4,
    hidden_dim=0,
    embedding_dim=200,
    head_dim=128,
    normalize_embeddings=True,
    num_logits=1,
)

_FIRST_CHAIN = RGBLidar(seed=_FIRST_SEED, model=ChainKnobs(stages=("cilp", "classifier", "projector")))
_SECOND_ENCODER = EncoderKnobs(channels=50, max_channels=200, depth=4, hidden_dim=0)
_SECOND_CHAIN = RGBLidar(
    seed=_SECOND_SEED,
    data=DataKnobs(lidar_repr="depth", lidar_norm="raw"),
    model=ChainKnobs(
        embedder=EmbedderKnobs(**_SECOND_ENCODER.model_dump()),
        similarity=SimilarityKnobs(temperature="none", logit_map="half_cosine"),
        classifier=ClassifierKnobs(**_SECOND_ENCODER.model_dump(), num_logits=1),
        projector=ProjectorKnobs(target="maps"),
        shares=ShareKnobs(cilp=3, classifier=5, projector=40, finetune=5),
        lr_scales=LrScaleKnobs(projector=10, finetune=10),
    ),
)


def _only_cilp(chain: RGBLidar) -> RGBLidar:
    return chain.model_copy(update={"model": chain.model.model_copy(update={"stages": ("cilp",)})})


_TINY_OPTIMIZATION = Optimization(lr=1e-3, weight_decay=0.01, batch_size=16)
_TINY_DATA = DataKnobs()
_TINY_ENCODER = EncoderKnobs(
    downsampling="strided_replace", channels=8, max_channels=32, hidden_dim=0, neck_dim=32
)
_SMALL_ENCODER = _TINY_ENCODER.model_copy(update={"channels": 16, "max_channels": 64, "neck_dim": 64})


def _fusion(dataset: str, encoder: EncoderKnobs) -> RGBLidar:
    model = FusionKnobs(**encoder.model_dump(), embedding_dim=32, head_dim=32)
    return RGBLidar(dataset=dataset, data=_TINY_DATA, optimization=_TINY_OPTIMIZATION, model=model)


def _chain(dataset: str, encoder: EncoderKnobs) -> RGBLidar:
    pooled = encoder.model_copy(update={"downsampling": "maxpool"}).model_dump()
    width = encoder.neck_dim
    model = ChainKnobs(
        embedder=EmbedderKnobs(**pooled, embedding_dim=width),
        classifier=ClassifierKnobs(**pooled),
        projector=ProjectorKnobs(hidden_dim=4 * width, depth=1),
        shares=ShareKnobs(cilp=15, classifier=5, projector=10, finetune=5),
        lr_scales=LrScaleKnobs(projector=1),
    )
    optimization = _TINY_OPTIMIZATION.model_copy(update={"lr": 3e-3})
    # In metres: the small numbers of scaled scans would keep all embeddings alike for most of such a short training.
    data = DataKnobs(lidar_norm="masked")
    return RGBLidar(dataset=dataset, data=data, optimization=optimization, model=model)


PRESETS: Presets[RGBLidar] = Presets(
    {
        "first_late": _first("late", "concat"),
        "first_concat": _first("intermediate", "concat"),
        "first_add": _first("intermediate", "add"),
        "first_hadamard": _first("intermediate", "hadamard"),
        "first_cilp": _only_cilp(_FIRST_CHAIN),
        "first_chain": _FIRST_CHAIN,
        "second_late": RGBLidar(seed=_SECOND_SEED, data=_METRES, model=_SECOND_LATE),
        "second_concat": _second("concat"),
        "second_add": _second("add"),
        "second_matmul": _second("matmul"),
        "second_cilp": _only_cilp(_SECOND_CHAIN),
        "second_chain": _SECOND_CHAIN,
        "small": _fusion("default", _SMALL_ENCODER),
        "small_chain": _chain("default", _SMALL_ENCODER),
        "tiny": _fusion("tiny", _TINY_ENCODER),
        "tiny_chain": _chain("tiny", _TINY_ENCODER),
    }
)
