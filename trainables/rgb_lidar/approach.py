"""What `RGBLidarTask` leaves to the kind of its configuration: fusion or chain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from thalweg.contract import Batch, SplitName, Stage
from trainables.rgb_lidar.config import RGBLidar

if TYPE_CHECKING:
    from trainables.rgb_lidar.data import RGBLidarData


class Approach(ABC):
    """A way to tell spheres from cubes: the model, its stages, what is lost and what is measured.

    The methods are those of `thalweg.contract.Task`. Each stage has one loss, a mean over scenes.
    """

    @abstractmethod
    def inherit(self, config: RGBLidar, sources: Mapping[str, RGBLidar]) -> RGBLidar:
        """Returns the configuration with the knobs of all parts that start from other studies."""

    def starting_weights(self) -> tuple[str, ...]:
        """Returns the beginnings of the names of all weights that come from other studies."""
        return ("",)

    @abstractmethod
    def build(self, side: int) -> nn.Module:
        """Builds the model for images and scans of this height and width."""

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """Returns the stages in order."""

    @abstractmethod
    def loss_name(self, stage: str) -> str:
        """Names the loss of a stage."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch, stage: str) -> Tensor:
        """Sums the loss of a stage over scenes."""

    def embed(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Returns what the loss of a joint stage needs of each scene."""
        raise NotImplementedError(f"{type(self).__name__} has no joint stage")

    def joint_losses(self, embeddings: Mapping[str, Tensor]) -> Tensor:
        """Sums the loss of a joint stage over scenes."""
        raise NotImplementedError(f"{type(self).__name__} has no joint stage")

    @abstractmethod
    def evaluate(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Computes the sums, and the rows, that the metrics need."""

    @abstractmethod
    def summarize(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Computes the metrics."""

    @abstractmethod
    def measured(self) -> tuple[str, ...]:
        """Names the metrics."""

    def evaluated_splits(self) -> tuple[SplitName, ...]:
        """Returns the splits of each evaluation."""
        return ("val",)

    @abstractmethod
    def baselines(self, data: RGBLidarData) -> Mapping[str, nn.Module]:
        """Returns predictors without training."""

    def parts(self) -> Mapping[str, Callable[[nn.Module], nn.Module]]:
        """Names parts of the model that are of use alone."""
        return {}
