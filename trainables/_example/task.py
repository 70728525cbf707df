"""The task: data, model, loss and measure."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.contract import Batch, Measure, Metric, Outputs, SplitName, State, Task
from thalweg.errors import DataError
from thalweg.stage_contract import Loss, Progress, Stage
from trainables._example.config import ExampleConfig


class ExampleData:
    """Images (sample, 2, 8, 8), weather (sample, 5) and temperatures (sample) of each split."""

    notes = ()

    def __init__(self, folder: Path) -> None:
        self._splits, content = dict[str, Batch](), hashlib.sha256()
        for split in ("train", "val", "test"):
            file = folder / f"{split}.npz"
            if not file.is_file():
                raise DataError(f"a data set must hold {split}.npz, got none in {folder}")
            with np.load(file) as arrays:
                self._splits[split] = {name: torch.tensor(arrays[name]).float() for name in arrays}
            content.update(file.read_bytes())
        self.fingerprint = content.hexdigest()[:16]

    def num_samples(self, split: SplitName) -> int:
        return len(self._splits[split]["water"])

    def batch(self, split: SplitName, indices: np.ndarray) -> Batch:
        return {name: values[indices] for name, values in self._splits[split].items()}


class ExampleNet(nn.Module):
    """An encoder for each modality, and a head on both."""

    def __init__(self, width: int, fusion: str) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(2, width, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1))
        self.weather = nn.Sequential(nn.Linear(5, width), nn.GELU())
        self.head = nn.Linear(2 * width if fusion == "concat" else width, 1)
        self.fusion = fusion

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        kind = self.head.weight.dtype  # the precision of training; predictions are in fp32
        image = self.image(batch["image"].to(kind)).flatten(1)
        weather = self.weather(batch["weather"].to(kind))
        joined = torch.cat([image, weather], 1) if self.fusion == "concat" else image + weather
        return {"water": self.head(joined).squeeze(1).float()}


class SquaredError(Loss):
    """Parts are sums over samples, never means; counts are what they are divided by."""

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        return {"mse": (model(batch)["water"] - batch["water"]).square().sum()}

    def counts(self, batch: Batch, progress: Progress) -> dict[str, float]:
        return {"mse": float(len(batch["water"]))}

    def weights(self, progress: Progress) -> dict[str, float]:
        return {"mse": 1.0}


class RootMeanSquare(Measure):
    """A measure keeps sums and counts in float64, which add up over batches and workers."""

    metrics = (Metric(name="rmse", mode="min", unit="K", search_invariant=True, meaning="RMSE."),)

    def add(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        errors = (outputs["water"] - batch["water"]).double()
        return {"squared": errors.square().sum(), "count": torch.tensor(len(errors))}

    def summarize(self, state: State) -> dict[str, float]:
        return {"rmse": float((state["squared"] / state["count"]).sqrt())}


class ExampleTask(Task[ExampleConfig, ExampleData]):
    """One configuration, as the platform trains it; `thalweg.contract.Task` explains each method."""

    config_type = ExampleConfig

    def data_key(self) -> str:
        return self.config.dataset

    def open(self, root: Path) -> ExampleData:
        return ExampleData(root / self.config.dataset)

    def training_batch(self, data: ExampleData, indices: np.ndarray, keys: np.ndarray) -> Batch:
        return data.batch("train", indices)  # noise, crops, masks: drawn from the keys, never otherwise

    def evaluation_batch(self, data: ExampleData, split: SplitName, indices: np.ndarray) -> Batch:
        return data.batch(split, indices)

    def build(self, facts: object) -> nn.Module:
        return ExampleNet(self.config.width, self.config.fusion)

    def stages(self) -> tuple[Stage, ...]:
        return (Stage(loss=SquaredError()),)

    def measures(self) -> tuple[Measure, ...]:
        return (RootMeanSquare(),)

    def protocol(self) -> dict[str, str]:
        return {}
