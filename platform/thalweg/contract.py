"""What a model family must provide, and nothing more.

A family is a folder ``trainables/NAME/`` with

- ``config.py``: one subclass of `thalweg.config.FamilyConfig`, and ``PRESETS``, the `thalweg.config.Presets` of it;
  imports nothing heavy, because search spaces import it;
- ``task.py``: one subclass of `Task` for that configuration, or a function ``task_for(config)`` that chooses among
  several (one for each variant of the model);
- ``datasets.py``: ``WORLDS``, synthetic data sets by name, and ``SOURCES``, public data sets that can be
  imported; both may be empty;
- optionally ``explore.py``: ``explore`` and ``export_fiftyone``; `thalweg.dataset_contract` says what they and
  ``datasets.py`` hold.

The platform owns everything else: processes, DeepSpeed, the loop, the optimizer, checkpoints, early stopping,
records. It knows no family by name.

A task joins three kinds of parts:

- *Stages* (`thalweg.stage_contract`). Training is a sequence of `Stage` objects. Each names the parameters that it
  trains, the modules that it freezes, and owns its `Loss`, or its `JointLoss` if samples of a batch are compared with
  one another.
- *Measures.* Each `Measure` turns predictions into sums that add up over batches and workers, and the sums of a split
  into metrics.
- *Data.* `Task.open` opens a data set, and two methods sample batches from it: for training and for evaluation.

A whole task may be as short as this, beside ``RainConfig`` of ``config.py``, a model ``RainNet`` and ``RainData``,
which is a `Data` with a method ``batch``::

    from thalweg.contract import Measure, Metric, Task
    from thalweg.stage_contract import Loss, Stage


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
- *Metrics are evaluated at a fixed protocol.* What `Task.evaluation_batch` samples and what a `Measure`
  computes must not depend on a searched knob; `Task.protocol` names everything that they depend on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    Protocol,
    TypeAlias,
    TypeVar,
    runtime_checkable,
)

import numpy as np
import numpy.typing as npt

from thalweg.config import FamilyConfig
from thalweg.errors import FamilyError
from thalweg.stage_contract import Stage

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Batch: TypeAlias = "dict[str, Tensor]"
Outputs: TypeAlias = "Mapping[str, Tensor]"
"""What a model or a baseline predicts for a batch, by name; the first axis is the batch unless the family says
otherwise."""
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
    """Metrics that are computed from sums over samples.

    A state holds the sums over some samples. States add up: the platform adds those of batches and of workers, so that
    a metric never depends on how a split was cut into batches. Entries of a state are

    - tensors of any shape, which are added in float64; keep sums and counts, never means;
    - `thalweg.per_unit.PerUnit` tables, sums that are kept apart by unit (catchment and year, scene, season) and added
      where the units are equal. Prefer them to plain sums: comparisons of models over places and years need them;
    - the names in `rows`: tensors (batch, ...) with one row for each sample, which are concatenated in the order of the
      split, such as the embeddings of a retrieval.

    Attributes:
        metrics: Metrics that `summarize` returns, the most important ones first: MLflow shows the first eight of a
            task, and the objective. Their names are unique among all measures of a task.
        rows: Names in the state that hold one row for each sample.
        units: What the parts of the units' keys are, in their order, such as ``("catchment", "year")``: verdicts over
            places and years draw blocks of one part. Seasons are no blocks.
    """

    metrics: tuple[Metric, ...]
    rows: frozenset[str] = frozenset()
    units: tuple[str, ...] = ()

    @abstractmethod
    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Returns the state of one batch.

        Args:
            outputs: What `Task.predict` returned for the model or for a baseline.
            batch: What `Task.evaluation_batch` returned, on the device.

        Returns:
            The same names for every batch; an empty mapping if the outputs lack what is measured. A baseline that does
            only one of several tasks may lack some.
        """

    @abstractmethod
    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metrics.

        Args:
            state: State of a whole split, on the CPU; never empty.

        Returns:
            A value for every name in `metrics`; NaN for a metric that cannot be computed from the split.
        """


def metrics_of(task: Task[Any, Any]) -> tuple[Metric, ...]:
    """Returns the metrics of all measures of a task, in their order.

    Raises:
        FamilyError: Two of them have one name.
    """
    metrics = tuple(metric for measure in task.measures() for metric in measure.metrics)
    names = [metric.name for metric in metrics]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise FamilyError(
            f"names of metrics must be unique among all measures of a task, got {', '.join(twice)} twice in "
            f"{type(task).__module__}.{type(task).__qualname__}; rename one"
        )
    return metrics


def unmeasured(task: Task[Any, Any], data: Any, split: SplitName) -> Mapping[str, str]:
    """Returns the metrics of a task that a split cannot give, and why."""
    return task.unmeasured(data, split) if isinstance(task, NamesUnmeasured) else {}


def not_measured(split: SplitName, lacking: Mapping[str, str]) -> Iterator[str]:
    """Yields a sentence on the metrics that a split cannot give, for each reason.

    Args:
        split: The split.
        lacking: Metrics that it cannot give, and why.
    """
    for why in dict.fromkeys(lacking.values()):
        names = [name for name, reason in lacking.items() if reason == why]
        yield f"not measured on {split}, for {why}: {', '.join(names)}"


class Data(Protocol):
    """An opened data set. A lane keeps it for all trials with the same `Task.data_key`."""

    @property
    def fingerprint(self) -> str:
        """Hash of the content that samples are made of; equal data have equal fingerprints on every machine."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a user of the data should read, such as which files were left out; often none."""

    def num_samples(self, split: SplitName) -> int:
        """Number of samples in a split; 0 if the data set has no such split."""


