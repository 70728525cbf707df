"""What a model family must provide, and nothing more.

A family is a folder ``trainables/NAME/`` with

- ``config.py``: one subclass of `thalweg.config.FamilyConfig` and ``PRESETS``, named instances of it;
  imports nothing heavy, for a search space imports it;
- ``task.py``: one subclass of `Task` for that configuration, or a function ``task_for(config)`` that chooses among
  several (one for each variant of the model);
- ``datasets.py``: ``WORLDS``, synthetic data sets by name, and ``SOURCES``, public data sets that can be
  imported; both may be empty;
- ``explore.py``, if it likes: ``explore`` and ``export_fiftyone``; `thalweg.dataset_contract` says what they and
  ``datasets.py`` hold.

The platform owns everything else: processes, DeepSpeed, the loop, the optimizer, checkpoints, early stopping,
records. It knows no family by name.

A task joins three kinds of parts:

- *Stages* (`thalweg.stage_contract`). Training is a sequence of `Stage` objects. Each names the parameters that it
  trains, the modules that it freezes, and owns its `Loss`, or its `JointLoss` if samples of a batch are compared with
  one another.
- *Measures.* Each `Measure` turns predictions into sums that add up over batches and workers, and the sums of a split
  into metrics.
- *Data.* `Task.open` opens a data set, and two methods draw samples from it: for training and for evaluation.

A whole task may be as short as this::

    class SquaredError(Loss):
        def parts(self, model, batch, progress):
            return {"mse": (model(batch)["rain"] - batch["rain"]).square().sum()}

        def counts(self, batch, progress):
            return {"mse": float(len(batch["rain"]))}

        def weights(self, progress):
            return {"mse": 1.0}


    class MeanSquaredError(Measure):
        metrics = (Metric(name="mse", mode="min", unit="mm2", search_invariant=True, meaning="mean squared error"),)

        def add(self, outputs, batch):
            errors = (outputs["rain"] - batch["rain"]).double().square()
            return {"error": errors.sum(), "count": errors.new_tensor(len(errors))}

        def summarize(self, state):
            return {"mse": float(state["error"] / state["count"])}


    class RainTask(Task[RainConfig, RainData]):
        config_type = RainConfig

        def data_key(self):
            return self.config.dataset

        def open(self, root):
            return RainData(root / self.config.dataset)

        def training_batch(self, data, indices, keys):
            return data.batch("train", indices)

        def evaluation_batch(self, data, split, indices):
            return data.batch(split, indices)

        def build(self, facts):
            return RainNet(self.config.width)

        def stages(self):
            return (Stage(loss=SquaredError()),)

        def measures(self):
            return (MeanSquaredError(),)

        def protocol(self):
            return {}

Four rules make trials comparable and results independent of the machine:

- *Randomness belongs to the sample.* Everything random about a sample (mask, crop, noise) is drawn from the key
  that comes with it, never from a global generator: batch size, ranks and loaders cannot change it.
- *Losses are sums with counts.* `Loss.parts` returns sums, `Loss.counts` their denominators: means over a
  global batch are exact over micro-batches and ranks, with absent modalities and ragged last batches.
- *A loss that joins samples is exact too.* For a `JointLoss`, such as a contrastive one, the platform gathers the
  embeddings of the whole global batch over micro-batches and ranks, so that the batch size means the same on every
  machine.
- *Metrics are evaluated at a fixed protocol.* What `Task.evaluation_batch` draws and what a `Measure`
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
from thalweg.stage_contract import Stage

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Batch: TypeAlias = "dict[str, Tensor]"
Outputs: TypeAlias = "Mapping[str, Tensor]"
"""What a model or a baseline predicts for a batch, by name; the first axis is the batch unless a family says else."""
State: TypeAlias = "Mapping[str, Any]"
"""What a `Measure` keeps of one batch or of many: tensors and `thalweg.per_unit.PerUnit` tables by name."""
Indices: TypeAlias = npt.NDArray[np.int64]
Keys: TypeAlias = npt.NDArray[np.uint64]

Mode = Literal["min", "max"]
SplitName = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that a `Measure` returns.

    Attributes:
        name: Key in the result of `Measure.summarize` and in MLflow.
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


class Measure(ABC):
    """Metrics that follow from sums over samples.

    A state is what the sums are after some samples. States add up: the platform adds those of batches and of workers,
    so that a metric never depends on how a split was cut. Entries of a state are

    - tensors of any shape, which are added in float64; keep sums and counts, never means;
    - `thalweg.per_unit.PerUnit` tables, sums that are kept apart by unit (catchment and year, scene, season) and added
      where the units are equal. Prefer them to plain sums: comparisons of models over places and years need them;
    - the names in `rows`: tensors (batch, ...) with one row for each sample, which are concatenated in the order of the
      split, such as the embeddings of a retrieval.

    Attributes:
        metrics: Metrics that `summarize` returns. No two measures of a task return one of the same name.
        rows: Names in the state that hold one row for each sample.
    """

    metrics: tuple[Metric, ...]
    rows: frozenset[str] = frozenset()

    @abstractmethod
    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Returns the state of one batch.

        Args:
            outputs: What `Task.predict` returned, of the model or of a baseline.
            batch: What `Task.evaluation_batch` drew, on the device.

        Returns:
            The same names for every batch; nothing if the outputs lack what is measured, as those of a baseline may
            that does one of several tasks.
        """

    @abstractmethod
    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metrics.

        Args:
            state: That of a whole split, on the CPU; never empty.

        Returns:
            Every name in `metrics`; NaN for a metric that the split does not give.
        """


def metrics_of(task: Task[Any, Any]) -> tuple[Metric, ...]:
    """Returns all metrics that a task's measures give, in their order."""
    return tuple(metric for measure in task.measures() for metric in measure.metrics)


