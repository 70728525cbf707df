"""What Thalweg asks of the RGB and LiDAR classifier: batches, losses, evaluation, metrics.

Every metric is computed over all scenes of a split from sums, a sphere being the positive class. Accuracy saturates on
easy data, where most configurations look alike; the cross-entropy still tells them apart.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.contract import Indices, Keys, Metric, Progress, SplitName, Task
from trainables.rgb_lidar.config import CLASSES, RGBLidar
from trainables.rgb_lidar.data import RGBLidarData, open_data
from trainables.rgb_lidar.lidar import scan
from trainables.rgb_lidar.model import Batch, Constant, FusionClassifier, cross_entropy, log_odds
from trainables.rgb_lidar.splits import BLOCK, SHARES, SPLIT_SEED

REFERENCE_SIDE = 64


def _share(name: str, meaning: str) -> Metric:
    return Metric(name=name, mode="max", unit="1", search_invariant=True, meaning=meaning)


class RGBLidarTask(Task[RGBLidar, RGBLidarData]):
    """Trains a classifier by its cross-entropy and evaluates it on all scenes of a split."""

    config_type = RGBLidar
    metrics = (
        Metric(
            name="cross_entropy",
            mode="min",
            unit="nat",
            search_invariant=True,
            meaning="mean of -log p(class); log 2 = 0.693 for a guess between two equal classes",
        ),
        _share("accuracy", "share of scenes whose class is predicted"),
        _share("precision", "share of spheres among the scenes called spheres; 0 if none is called so"),
        _share("recall", "share of the spheres that are called spheres"),
        _share("f1", "harmonic mean of precision and recall"),
    )

    def data_key(self) -> str:
        """Names the data set and the share that is trained on."""
        return f"{self.config.dataset}-{self.config.data.data_fraction!r}"

    def open(self, root: Path) -> RGBLidarData:
        """Opens the data set; see `open_data` for what is refused."""
        return open_data(root, self.config.dataset, self.config.data.data_fraction)

    def training_batch(self, data: RGBLidarData, indices: Indices, keys: Keys) -> Batch:
        """Draws training scenes as they are; nothing about them is random."""
        return self._batch(data, "train", indices)

    def evaluation_batch(self, data: RGBLidarData, split: SplitName, indices: Indices) -> Batch:
        """Draws scenes of a split."""
        return self._batch(data, split, indices)

    def _batch(self, data: RGBLidarData, split: SplitName, indices: Indices) -> Batch:
        rows = data.rows[split][indices]
        knobs = self.config.data
        lidar = scan(
            data.depth[rows],
            data.azimuth,
            data.zenith,
            lidar_repr=knobs.lidar_repr,
            lidar_norm=knobs.lidar_norm,
        )
        rgb = data.rgb[rows, : knobs.rgb_channels]
        return {
            "rgb": torch.from_numpy(rgb).float() / 255,
            "lidar": torch.from_numpy(lidar),
            "label": torch.from_numpy(data.labels[rows]).float(),
        }

    def build(self, data: RGBLidarData | None) -> nn.Module:
        """Builds the model for the size of the images, 64 x 64 without data."""
        side = REFERENCE_SIDE if data is None else data.side
        return FusionClassifier(self.config.model, self.config.data, side)

    def losses(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the cross-entropy over scenes."""
        return {"cross_entropy": cross_entropy(log_odds(model(batch)), batch["label"]).sum()}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the scenes."""
        return {"cross_entropy": float(len(batch["label"]))}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns 1: there is one part."""
        return {"cross_entropy": 1.0}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Sums the cross-entropy and counts right and wrong calls of either class."""
        odds = log_odds(model(batch)).double()
        sphere, called = batch["label"] == 1, odds > 0
        return {
            "cross_entropy": cross_entropy(odds, batch["label"].double()).sum(),
            "true_positive": (called & sphere).double().sum(),
            "false_positive": (called & ~sphere).double().sum(),
            "false_negative": (~called & sphere).double().sum(),
            "true_negative": (~called & ~sphere).double().sum(),
        }

    def summarize(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Computes the metrics from the four counts; a share of nothing is 0."""
        hits, false_alarms, misses, rejections = (
            float(sums[name])
            for name in ("true_positive", "false_positive", "false_negative", "true_negative")
        )
        total = hits + false_alarms + misses + rejections
        return {
            "cross_entropy": _ratio(float(sums["cross_entropy"]), total),
            "accuracy": _ratio(hits + rejections, total),
            "precision": _ratio(hits, hits + false_alarms),
            "recall": _ratio(hits, hits + misses),
            "f1": _ratio(2 * hits, 2 * hits + false_alarms + misses),
        }

    def protocol(self) -> Mapping[str, Any]:
        """Names the classes and the law of the splits; what a model sees of a scene is its own affair."""
        return {
            "positive": CLASSES[1],
            "split": {"seed": SPLIT_SEED, "block": BLOCK, "shares": dict(SHARES)},
        }

    def baselines(self, data: RGBLidarData) -> Mapping[str, nn.Module]:
        """Returns the shares of the classes in the training split, as log-odds for every scene."""
        cubes, spheres = data.class_shares("train")
        tiny = 1e-6  # a class that training lacks
        return {"majority_class": Constant(math.log((spheres + tiny) / (cubes + tiny)))}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
