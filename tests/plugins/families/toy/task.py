"""The task of the toy family."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from families.toy.config import LossWeights, Toy
from thalweg.config import FamilyConfig
from thalweg.contract import Batch, Indices, Keys, Measure, Metric, Outputs, SplitName, State, Task
from thalweg.data.npy import read_npy
from thalweg.per_unit import PerUnit
from thalweg.serving.quantities import Arrays, Quantity
from thalweg.stage_contract import Joined, JointLoss, Loss, ParameterGroup, Progress, Rows, Stage


class Waves:
    """Inputs (sample, 4) and two targets; every third sample lacks the second."""

    fingerprint = "waves-1"
    notes = ()

    def __init__(self, file: str = "") -> None:
        generator = np.random.default_rng(0)
        made = generator.standard_normal((120, 4)).astype(np.float32)
        self.inputs = read_npy(Path(file)) if file else made
        self.first = np.sin(self.inputs.sum(1, keepdims=True)).astype(np.float32)
        self.second = (self.inputs[:, :1] * self.inputs[:, 1:2]).astype(np.float32)

    def num_samples(self, split: SplitName) -> int:
        """Number of samples in a split."""
        return {"train": 96, "val": 21, "test": 3}[split]


class Torn(torch.autograd.Function):
    """Passes values on; the way back is torch's own error."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Returns the values."""
        return values.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        """Returns a gradient of another shape, which torch refuses."""
        return slope.new_zeros(len(slope) + 1, 7)


