"""Knobs of the chain: stages from contrastive pre-training to an image classifier that needs no scan.

Each stage trains parts of the model that later stages use. ``cilp`` aligns the embeddings of image and scan of a scene,
``classifier`` learns the classes from scans, ``projector`` learns to predict that classifier's features from an image's
embedding, and ``finetune`` trains the image's embedder, the projector and the head of that classifier together.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from thalweg.config import Knobs
from trainables.rgb_lidar.knobs import EncoderKnobs

StageName = Literal["cilp", "classifier", "projector", "finetune"]
Part = Literal["rgb", "lidar", "classifier", "projector"]
Target = Literal["penultimate", "maps"]
ProjectionLoss = Literal["mse", "cosine", "smooth_l1"]

STAGES: tuple[StageName, ...] = get_args(StageName)
MAKES: Mapping[StageName, frozenset[Part]] = {
    "cilp": frozenset({"rgb", "lidar"}),
    "classifier": frozenset({"classifier"}),
    "projector": frozenset({"projector"}),
    "finetune": frozenset(),
}
"""Parts of the model that each stage trains from scratch."""
NEEDS: Mapping[StageName, frozenset[Part]] = {
    "cilp": frozenset(),
    "classifier": frozenset(),
    "projector": frozenset({"rgb", "classifier"}),
    "finetune": frozenset({"rgb", "classifier", "projector"}),
}
"""Parts that must be trained before each stage."""


class EmbedderKnobs(EncoderKnobs):
    """The networks that embed images and scans; they share no weights."""

    embedding_dim: int = Field(default=200, ge=1, le=8192)
    """Width of an embedding, which has length 1."""


class ClassifierKnobs(EncoderKnobs):
    """The network that classifies scans as cubes or spheres."""

    num_logits: Literal[1, 2] = 2
    """One logit, the log-odds of a sphere, or one for each class."""


class SimilarityKnobs(Knobs):
    """How the cosine of two embeddings becomes the logit of the contrastive loss."""

    temperature: Literal["learnable", "fixed", "none"] = "learnable"
    """Whether the cosines are divided by a temperature, and whether it is learnable (CLIP, arXiv:2103.00020)."""
    initial_temperature: float = Field(default=0.07, ge=0.01, le=1)
    """Temperature, or the initial value of a learnable one; it never falls below 0.01."""
    logit_map: Literal["cosine", "half_cosine"] = "cosine"
    """The logit is the cosine, or (cosine + 1) / 2, which needs temperature none."""

    def idle(self) -> tuple[str, ...]:
        """Returns the names of knobs without effect: the value without a temperature."""
        return ("initial_temperature",) if self.temperature == "none" else ()

    @model_validator(mode="after")
    def _half_cosines_are_logits(self) -> Self:
        if self.logit_map == "half_cosine" and self.temperature != "none":
            raise ValueError(
                f"logit_map 'half_cosine' must go without a temperature, got temperature {self.temperature!r}; "
                "set temperature to 'none' or logit_map to 'cosine'"
            )
        return self


class ProjectorKnobs(Knobs):
    """The network from the embedding of an image to the classifier's features of the scan."""

    hidden_dim: int = Field(default=1000, ge=1, le=8192)
    """Width of the first hidden layer; each further one is half as wide."""
    depth: int = Field(default=2, ge=0, le=4)
    """Hidden layers; 0 makes it one linear map."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout after each hidden layer."""
    target: Target = "penultimate"
    """Features to predict: the classifier's last hidden layer after its ReLU, or its maps after the last block."""
    loss: ProjectionLoss = "mse"
    """Squared error, 1 - cosine, or smooth L1 between projection and target."""

    def idle(self) -> tuple[str, ...]:
        """Returns the names of knobs without effect: of hidden layers if there are none."""
        return () if self.depth else ("hidden_dim", "dropout")

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return tuple(max(1, self.hidden_dim // 2**layer) for layer in range(self.depth))


class ShareKnobs(Knobs):
    """Share of each stage in the budget; only the ratios between stages of the trial count."""

    cilp: float = Field(default=10.0, gt=0)
    """Share of contrastive pre-training."""
    classifier: float = Field(default=5.0, gt=0)
    """Share of the classifier of scans."""
    projector: float = Field(default=15.0, gt=0)
    """Share of the projector."""
    finetune: float = Field(default=5.0, gt=0)
    """Share of fine-tuning."""


class LrScaleKnobs(Knobs):
    """Factor of each stage on the learning rate."""

    changeable: ClassVar[frozenset[str]] = frozenset({"cilp", "classifier", "projector", "finetune"})

    cilp: float = Field(default=1.0, gt=0, le=1000)
    """Factor in contrastive pre-training."""
    classifier: float = Field(default=1.0, gt=0, le=1000)
    """Factor for the classifier of scans."""
    projector: float = Field(default=5.0, gt=0, le=1000)
    """Factor for the projector."""
    finetune: float = Field(default=1.0, gt=0, le=1000)
    """Factor in fine-tuning."""


class ChainKnobs(Knobs):
    """The stages, their networks and their training; knobs of parts that no stage uses have no effect."""

    kind: Literal["chain"] = "chain"
    """Contrastive pre-training, projection, and a classifier that needs no scan."""
    stages: tuple[StageName, ...] = Field(default=STAGES, min_length=1)
    """Stages of this trial, in their order; parts that they need come from them or from studies in starts_from."""
    continue_parts: bool = False
    """Whether stages train their own parts from studies in starts_from further; otherwise they start from scratch."""
    embedder: EmbedderKnobs = EmbedderKnobs(downsampling="strided_extra")
    """Embedders of image and scan."""
    similarity: SimilarityKnobs = SimilarityKnobs()
    """Logits of the contrastive loss."""
    classifier: ClassifierKnobs = ClassifierKnobs(downsampling="strided_extra")
    """Classifier of scans."""
    projector: ProjectorKnobs = ProjectorKnobs()
    """Projector."""
    finetune_frozen: Literal["nothing", "rgb", "rgb_and_head"] = "nothing"
    """What fine-tuning keeps frozen: nothing, the image's embedder, or also the head of the classifier."""
    shares: ShareKnobs = ShareKnobs()
    """Shares of the budget."""
    lr_scales: LrScaleKnobs = LrScaleKnobs()
    """Learning rates of the stages."""

    def idle(self) -> tuple[str, ...]:
        """Returns the names of knobs without effect: of parts and stages that are not in the model."""
        parts = {
            "embedder": {"rgb", "lidar"},
            "similarity": {"lidar"},
            "classifier": {"classifier"},
            "projector": {"projector"},
        }
        names = [name for name, users in parts.items() if not users & self.parts]
        lacking = [stage for stage in STAGES if stage not in self.stages]
        shareless = STAGES if len(self.stages) == 1 else lacking
        names += [f"shares.{stage}" for stage in shareless] + [f"lr_scales.{stage}" for stage in lacking]
        names += ["projector.loss"] if "projector" in lacking else []
        names += ["finetune_frozen"] if "finetune" in lacking else []
        return tuple(names)

    @model_validator(mode="after")
    def _stages_in_order(self) -> Self:
        ordered = tuple(stage for stage in STAGES if stage in self.stages)
        if self.stages != ordered:
            raise ValueError(
                f"stages must be some of {', '.join(STAGES)}, each once and in this order, got {self.stages}; "
                f"try {ordered}"
            )
        return self

    @property
    def parts(self) -> frozenset[Part]:
        """Parts of the model."""
        return self.made.union(*(NEEDS[stage] for stage in self.stages))

    @property
    def made(self) -> frozenset[Part]:
        """Parts that are trained from scratch."""
        return frozenset[Part]().union(*(MAKES[stage] for stage in self.stages))

    @property
    def missing(self) -> frozenset[Part]:
        """Parts that must be taken from other studies."""
        return self.parts - self.made

    @property
    def taken(self) -> frozenset[Part]:
        """Parts that are taken from other studies, if these have them, with their knobs."""
        return self.parts if self.continue_parts else self.missing

    @property
    def classifies(self) -> bool:
        """Whether the chain has all parts of an image classifier: image embedder, projector and classifier."""
        return "projector" in self.parts
