"""A family small enough to check every number of the platform by hand."""

from typing import ClassVar, Literal

from pydantic import Field

from thalweg.config import FamilyConfig, Knobs, Optimization, Presets


class LossWeights(Knobs):
    """Weights of the two parts of the loss."""

    changeable: ClassVar[frozenset[str]] = frozenset({"first", "second"})

    first: float = Field(1.0, ge=0)
    """Weight of the first target."""
    second: float = Field(0.5, ge=0)
    """Weight of the second target, which a third of the samples lack."""


class Toy(FamilyConfig):
    """A small network that fits two noisy targets."""

    dataset: str = "waves"
    """Name of the data; made in memory."""
    width: int = Field(8, ge=1)
    """Hidden units."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the hidden layer."""
    batch_norm: bool = False
    """Whether the hidden layer is normalised over the micro-batch."""
    stages: Literal["one", "two", "joint"] = "one"
    """Whether the head trains alone in a second stage, after a first one that may be contrastive."""
    breaks_at: int = Field(-1, ge=-1)
    """Samples after which the loss is not a number; -1 never."""
    fails_at: int = Field(-1, ge=-1)
    """Samples after which the loss raises; -1 never."""
    fails_in: Literal[
        "", "build", "open", "training_batch", "evaluation_batch", "predict", "baselines", "backward"
    ] = ""
    """What of the task raises at once; nothing if empty."""
    stuck: Literal["no", "loss", "last_rank", "data", "evaluation"] = "no"
    """Where a worker hangs; `last_rank` does so alone, while the others wait for it."""
    signal: int = Field(0, ge=0)
    """Signal by which a worker ends itself in a loss; 0 none."""
    trouble_at: int = Field(0, ge=0)
    """Samples after which a loss hangs, ends its worker or runs out of memory."""
    once: str = ""
    """File that the first hang or signal makes, and without which there is one each time."""
    fits: int = Field(-1, ge=-1)
    """Samples of a micro-batch that fit into a worker's memory in training; -1 all."""
    reads: str = ""
    """File with the inputs; without one they are made."""
    loss_weights: LossWeights = LossWeights()
    """Weights of the loss parts."""
    optimization: Optimization = Optimization(lr=1e-2, batch_size=8, warmup_ratio=0.1)
    """Optimizer, schedule and batch."""


PRESETS = Presets(default=Toy(), wide=Toy(width=32))