class Data(Protocol):
    """Data that a task opened. A lane keeps them for all trials with the same `Task.data_key`."""

    @property
    def fingerprint(self) -> str:
        """Hash of the content that samples are made of; equal data have equal fingerprints anywhere."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a user of the data should read, such as which files were left out; often none."""

    def num_samples(self, split: SplitName) -> int:
        """Number of samples in a split; 0 if the data set has no such split."""


C = TypeVar("C", bound=FamilyConfig)
D = TypeVar("D", bound=Data)


class Task(ABC, Generic[C, D]):
    """One configuration of a family, as the platform trains it.

    A task holds no tensors and no state beyond its configuration: building it is free. Eight methods are required;
    the other nine have defaults that suit a family that needs nothing special. Variants of a model are subclasses of
    one another or of a shared one, among which ``task_for`` of the family's ``task.py`` chooses.

    Attributes:
        config_type: The family's configuration.
    """

    config_type: ClassVar[type[FamilyConfig]]

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

    @abstractmethod
    def training_batch(self, data: D, indices: Indices, keys: Keys) -> Batch:
        """Draws training samples.

        Args:
            data: What `open` returned.
            indices: Sample numbers in the split ``train``, shape (batch,).
            keys: One key per sample and visit, shape (batch,): the seed of everything random about it.

        Returns:
            Tensors whose first axis is the batch: on the CPU, or already where `place` put what they are made of. What
            `Loss.counts` reads stays on the CPU, so that no step waits for a GPU.
        """

    @abstractmethod
    def evaluation_batch(self, data: D, split: SplitName, indices: Indices) -> Batch:
        """Draws samples of a split at the fixed evaluation protocol, the same for every configuration."""

    @abstractmethod
    def build(self, facts: Mapping[str, Any] | None) -> nn.Module:
        """Builds the model for one device, with weights drawn from torch's global generator.

        The names of its direct children are the parts that ``thalweg describe`` counts. What `stages` name exists for
        all facts, and without any: a search checks it before it books anything. Weights are in fp32; in
        half precision they and buffers in fp32 are cast before training, but for statistics of normalisations.
        Normalisations and embeddings then compute in fp32 by themselves. The model casts its inputs to the type of its
        weights. What a loss is made of is in fp32.

        Args:
            facts: What `facts` returned of the data, which give the geometry; arrays may come as tensors. None builds
                at the family's reference geometry.
        """

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """Returns the stages of training in order; most families have one."""

    @abstractmethod
    def measures(self) -> tuple[Measure, ...]:
        """Returns what this configuration is measured by; the order of metrics is that in which people see them."""

    @abstractmethod
    def protocol(self) -> Mapping[str, Any]:
        """Names what metrics depend on besides weights and data (reference ratios, mask seed, ...), as JSON.

        Results are compared only if the protocols are equal.
        """

    def predict(self, model: nn.Module, batch: Batch) -> Outputs:
        """Predicts what the measures need, without gradients; by default what ``model(batch)`` returns.

        Args:
            model: The model in evaluation mode, or one of the `baselines`, which may do one of several tasks alone.
            batch: What `evaluation_batch` drew, on the device.
        """
        outputs: Outputs = model(batch)
        return outputs

    def place(self, data: D, device: torch.device) -> D:
        """Returns opened data whose batches are drawn on the device that trains; as they are, unless a family can.

        Called once when a lane opens the data, not in every trial. What the device has no room for stays as it is.
        """
        return data

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

    def evaluated_splits(self) -> tuple[SplitName, ...]:
        """Returns the splits of each evaluation.

        The objective is always that of ``val``. Of ``train`` as many samples are evaluated as ``val`` holds; the names
        of its metrics begin with ``train_``.
        """
        return ("val",)

    def baselines(self, data: D) -> Mapping[str, nn.Module]:
        """Returns predictors without training that `predict` accepts in the model's place."""
        return {}

    def parts(self) -> Mapping[str, Callable[[nn.Module], nn.Module]]:
        """Names parts of a trained model that are of use alone, with what takes each of them out of the model."""
        return {}

    def facts(self, data: D) -> Mapping[str, Any]:
        """Returns what a model needs of the data, as plain values and arrays of numpy.

        Geometry, statistics of the normalisation, units, names: the model is built from these alone, and an exported
        one carries them with it.
        """
        return {}

    def draw(self, model: nn.Module, data: D, folder: Path) -> None:
        """Draws what a trained model does with the split ``val``, as PNG files into an empty folder; or nothing.

        Args:
            model: The model, in evaluation mode on the CPU.
            data: Opened data.
            folder: The folder.
        """
