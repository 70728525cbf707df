"""The task of fusion: a classifier of image and scan together, trained in one stage."""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from thalweg.config import FamilyConfig
from thalweg.contract import Batch, Measure, Outputs
from thalweg.serving.quantities import Arrays, Quantity
from thalweg.stage_contract import Progress, Stage
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.evaluation.baselines import Constant
from trainables.rgb_lidar.evaluation.classification import (
    Classification,
    cross_entropy,
    log_odds,
    prior_log_odds,
)
from trainables.rgb_lidar.fusion import inheritance, physical
from trainables.rgb_lidar.fusion.model import FusionClassifier
from trainables.rgb_lidar.knobs import FusionKnobs
from trainables.rgb_lidar.scene_task import SceneLoss, SceneTask, side_of


class CrossEntropy(SceneLoss):
    """The cross-entropy of image and scan together."""

    name = "cross_entropy"

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the cross-entropy over scenes."""
        return {self.name: cross_entropy(log_odds(model(batch)), batch["label"]).sum()}


class FusionTask(SceneTask):
    """Trains a classifier of image and scan by its cross-entropy."""

    @property
    def _knobs(self) -> FusionKnobs:
        assert isinstance(self.config.model, FusionKnobs)
        return self.config.model

    def inherit(self, starting_points: Mapping[str, FamilyConfig]) -> RGBLidar:
        """Takes the knobs of all parts that starting points give; `inheritance.inherit` says what is refused."""
        return inheritance.inherit(self._knobs, self.config, cast(Mapping[str, RGBLidar], starting_points))

    def build(self, facts: Mapping[str, Any] | None) -> nn.Module:
        """Builds the classifier for the size of the images; for 64 x 64 without data."""
        return FusionClassifier(self._knobs, self.config.data, side_of(facts))

    def stages(self) -> tuple[Stage, ...]:
        """Returns one stage, which trains everything."""
        return (Stage(loss=CrossEntropy()),)

    def measures(self) -> tuple[Measure, ...]:
        """Returns the measure of the classifier."""
        return (Classification(),)

    def predict(self, model: nn.Module, batch: Batch) -> Outputs:
        """Predicts the log-odds of a sphere."""
        return {"odds": log_odds(model(batch))}

    def quantities(self, facts: Mapping[str, Any]) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
        """Returns image, scan and angles, and the probability of a sphere."""
        return physical.quantities(self.config.data, side_of(facts))

    def predict_quantities(self, model: nn.Module, inputs: Arrays, facts: Mapping[str, Any]) -> Arrays:
        """Classifies scenes."""
        return physical.predict(model, inputs, self.config.data)

    def baselines(self, data: RGBLidarData) -> Mapping[str, nn.Module]:
        """Returns the majority class: the log-odds of the class shares in the training split."""
        return {"majority_class": Constant(prior_log_odds(data.class_shares("train")))}