C = TypeVar("C", bound=FamilyConfig)
D = TypeVar("D", bound=Data)


class Task(ABC, Generic[C, D]):
    """One configuration of a family, as the platform trains it.

    A task holds no tensors and no state beyond its configuration: making one costs nothing. Eight methods are required;
    the other nine have defaults that suit a family that needs nothing special. Variants of a model are subclasses of
    one another or of a shared one, among which ``task_for`` of the family's ``task.py`` chooses.

    Attributes:
        config_type: Class of the family's configuration.
    """

    config_type: ClassVar[type[FamilyConfig]]

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def data_key(self) -> str:
        """Returns a key of everything that `open` depends on; tasks with equal keys share the opened data."""

    @abstractmethod
    def open(self, root: Path) -> D:
        """Opens the data set ``config.dataset`` below the family's data folder ``root``.

        Raises:
            DataError: Data are missing or broken; the message names the file and the way out.
        """

    @abstractmethod
    def training_batch(self, data: D, indices: Indices, keys: Keys) -> Batch:
        """Samples a batch for training.

        Args:
            data: What `open` returned.
            indices: Sample numbers in the split ``train``, shape (batch,).
            keys: One key per sample and epoch, shape (batch,): the seed of everything random about the sample.

        Returns:
            Tensors whose first axis is the batch, on the CPU or on the device to which `place` moved the data. What
            `Loss.counts` reads stays on the CPU, so that no step waits for a GPU.
        """

    @abstractmethod
    def evaluation_batch(self, data: D, split: SplitName, indices: Indices) -> Batch:
        """Samples a batch of a split at the fixed evaluation protocol, the same for every configuration."""

    @abstractmethod
    def build(self, facts: Mapping[str, Any] | None) -> nn.Module:
        """Builds the model for one device, with weights drawn from torch's global generator.

        ``thalweg describe`` counts the parameters of each direct child by its name. Weights are in fp32. For
        training in half precision, the platform casts them and all fp32 buffers, but for statistics of normalisations.
        What `stages` name exists for all facts, and without any: a search checks it before it books anything.
        Normalisations and embeddings then compute in fp32 by themselves. The model casts its inputs to the type of its
        weights. Losses are computed from fp32 tensors.

        Args:
            facts: What `facts` returned for the data, which gives the geometry; arrays may come as tensors. None builds
                the model for the family's reference geometry.
        """

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """Returns the stages of training in order; most families have one."""

    @abstractmethod
    def measures(self) -> tuple[Measure, ...]:
        """Returns the measures of this configuration; metrics are shown in their order."""

    @abstractmethod
    def protocol(self) -> Mapping[str, Any]:
        """Returns what metrics depend on besides weights and data (reference ratios, mask seed, ...), as JSON values.

        Results are compared only if the protocols are equal.
        """

    def predict(self, model: nn.Module, batch: Batch) -> Outputs:
        """Predicts what the measures need, without gradients; by default what ``model(batch)`` returns.

        Args:
            model: The model in evaluation mode, or one of the `baselines`, which may do only one of several tasks.
            batch: What `evaluation_batch` returned, on the device.
        """
        outputs: Outputs = model(batch)
        return outputs

    def place(self, data: D, device: torch.device) -> D:
        """Moves opened data to the training device, so that batches are made there; by default they stay on the CPU.

        Called once when a lane opens the data, not in every trial. Data that do not fit on the device stay on the CPU.
        """
        return data

    def inherit(self, starting_points: Mapping[str, FamilyConfig]) -> C:
        """Returns the configuration, in which every part that starts from another study has the knobs of that study.

        Args:
            starting_points: Configuration of the best trial of each study in ``config.starts_from``, in that order.

        Raises:
            ConfigError: A starting point does not give what this configuration needs.
        """
        return self.config

    def starting_weights(self) -> tuple[str, ...]:
        """Returns the prefixes of the names of all weights that come from the studies in ``config.starts_from``.

        All other weights start as `build` initialises them.
        """
        return ("",)

    def evaluated_splits(self) -> tuple[SplitName, ...]:
        """Returns the splits on which the model is evaluated.

        The objective is always computed on ``val``. As many samples of ``train`` are evaluated as ``val`` holds; the
        names of their metrics begin with ``train_``.
        """
        return ("val",)

    def baselines(self, data: D) -> Mapping[str, nn.Module]:
        """Returns baselines by name: untrained predictors that `predict` accepts in place of the model."""
        return {}

    def parts(self) -> Mapping[str, Callable[[nn.Module], nn.Module]]:
        """Returns, by name, functions that take a part which is useful alone out of a trained model, for exports."""
        return {}

    def facts(self, data: D) -> Mapping[str, Any]:
        """Returns what a model needs to know of the data, as plain values and numpy arrays.

        Geometry, statistics of the normalisation, units, names: the model is built from these alone, and an exported
        model carries them with it. Asked before each trial, it is also where a family refuses what a configuration asks
        of the data and they do not hold, such as days further apart than the record is long: training would go on
        without what a knob names.

        Raises:
            ConfigError: A knob asks for what the data do not hold; the message names the largest that they do.
        """
        return {}

    def draw(self, model: nn.Module, data: D, folder: Path) -> None:
        """Draws pictures of what a trained model does with the split ``val``, as PNG files; by default none.

        Args:
            model: The model, in evaluation mode on the CPU.
            data: Opened data.
            folder: An empty folder for the pictures.
        """