class Net(nn.Module):
    """A hidden layer and a head."""

    def __init__(self, width: int, dropout: float, batch_norm: bool = False) -> None:
        super().__init__()
        norm = nn.BatchNorm1d(width) if batch_norm else nn.Identity()
        # A bias before a batch norm has no gradient but rounding, which Adam would blow up.
        self.body = nn.Sequential(
            nn.Linear(4, width, bias=not batch_norm), norm, nn.Tanh(), nn.Dropout(dropout)
        )
        self.head = nn.Linear(width, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Predicts both targets, (batch, 2)."""
        outputs: Tensor = self.head(self.body(inputs.to(self.head.weight.dtype)))
        return outputs.float()


class Mean(nn.Module):
    """Predicts zero."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Predicts both targets, (batch, 2)."""
        return torch.zeros(len(inputs), 2)


class Trouble:
    """What the configuration lets go wrong.

    Args:
        config: The configuration.
    """

    def __init__(self, config: Toy) -> None:
        self._config = config

    def may_fail(self, where: str) -> None:
        """Raises if the configuration says so."""
        if self._config.fails_in == where:
            raise KeyError(where)

    def hang(self, where: str) -> None:
        """Sleeps if the configuration says so."""
        if self._config.stuck == where and self._is_due():
            time.sleep(3600)

    def _is_due(self) -> bool:
        """Whether the trouble that happens once is still to come."""
        if not self._config.once:
            return True
        try:
            Path(self._config.once).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def allocate(self, batch: Batch, progress: Progress) -> None:
        """Runs out of memory as torch does on a GPU, in a pass whose intermediate values are kept."""
        count, fits = len(batch["inputs"]), self._config.fits
        due = progress.samples >= self._config.trouble_at
        if 0 <= fits < count and torch.is_grad_enabled() and due:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {count} samples")

    def in_loss(self, progress: Progress) -> None:
        """Fails, ends its process or hangs as a loss may."""
        if 0 <= self._config.fails_at <= progress.samples:
            raise RuntimeError("the toy is broken")
        if progress.samples < self._config.trouble_at:
            return
        if self._config.signal and self._is_due():
            os.kill(os.getpid(), self._config.signal)
            time.sleep(3600)
        self.hang("loss")
        alone = self._config.stuck == "last_rank"
        if alone and torch.distributed.get_rank() == torch.distributed.get_world_size() - 1:
            self.hang("last_rank")


class SquaredErrors(Loss):
    """Squared errors of both targets.

    Args:
        config: The configuration.
    """

    def __init__(self, config: Toy) -> None:
        self._config = config
        self._trouble = Trouble(config)

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Squared errors, summed."""
        self._trouble.in_loss(progress)
        outputs = model(batch["inputs"])
        self._trouble.allocate(batch, progress)  # after the model, whose buffers have changed
        if self._config.fails_in == "backward":
            outputs = Torn.apply(outputs)
        errors = (outputs - batch["targets"]).square()
        if 0 <= self._config.breaks_at <= progress.samples:
            errors = errors * float("nan")
        return {"first": errors[:, 0].sum(), "second": (errors[:, 1] * batch["present"]).sum()}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Samples that carry each part."""
        return {"first": float(len(batch["inputs"])), "second": float(batch["present"].sum())}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Weights of the configuration."""
        return {"first": self._config.loss_weights.first, "second": self._config.loss_weights.second}


def hidden(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """The hidden layer of a sample and of its mirror image, each (batch, width), in fp32."""
    assert isinstance(model, Net)
    inputs = batch["inputs"].to(model.head.weight.dtype)
    return {"sample": model.body(inputs).float(), "mirrored": model.body(inputs.flip(1)).float()}


class Alignment(JointLoss):
    """Cross-entropy of finding each sample's mirror image among all.

    Args:
        config: The configuration; None lets nothing go wrong.
    """

    def __init__(self, config: Toy | None = None) -> None:
        self._trouble = Trouble(config or Toy())

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """The hidden layers of both images."""
        rows = Rows(embeddings=hidden(model, batch))
        self._trouble.allocate(batch, progress)
        return rows

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """The sum over samples, which all count."""
        logits = rows.embeddings["sample"] @ rows.embeddings["mirrored"].T
        loss = nn.functional.cross_entropy(logits, torch.arange(len(logits)), reduction="sum")
        return Joined(sums={"alignment": loss}, counts={"alignment": float(len(logits))})

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """One part."""
        return {"alignment": 1.0}


class Errors(Measure):
    """Mean squared errors, kept apart by the tenth of the split that a sample lies in.

    Args:
        weights: Weights of the loss.
    """

    rows = frozenset({"errors"})
    metrics = (
        Metric(name="mse", mode="min", unit="1", search_invariant=True, meaning="Mean squared error."),
        Metric(name="loss", mode="min", unit="1", search_invariant=False, meaning="Weighted loss."),
        Metric(
            name="mse_first",
            mode="min",
            unit="1",
            search_invariant=False,
            meaning="That of the first target.",
        ),
        Metric(
            name="mse_second", mode="min", unit="1", search_invariant=False, meaning="That of the second."
        ),
        Metric(name="steps", mode="min", unit="1", search_invariant=False, meaning="Whether errors rise."),
    )

    def __init__(self, weights: LossWeights) -> None:
        self._weights = weights

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums of squared errors and their counts."""
        errors = (outputs["targets"] - batch["targets"]).double().square()
        present = batch["present"].double()
        second = torch.stack([errors[:, 1] * present, present], dim=1)
        return {
            "first": torch.stack([errors[:, 0].sum(), torch.tensor(len(errors)).double()]),
            "second": PerUnit.of(batch["tenth"], second),
            "errors": errors[:, 0],
        }

    def summarize(self, state: State) -> dict[str, float]:
        """Mean squared errors, and whether errors rise or fall from one sample to the next, which needs their order."""
        errors, first, table = state["errors"], state["first"], state["second"]
        steps = float((errors.diff() * torch.arange(1, len(errors))).mean())
        means = {"first": float(first[0] / first[1]), "second": float(table.total()[0] / table.total()[1])}
        return {
            "mse": (means["first"] + means["second"]) / 2,
            "mse_first": means["first"],
            "mse_second": means["second"],
            "steps": steps,
            "loss": self._weights.first * means["first"] + self._weights.second * means["second"],
        }


class ToyTask(Task[Toy, Waves]):
    """Two regressions with one body."""

    config_type = Toy

    def __init__(self, config: Toy) -> None:
        super().__init__(config)
        self._trouble = Trouble(config)

    def data_key(self) -> str:
        """Everything that reads one file shares one data set."""
        return f"waves {self.config.reads}"

    def open(self, root: Path) -> Waves:
        """Makes the data."""
        self._trouble.may_fail("open")
        return Waves(self.config.reads)

    def inherit(self, starting_points: Mapping[str, FamilyConfig]) -> Toy:
        """Takes the width from the last starting point."""
        widths = [config.width for config in starting_points.values() if isinstance(config, Toy)]
        return self.config.model_copy(update={"width": widths[-1]})

    def _batch(self, data: Waves, rows: Indices) -> Batch:
        return {
            "inputs": torch.from_numpy(data.inputs[rows]),
            "targets": torch.from_numpy(np.concatenate([data.first[rows], data.second[rows]], axis=1)),
            "present": torch.from_numpy((rows % 3 != 0).astype(np.float32)),
            "tenth": torch.from_numpy(rows // 10),
        }

    def training_batch(self, data: Waves, indices: Indices, keys: Keys) -> Batch:
        """Adds noise that depends on the key alone."""
        self._trouble.hang("data")
        self._trouble.may_fail("training_batch")
        batch = self._batch(data, indices)
        noise = (keys % np.uint64(1000)).astype(np.float32)[:, None] / 1e4
        return batch | {"inputs": batch["inputs"] + torch.from_numpy(noise)}

    def evaluation_batch(self, data: Waves, split: SplitName, indices: Indices) -> Batch:
        """Draws without noise."""
        self._trouble.hang("evaluation")
        self._trouble.may_fail("evaluation_batch")
        start = {"train": 0, "val": 96, "test": 117}[split]
        return self._batch(data, indices + start)

    def build(self, facts: Mapping[str, Any] | None) -> nn.Module:
        """Builds the network."""
        self._trouble.may_fail("build")
        return Net(self.config.width, self.config.dropout, self.config.batch_norm)

    def initial_weights(self, data: Waves) -> Mapping[str, Tensor]:
        """Every weight starts as the network initialises it."""
        return {}

    def unmeasured(self, data: Waves, split: SplitName) -> Mapping[str, str]:
        """Every split gives every metric."""
        return {}

    def stages(self) -> tuple[Stage, ...]:
        """One stage, or the head alone in a second one."""
        fit = SquaredErrors(self.config)
        if self.config.stages == "one":
            return (Stage(loss=fit),)
        if self.config.stages == "joint":
            body = (ParameterGroup(prefix="body"),)
            return (
                Stage(name="align", share=0.5, groups=body, loss=Alignment(self.config), teaches=()),
                Stage(name="fit", share=0.5, loss=fit),
            )
        head = (ParameterGroup(prefix="head", lr_scale=0.5),)
        return (
            Stage(name="all", share=0.5, loss=fit),
            Stage(name="head", share=0.5, groups=head, loss=fit),
        )

    def measures(self) -> tuple[Measure, ...]:
        """Squared errors."""
        return (Errors(self.config.loss_weights),)

    def predict(self, model: nn.Module, batch: Batch) -> Outputs:
        """Both targets."""
        self._trouble.may_fail("predict")
        return {"targets": model(batch["inputs"])}

    def quantities(self, facts: Mapping[str, Any]) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
        """Two heights of a wave, from where it is."""
        place = Quantity(name="place", unit="m", dims=("axis",), shape=(4,), mean=0.0, std=1.0)
        return (place,), (Quantity(name="height", unit="m", dims=("target",), shape=(2,)),)

    def predict_quantities(self, model: nn.Module, inputs: Arrays, facts: Mapping[str, Any]) -> Arrays:
        """Both targets."""
        return {"height": model(torch.from_numpy(inputs["place"])).numpy()}

    def protocol(self) -> Mapping[str, Any]:
        """Nothing but the data."""
        return {"version": 1}

    def baselines(self, data: Waves) -> Mapping[str, nn.Module]:
        """Zero."""
        self._trouble.may_fail("baselines")
        return {"zero": Mean()}
