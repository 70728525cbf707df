"""What a model family must provide, and nothing more.

A family is a folder ``trainables/NAME/`` with

- ``config.py``: one subclass of `thalweg.config.FamilyConfig` and ``PRESETS``, named instances of it;
  imports nothing heavy, for a search space imports it;
- ``task.py``: one subclass of `Task` for that configuration;
- ``datasets.py``: ``WORLDS``, synthetic data sets by name, and ``SOURCES``, public data sets that can be
  imported; both may be empty;
- ``explore.py``, if it likes: ``explore`` and ``export_fiftyone``; `thalweg.dataset_contract` says what they and
  ``datasets.py`` hold.

The platform owns everything else: processes, DeepSpeed, the loop, the optimizer, checkpoints, early stopping,
records. It knows no family by name.

Four rules make trials comparable and results independent of the machine:

- *Randomness belongs to the sample.* Everything random about a sample (mask, crop, noise) is drawn from the key
  that comes with it, never from a global generator: batch size, ranks and loaders cannot change it.
- *Losses are sums with counts.* `Task.losses` returns sums, `Task.counts` their denominators: means over a
  global batch are exact over micro-batches and ranks, with absent modalities and ragged last batches.
- *A loss that joins samples is exact too.* In a stage that is ``joint``, such as a contrastive one, `Task.embed` and
  `Task.joint_losses` take the place of `Task.losses`: the platform gathers the embeddings of the whole global batch
  over micro-batches and ranks, so that the batch size means the same on every machine.
- *Metrics are evaluated at a fixed protocol.* What `Task.evaluation_batch` draws and what `Task.summarize`
  computes may not depend on a searched knob; `Task.protocol` names what they do depend on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from thalweg.config import FamilyConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Batch: TypeAlias = "dict[str, Tensor]"
Indices: TypeAlias = npt.NDArray[np.int64]
Keys: TypeAlias = npt.NDArray[np.uint64]

Mode = Literal["min", "max"]
SplitName = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that `Task.summarize` returns.

    Attributes:
        name: Key in the result of `Task.summarize` and in MLflow.
        mode: Whether smaller or larger is better.
        unit: Unit, ``"1"`` for a dimensionless number.
        search_invariant: Whether the number means the same in every trial: unweighted, in data space, at the
            fixed evaluation protocol. Only such a metric may be a study's objective.
        meaning: One sentence for people.
    """

    name: str
    mode: Mode
    unit: str
    search_invariant: bool
    meaning: str


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Parameters that train in a stage.

    Attributes:
        prefix: Beginning of their names in the model, ``""`` for all. The longest matching prefix wins.
        lr_scale: Factor on the learning rate.
        decay: Whether weight decay applies; it should not to numbers for which 0 is no natural value.
    """

    prefix: str = ""
    lr_scale: float = 1.0
    decay: bool = True


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of training with its own parameters; the learning-rate schedule starts anew in each.

    Parameters that no group names are frozen: no gradient, and modules that hold only frozen parameters
    are in evaluation mode, so that normalisation statistics stay as they are. In 16-bit training a part that is frozen
    is rounded to that precision once; after that it does not change.

    Attributes:
        name: What the stage is called in records.
        share: Share of the trial's sample budget in (0, 1]; the shares of a task add up to 1.
        groups: Which parameters train.
        joint: Whether the loss joins the samples of a global batch: `Task.embed` and `Task.joint_losses` compute
            it instead of `Task.losses`.
        frozen: Beginnings of the names of modules that stay in evaluation mode, which no group may train. A module
            without parameters, such as a batch norm without affine ones beside a frozen encoder, is frozen by its name
            alone.
    """

    name: str = "train"
    share: float = 1.0
    groups: tuple[ParameterGroup, ...] = (ParameterGroup(),)
    joint: bool = False
    frozen: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training stands before a step.

    Attributes:
        samples: Samples seen since the trial began.
        total_samples: The trial's budget.
        stage: Name of the present stage.
        stage_ratio: Share of the present stage that is done, in [0, 1).
    """

    samples: int
    total_samples: int
    stage: str
    stage_ratio: float


class Data(Protocol):
    """Data that a task opened. A lane keeps them for all trials with the same `Task.data_key`."""

    @property
    def fingerprint(self) -> str:
        """Hash of the content that samples are made of; equal data have equal fingerprints anywhere."""

    def num_samples(self, split: SplitName) -> int:
        """Number of samples in a split; 0 where the data set has no such split."""


C = TypeVar("C", bound=FamilyConfig)
D = TypeVar("D", bound=Data)


class Task(ABC, Generic[C, D]):
    """One configuration of a family, as the platform trains it.

    A task holds no tensors and no state beyond its configuration: building it is free.

    Attributes:
        config_type: The family's configuration.
        metrics: Everything that some configuration of the family is measured by.
        rows: Names in the result of `evaluate` that hold one row for each sample, (batch, ...): they are laid one
            after the other in the order of the samples instead of being added.
    """

    config_type: ClassVar[type[FamilyConfig]]
    metrics: ClassVar[tuple[Metric, ...]]
    rows: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def data_key(self) -> str:
        """Names what `open` depends on: tasks with equal keys may share the opened data."""

    @abstractmethod
    def open(self, root: Path) -> D:
        """Opens the data set ``config.dataset`` below the family's data folder ``root``.

        Raises:
            DataError: Data are missing or broken; the message names the file and the way out.
        """

    def place(self, data: D, device: torch.device) -> D:
        """Returns opened data whose batches are drawn on the device that trains; as they are, unless a family can.

        Called once when a lane opens the data, not in every trial. What the device has no room for stays as it is.
        """
        return data

    def notes(self, data: D) -> tuple[str, ...]:
        """Returns sentences that a user of the data should read, such as which files were left out."""
        return ()

    def inherit(self, sources: Mapping[str, FamilyConfig]) -> C:
        """Returns the configuration with the knobs of all parts that start from other studies taken from there.

        Args:
            sources: Configuration of the best trial of each study in ``config.starts_from``, in that order.

        Raises:
            ConfigError: A source does not give what this configuration needs.
        """
        return self.config

    def starting_weights(self) -> tuple[str, ...]:
        """Returns the beginnings of the names of all weights that come from the studies in ``config.starts_from``.

        The weights of all others are as `build` draws them.
        """
        return ("",)

    @abstractmethod
    def training_batch(self, data: D, indices: Indices, keys: Keys) -> Batch:
        """Draws training samples.

        Args:
            data: What `open` returned.
            indices: Sample numbers in the split ``train``, shape (batch,).
            keys: One key per sample and visit, shape (batch,): the seed of everything random about it.

        Returns:
            Tensors whose first axis is the batch: on the CPU, or already where `place` put what they are made of. What
            `counts` reads stays on the CPU, so that no step waits for a GPU.
        """

    @abstractmethod
    def evaluation_batch(self, data: D, split: SplitName, indices: Indices) -> Batch:
        """Draws samples of a split at the fixed evaluation protocol, the same for every configuration."""

    @abstractmethod
    def build(self, data: D | None) -> nn.Module:
        """Builds the model for one device, with weights drawn from torch's global generator.

        The names of its direct children are the parts that ``thalweg describe`` counts. Weights are in fp32; in
        half precision they and buffers in fp32 are cast before training, but for statistics of normalisations.
        Normalisations and embeddings then compute in fp32 by themselves. The model casts its inputs to the type of its
        weights. What a loss is made of is in fp32.

        A batch norm normalises by the micro-batch of its worker. Before each evaluation the running statistics of
        normalisations are pooled over the workers; of other buffers all workers take the first one's.

        Args:
            data: Opened data, which give the geometry; None builds at the family's reference geometry.
        """

    def stages(self) -> tuple[Stage, ...]:
        """Returns the stages in order; one that trains everything unless a family says otherwise."""
        return (Stage(),)

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Computes the unweighted parts of the loss, each a fp32 scalar *summed* over the batch."""

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Computes what the loss of a joint stage needs of each sample, fp32 tensors (batch, ...)."""
        raise NotImplementedError(f"{type(self).__name__} has a joint stage and must define embed")

    def joint_losses(self, embeddings: Mapping[str, Tensor], progress: Progress) -> Mapping[str, Tensor]:
        """Computes the unweighted parts of a joint stage's loss, each a fp32 scalar summed over the global batch.

        Args:
            embeddings: What `embed` gave, of all samples of the global batch in their order.
            progress: Where training stands.
        """
        raise NotImplementedError(f"{type(self).__name__} has a joint stage and must define joint_losses")

    @abstractmethod
    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Returns the denominator of each part, from the batch as it was drawn; 0 where no sample carries the part."""

    @abstractmethod
    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weight of each part now; the loss is sum(weight * sum / count) over the parts."""

    @abstractmethod
    def evaluate(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Computes what `summarize` needs: float64 sums and counts, added over batches and ranks, and `rows`."""

    @abstractmethod
    def summarize(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Turns the joined results of `evaluate` over a split into metrics; holds every name in `measured`."""

    @abstractmethod
    def protocol(self) -> Mapping[str, Any]:
        """Names what metrics depend on besides weights and data (reference ratios, mask seed, ...), as JSON.

        Results are compared only where the protocols are equal.
        """

    def measured(self) -> tuple[str, ...]:
        """Returns the names of the metrics that this configuration gives; all unless a family says otherwise."""
        return tuple(metric.name for metric in self.metrics)

    def evaluated_splits(self) -> tuple[SplitName, ...]:
        """Returns the splits of each evaluation.

        The objective is always that of ``val``. Of ``train`` as many samples are evaluated as ``val`` holds; the names
        of its metrics begin with ``train_``.
        """
        return ("val",)

    def baselines(self, data: D) -> Mapping[str, nn.Module]:
        """Returns predictors without training that `evaluate` accepts in the model's place."""
        return {}

    def parts(self) -> Mapping[str, Callable[[nn.Module], nn.Module]]:
        """Names parts of a trained model that are of use alone, with what takes each of them out of the model."""
        return {}

    def facts(self, data: D) -> Mapping[str, Any]:
        """Returns what the use of a trained model needs of the data, as plain values and arrays of numpy.

        Geometry, statistics of the normalisation, units, names: an exported model is built and fed from these alone.
        """
        return {}

    def rebuild(self, facts: Mapping[str, Any]) -> nn.Module:
        """Builds the model without the data, from what `facts` returned; arrays come as tensors."""
        return self.build(None)

    def draw(self, model: nn.Module, data: D, folder: Path) -> None:
        """Draws what a trained model does with the split ``val``, as PNG files into an empty folder; or nothing.

        Args:
            model: The model, in evaluation mode on the CPU.
            data: Opened data.
            folder: The folder.
        """