@runtime_checkable
class NamesUnmeasured(Protocol):
    """What a `Task` is too if there are data sets whose splits cannot give all of its metrics."""

    def unmeasured(self, data: Any, split: SplitName) -> Mapping[str, str]:
        """Returns the metrics that a split cannot give, and why, as a clause: they would be NaN, and left out.

        A study whose objective is one of ``val`` is refused before it begins; the others are told once.

        Args:
            data: Opened data.
            split: A split that holds samples.
        """


@runtime_checkable
class KnowsOrigins(Protocol):
    """What a `Task` is too if it can tell where its samples come from, so that leaks between splits are found.

    Equal samples in two splits are found without it. It tells what samples cannot: two photographs of one place, or
    other variables of one day.
    """

    def origins(self, data: Any, split: SplitName) -> Mapping[str, Sequence[Any]]:
        """Returns, by kind, all that no two splits may have in common, such as ``{"day": [...]}``, as sortable values.

        A kind that splits share on purpose, such as the catchments of a split by years, is left out.

        Args:
            data: Opened data.
            split: A split that holds samples.
        """


@runtime_checkable
class KnowsFitted(Protocol):
    """What a `Task` is too if opened data know what their statistics were computed from, such as test years."""

    def fitted_on(self, data: Any) -> Mapping[str, Sequence[Any]]:
        """Returns, by the kinds of `KnowsOrigins`, what the statistics of the normalisation were computed from.

        A kind without values says that none were fitted, and no kind that the data do not tell, such as a store that an
        earlier version prepared. What is outside all splits, such as days between them, may be among the values.

        Args:
            data: Opened data.
        """


@runtime_checkable
class GivesWeights(Protocol):
    """What a `Task` is too if its trials may begin with weights of a file, such as published ones."""

    def initial_weights(self, data: Any) -> Mapping[str, Tensor]:
        """Returns weights that a trial begins with, such as published ones, by their names in the model; often none.

        Asked once, when a trial begins: a trial that goes on and an exported model have theirs. All other weights start
        as `build` initialises them; those of studies in ``config.starts_from`` are copied last.

        Args:
            data: What `open` returned, which knows the files.

        Raises:
            DataError: A file is missing, broken, or another one than when the data were opened.
        """
