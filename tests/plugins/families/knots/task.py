"""A task with planted faults: most knobs of its configuration change nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from families.knots.config import Knots
from thalweg.contract import Batch, Indices, Keys, Measure, Metric, Outputs, SplitName, State, Task
from thalweg.stage_contract import Loss, ParameterGroup, Progress, Stage

SPLITS = {"train": (0, 96), "val": (96, 120), "test": (120, 130)}


class Rope:
    """Two modalities with a target; a place, and a modality that no layer reads."""

    fingerprint = "rope-1"
    notes = ()

    def __init__(self) -> None:
        generator = np.random.default_rng(3)
        self.columns = {
            "first": generator.standard_normal((130, 4)).astype(np.float32),
            "second": generator.standard_normal((130, 3)).astype(np.float32),
            "unread": generator.standard_normal((130, 2)).astype(np.float32),
            "place": generator.standard_normal((130, 1)).astype(np.float32),
        }
        self.columns["target"] = np.sin(
            self.columns["first"].sum(1, keepdims=True) + self.columns["second"][:, :1]
        )

    def num_samples(self, split: SplitName) -> int:
        """Number of samples in a split."""
        start, end = SPLITS[split]
        return end - start


class Net(nn.Module):
    """Two encoders that meet, and a backbone beside them that stays as it is."""

    def __init__(self, config: Knots) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.first, self.second = nn.Linear(4, width), nn.Linear(3, width)
        self.hidden = nn.Linear(width, width) if config.depth > 1 else nn.Identity()
        self.dropout = nn.Dropout(config.dropout if config.depth > 1 else 0.0)
        heads = config.heads if config.fusion == "attention" else 1
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.head = nn.Linear(width, 1)
        self.backbone = nn.Linear(4, 4)

    def met(self, batch: Batch) -> Tensor:
        """The hidden layer, (batch, width)."""
        tokens = torch.stack(
            [torch.tanh(self.first(batch["first"])), torch.tanh(self.second(batch["second"]))], 1
        )
        tokens = self.hidden(self.dropout(tokens))
        if self.config.fusion == "attention":
            tokens, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        met: Tensor = tokens.mean(1)
        return met

    def forward(self, batch: Batch) -> Tensor:
        """Predicts the target, (batch, 1)."""
        offset = (batch["place"] - batch["place"].mean()).mean()  # the flaw: each place was meant
        met = self.met(batch) * (1 + self.config.film_gain * offset)
        answer: Tensor = self.head(nn.functional.normalize(self.config.scale * met, dim=1))
        return answer


class Parts(Loss):
    """One error, and many terms that train nothing."""

    def __init__(self, config: Knots) -> None:
        self.config = config

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums over the batch."""
        assert isinstance(model, Net)
        errors = (model(batch) - batch["target"]).abs()
        hinge = torch.relu(errors - self.config.margin)
        met = model.met(batch)
        alone = (met[:, :1] / self.config.temperature).log_softmax(1)
        return {
            "error": (errors.square() if self.config.loss == "squared" else hinge).sum(),
            "smooth": met.square().sum(),
            "absent": met.sum() * 0,
            "frozen": model.backbone(batch["first"]).square().sum(),
            "detached": met.detach().abs().sum(),
            "gated": met.abs().sum(),
            "brief": met.pow(4).sum(),
            "alone": alone.sum(),
        }

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """All samples, but none of the absent modality."""
        count = float(len(batch["first"]))
        names = ("error", "smooth", "frozen", "detached", "gated", "brief", "alone")
        return {**dict.fromkeys(names, count), "absent": 0.0}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """The knobs; the brief part is over before most of its beginnings."""
        knobs, ratio = self.config.weights, progress.stage_ratio
        fading = max(
            0.0, 1 - max(0.0, ratio - self.config.fade_begin) / max(0.5 - self.config.fade_begin, 1e-9)
        )
        return {
            "error": knobs.error,
            "smooth": knobs.smooth * (ratio >= self.config.late_begin),
            "absent": knobs.absent,
            "frozen": knobs.frozen,
            "detached": knobs.detached,
            "gated": knobs.gated * 0,
            "brief": knobs.brief * (fading if ratio < 0.5 else 0.0),
            "alone": 1.0,
        }


class Error(Measure):
    """Mean squared error."""

    metrics = (
        Metric(name="mse", mode="min", unit="1", search_invariant=True, meaning="Mean squared error."),
    )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sum and count."""
        errors = (outputs["target"] - batch["target"]).double().square()
        return {"sum": errors.sum(), "count": errors.new_tensor(len(errors))}

    def summarize(self, state: State) -> dict[str, float]:
        """Mean."""
        return {"mse": float(state["sum"] / state["count"])}


class KnotsTask(Task[Knots, Rope]):
    """Fits the target."""

    config_type = Knots

    def data_key(self) -> str:
        """One data set."""
        return self.config.dataset

    def open(self, root: Path) -> Rope:
        """Makes the data."""
        return Rope()

    def _batch(self, data: Rope, split: SplitName, rows: Indices) -> Batch:
        return {
            name: torch.from_numpy(values[rows + SPLITS[split][0]]) for name, values in data.columns.items()
        }

    def training_batch(self, data: Rope, indices: Indices, keys: Keys) -> Batch:
        """Adds noise, hides features and blurs what nobody reads."""
        batch = self._batch(data, "train", indices)
        first = (
            batch["first"]
            + self.config.noise * torch.from_numpy((keys % np.uint64(7)).astype(np.float32))[:, None]
        )
        first[:, : int(4 * self.config.masked)] = 0
        return batch | {"first": first, "unread": batch["unread"] / (1 + self.config.blur)}

    def evaluation_batch(self, data: Rope, split: SplitName, indices: Indices) -> Batch:
        """The samples as they are."""
        return self._batch(data, split, indices)

    def build(self, facts: Mapping[str, Any] | None) -> nn.Module:
        """Builds the network."""
        return Net(self.config)

    def stages(self) -> tuple[Stage, ...]:
        """One stage, in which nothing decays and the backbone is frozen."""
        names = ("first", "second", "hidden", "attention", "head")
        trained = names if self.config.depth > 1 else tuple(name for name in names if name != "hidden")
        trained = (
            trained if self.config.fusion == "attention" else tuple(n for n in trained if n != "attention")
        )
        groups = tuple(ParameterGroup(prefix=name, decay=False) for name in trained)
        return (Stage(loss=Parts(self.config), groups=groups),)

    def measures(self) -> tuple[Measure, ...]:
        """The error."""
        return (Error(),)

    def predict(self, model: nn.Module, batch: Batch) -> Outputs:
        """The target."""
        return {"target": model(batch)}

    def protocol(self) -> Mapping[str, Any]:
        """Nothing but the data."""
        return {}


class Forgiving(Error):
    """Errors below a margin that is searched do not count."""

    def __init__(self, config: Knots) -> None:
        self._config = config

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Errors beyond the margin."""
        state = super().add(outputs, batch)
        return {**state, "sum": torch.relu(state["sum"] - self._config.margin)}
