"""Stages of training, and the loss that each of them owns.

A stage says which parameters train for which share of the budget, and what is minimised: a `Loss`, which is a sum over
samples, or a `JointLoss`, which compares the samples of a global batch with one another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from thalweg.contract import Batch, Indices, Keys


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training stands before a step.

    Attributes:
        samples: Samples seen since the trial began.
        total_samples: The trial's budget.
        stage: Name of the current stage.
        stage_ratio: Share of the current stage that is done, in [0, 1).
    """

    samples: int
    total_samples: int
    stage: str
    stage_ratio: float


class StageLoss(ABC):
    """Base of both kinds of losses; a family derives from `Loss` or `JointLoss`.

    A loss consists of named parts. Each part is a sum with a count, and the loss of a global batch is
    sum(weight * sum / count) over the parts. A part that applies to no sample of the batch has the count 0 and is left
    out.
    """

    @abstractmethod
    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weight of each part at this step."""


class Loss(StageLoss):
    """A loss that is a sum over samples, such as a squared error or a cross-entropy."""

    @abstractmethod
    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Computes the unweighted parts of the loss, each a fp32 scalar *summed* over the batch.

        A micro-batch of which no sample carries any part may give constants, unless weights are sharded (ZeRO stage 3).

        Args:
            model: The model in training mode, in the precision of training.
            batch: A micro-batch, on the device.
            progress: Where training stands.
        """

    @abstractmethod
    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Returns the denominator of each part, from the batch on the CPU; 0 if the part applies to no sample.

        Args:
            batch: A micro-batch as `Task.training_batch` returned it; what is read here should lie on the CPU.
            progress: Where training stands.
        """


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a `JointLoss` needs of the samples: tensors with one row for each sample, at least one embedding among them.

    Attributes:
        embeddings: fp32 tensors (batch, ...) that depend on the model. Gradients flow back through all of them; one
            that the loss leaves unused gets a gradient of 0.
        companions: Tensors (batch, ...) of any type that travel beside the embeddings without a gradient: labels,
            masks of what is present or ignored, times or places that weights are computed from.
    """

    embeddings: Mapping[str, Tensor]
    companions: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Joined:
    """The parts of a joint loss, computed over a whole global batch.

    Attributes:
        sums: Unweighted parts, each a fp32 scalar summed over the global batch.
        counts: Denominator of each part over the global batch, such as the number of anchors that have a positive; 0 if
            the part applies to no sample. A count that follows from companions may stay a tensor on the device, so that
            no step waits for it.
    """

    sums: Mapping[str, Tensor]
    counts: Mapping[str, Tensor | float]


class JointLoss(StageLoss):
    """A loss that compares the samples of a global batch with one another, such as a contrastive one.

    The samples of a batch may be spread over micro-batches and workers. The platform embeds all of them, gathers the
    rows, and sends the gradient of each row back through the model (GradCache, arXiv:2101.06983): the result equals
    that of one big batch, in the memory of one micro-batch. Only layers that look at several samples, such as batch
    norms, see one micro-batch at a time. A global batch never holds a sample twice.
    """

    @abstractmethod
    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Computes the rows of a micro-batch.

        Args:
            model: The model in training mode, in the precision of training.
            batch: A micro-batch, on the device.
            progress: Where training stands.
        """

    @abstractmethod
    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Computes the parts of the loss and their counts.

        Args:
            rows: Rows of all samples of the global batch, in their order; the same on all workers.
            progress: Where training stands.
        """


class FrozenFeatures(ABC):
    """What the frozen part of a model makes of the training samples, such as latents: computed once, not in each step.

    The platform computes it when the stage begins, and again when an interrupted trial goes on in the stage. The loss
    that reads it may be the same object or hold it. It must depend on nothing that the stage trains.
    """

    @abstractmethod
    def batch(self, data: Any, indices: Indices) -> Batch:
        """Samples what `compute` reads.

        Args:
            data: What `Task.open` returned.
            indices: Sample numbers in the split ``train``, shape (batch,).
        """

    @abstractmethod
    def compute(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Computes tensors (batch, ...), without gradients.

        Args:
            model: The model in evaluation mode, in the precision of training.
            batch: What `batch` returned, on the device.
        """

    @abstractmethod
    def keep(self, model: nn.Module, rows: Mapping[str, Tensor]) -> None:
        """Keeps what was computed, and may set buffers of the model that follow from it.

        Args:
            model: The model.
            rows: Tensors of all samples in the order of the split, on the device; the same on all workers.
        """


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Parameters that train in a stage.

    Attributes:
        prefix: Prefix of their names in the model, ``""`` for all. The longest matching prefix wins.
        lr_scale: Factor on the learning rate.
        decay: Whether weight decay applies; it should not apply to parameters for which 0 is no natural value.
    """

    prefix: str = ""
    lr_scale: float = 1.0
    decay: bool = True


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of training with its own loss and parameters; the learning-rate schedule starts anew in each.

    Parameters that no group names are frozen: they get no gradient, and modules that hold only frozen parameters
    are in evaluation mode, so that normalisation statistics stay as they are. In 16-bit training a frozen part is
    rounded to that precision once; after that it does not change.

    Attributes:
        loss: What is minimised. Two stages that differ in nothing else are equal.
        name: What the stage is called in records.
        share: Share of the trial's sample budget in (0, 1]; the shares of a task add up to 1.
        groups: Which parameters train.
        frozen: Prefixes of the names of modules that stay in evaluation mode; no group may train them. This is the only
            way to freeze a module without parameters, such as a batch norm without affine parameters beside a frozen
            encoder.
        features: What is computed once with the frozen part, for the loss to read.
        teaches: Names of the metrics that mean something once it trains; None for all. A metric of a part that only a
            later stage trains, such as a decoder or a head, means nothing before: early stopping compares no trial by
            it until that stage is under way.
        compared: Whether the model at the end of this stage is told beside the final one, such as before fine-tuning:
            its metrics are kept with the trial, and its weights with the checkpoint for the split ``test``.
        batch: Samples the training batches of this stage where `Task.training_batch`, which holds what all stages read,
            would cost more; same arguments without the task.
    """

    loss: StageLoss = field(compare=False)
    name: str = "train"
    share: float = 1.0
    groups: tuple[ParameterGroup, ...] = (ParameterGroup(),)
    frozen: tuple[str, ...] = ()
    features: FrozenFeatures | None = field(default=None, compare=False)
    teaches: tuple[str, ...] | None = None
    compared: bool = False
    batch: Callable[[Any, Indices, Keys], Batch] | None = field(default=None, compare=False)

    @property
    def is_joint(self) -> bool:
        """Whether the loss compares the samples of a global batch."""
        return isinstance(self.loss, JointLoss)
