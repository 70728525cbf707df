"""Fusion as an approach: image and scan together tell the class, in one stage."""

from collections.abc import Mapping

from torch import Tensor, nn

from thalweg.contract import Batch, Stage
from trainables.rgb_lidar import fusion_inheritance
from trainables.rgb_lidar.approach import Approach
from trainables.rgb_lidar.baselines import Constant
from trainables.rgb_lidar.classification import (
    METRICS,
    count_calls,
    cross_entropy,
    guess,
    log_odds,
    summarize_calls,
)
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.data import RGBLidarData
from trainables.rgb_lidar.fusion_model import FusionClassifier
from trainables.rgb_lidar.knobs import DataKnobs, FusionKnobs


class Fusion(Approach):
    """Trains a classifier of image and scan by its cross-entropy.

    Args:
        knobs: Architecture.
        inputs: Channels of image and scan.
    """

    def __init__(self, knobs: FusionKnobs, inputs: DataKnobs) -> None:
        self._knobs = knobs
        self._inputs = inputs

    def inherit(self, config: RGBLidar, sources: Mapping[str, RGBLidar]) -> RGBLidar:
        """Takes the knobs of all that the sources give; see `fusion_inheritance.inherit` for what is refused."""
        return fusion_inheritance.inherit(self._knobs, config, sources)

    def build(self, side: int) -> nn.Module:
        """Builds the classifier."""
        return FusionClassifier(self._knobs, self._inputs, side)

    def stages(self) -> tuple[Stage, ...]:
        """Returns one stage, which trains everything."""
        return (Stage(),)

    def loss_name(self, stage: str) -> str:
        """Names the cross-entropy."""
        return "cross_entropy"

    def losses(self, model: nn.Module, batch: Batch, stage: str) -> Tensor:
        """Sums the cross-entropy over scenes."""
        return cross_entropy(log_odds(model(batch)), batch["label"]).sum()

    def evaluate(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Sums the cross-entropy and counts calls."""
        return count_calls(log_odds(model(batch)), batch["label"])

    def summarize(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Computes the metrics from the counts."""
        return summarize_calls(sums)

    def measured(self) -> tuple[str, ...]:
        """Names what is known of one classifier."""
        return tuple(metric.name for metric in METRICS)

    def baselines(self, data: RGBLidarData) -> Mapping[str, nn.Module]:
        """Returns the shares of the classes in the training split, as log-odds for every scene."""
        return {"majority_class": Constant(guess(data.class_shares("train")))}
