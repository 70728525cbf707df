"""What Thalweg asks of the RGB and LiDAR family; fusion and chain answer what differs between them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from thalweg.config import FamilyConfig
from thalweg.contract import Batch, Indices, Keys, Progress, SplitName, Stage, Task
from trainables.rgb_lidar import classification, projection, retrieval
from trainables.rgb_lidar.approach import Approach
from trainables.rgb_lidar.chain import Chain
from trainables.rgb_lidar.chain_knobs import ChainKnobs
from trainables.rgb_lidar.config import CLASSES, RGBLidar
from trainables.rgb_lidar.data import RGBLidarData, open_data
from trainables.rgb_lidar.fusion import Fusion
from trainables.rgb_lidar.samples import draw
from trainables.rgb_lidar.splits import BLOCK, SHARES, SPLIT_SEED

REFERENCE_SIDE = 64
_NAMED = 40


def approach_of(config: RGBLidar) -> Approach:
    """Returns what answers for a configuration of this kind."""
    if isinstance(config.model, ChainKnobs):
        return Chain(config.model, config.data)
    return Fusion(config.model, config.data)


class RGBLidarTask(Task[RGBLidar, RGBLidarData]):
    """Trains a classifier of scenes and evaluates it on all scenes of a split."""

    config_type = RGBLidar
    metrics = (
        *classification.METRICS,
        *classification.LIDAR_METRICS,
        retrieval.METRIC,
        projection.METRIC,
    )
    rows = frozenset(retrieval.ROWS)

    def __init__(self, config: RGBLidar) -> None:
        super().__init__(config)
        self._approach = approach_of(config)

    def data_key(self) -> str:
        """Names the data set and the share that is trained on."""
        return f"{self.config.dataset}-{self.config.data.data_fraction!r}"

    def open(self, root: Path) -> RGBLidarData:
        """Opens the data set; see `open_data` for what is refused."""
        return open_data(root, self.config.dataset, self.config.data.data_fraction)

    def notes(self, data: RGBLidarData) -> tuple[str, ...]:
        """Names the files that were left out, and counts the rays that were written as 0 m."""
        notes = []
        if data.unpaired:
            more = len(data.unpaired) - _NAMED
            notes.append(
                f"{len(data.unpaired)} files of {self.config.dataset} have no partner of the other sensor and are left "
                f"out: {', '.join(data.unpaired[:_NAMED])}{f' and {more} more' if more > 0 else ''}"
            )
        if data.zero_scans:
            notes.append(
                f"{data.zero_rays:,} rays of {data.zero_scans:,} scans of {self.config.dataset} are written as 0 m "
                "and read as rays that did not come back"
            )
        return tuple(notes)

    def inherit(self, sources: Mapping[str, FamilyConfig]) -> RGBLidar:
        """Takes the knobs of the parts that start from other studies; see `Approach.inherit`."""
        return self._approach.inherit(self.config, cast(Mapping[str, RGBLidar], sources))

    def starting_weights(self) -> tuple[str, ...]:
        """Returns the beginnings of the names of all weights that come from other studies."""
        return self._approach.starting_weights()

    def training_batch(self, data: RGBLidarData, indices: Indices, keys: Keys) -> Batch:
        """Draws training scenes as they are; nothing about them is random."""
        return draw(data, "train", indices, self.config.data)

    def evaluation_batch(self, data: RGBLidarData, split: SplitName, indices: Indices) -> Batch:
        """Draws scenes of a split."""
        return draw(data, split, indices, self.config.data)

    def build(self, data: RGBLidarData | None) -> nn.Module:
        """Builds the model for the size of the images, 64 x 64 without data."""
        return self._approach.build(REFERENCE_SIDE if data is None else data.side)

    def facts(self, data: RGBLidarData) -> Mapping[str, Any]:
        """Returns the size of the images and the names of the classes."""
        return {"side": data.side, "classes": list(CLASSES)}

    def rebuild(self, facts: Mapping[str, Any]) -> nn.Module:
        """Builds the model for the size of the images that it was trained on."""
        return self._approach.build(int(facts["side"]))

    def stages(self) -> tuple[Stage, ...]:
        """Returns the stages in order."""
        return self._approach.stages()

    def losses(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the loss of the stage over scenes."""
        loss = self._approach.losses(model, batch, progress.stage)
        return {self._approach.loss_name(progress.stage): loss}

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Computes the embeddings of both sensors."""
        return self._approach.embed(model, batch)

    def joint_losses(self, embeddings: Mapping[str, Tensor], progress: Progress) -> Mapping[str, Tensor]:
        """Sums the contrastive loss over scenes."""
        return {self._approach.loss_name(progress.stage): self._approach.joint_losses(embeddings)}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the scenes."""
        return {self._approach.loss_name(progress.stage): float(len(batch["label"]))}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns 1: each stage has one part."""
        return {self._approach.loss_name(progress.stage): 1.0}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Computes the sums and embeddings that the metrics need."""
        return self._approach.evaluate(model, batch)

    def summarize(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Computes the metrics."""
        return self._approach.summarize(sums)

    def measured(self) -> tuple[str, ...]:
        """Names the metrics of what the configuration has: a fusion, a classifier of scans, embeddings, a projector."""
        return self._approach.measured()

    def evaluated_splits(self) -> tuple[SplitName, ...]:
        """Returns ``val``, and ``train`` for a chain."""
        return self._approach.evaluated_splits()

    def protocol(self) -> Mapping[str, Any]:
        """Names the classes, the law of the splits and the pools; what a model sees of a scene is its own affair."""
        return {
            "positive": CLASSES[1],
            "split": {"seed": SPLIT_SEED, "block": BLOCK, "shares": dict(SHARES)},
            "retrieval": {"pool": retrieval.POOL, "order": "consecutive scenes of the split"},
        }

    def baselines(self, data: RGBLidarData) -> Mapping[str, nn.Module]:
        """Returns the majority class and, for embeddings, what coarse pictures have in common."""
        return self._approach.baselines(data)

    def parts(self) -> Mapping[str, Callable[[nn.Module], nn.Module]]:
        """Names the `ImageClassifier` of a chain that classifies, which needs images alone."""
        return self._approach.parts()
