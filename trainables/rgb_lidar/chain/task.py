"""The task of the chain: contrastive pre-training, a classifier of scans, a projector, fine-tuning.

Fine-tuning trains the head that the image classifier shares with the classifier of scans. So the metrics of the
classifier of scans are those after fine-tuning.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from thalweg.config import FamilyConfig
from thalweg.contract import Measure, SplitName
from thalweg.serving.quantities import Arrays, Quantity
from thalweg.stage_contract import ParameterGroup, Stage
from trainables.rgb_lidar.chain import inheritance, physical
from trainables.rgb_lidar.chain.knobs import ChainKnobs, StageName
from trainables.rgb_lidar.chain.losses import loss_of
from trainables.rgb_lidar.chain.model import ChainNetwork, head_parts, prefixes
from trainables.rgb_lidar.chain.projection import PROJECTION_ERROR
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.data.samples import sample
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.evaluation.baselines import CoarseLikeness, Same
from trainables.rgb_lidar.evaluation.classification import Classification, ScanClassification, prior_log_odds
from trainables.rgb_lidar.evaluation.contrast import METRIC as CONTRAST
from trainables.rgb_lidar.evaluation.contrast import POOL, PooledLoss
from trainables.rgb_lidar.evaluation.retrieval import RETRIEVAL, ROWS
from trainables.rgb_lidar.scene_task import SceneTask, side_of

_TEMPERATURE = "temperature."
_MAX_TRAINING_SCENES = 512


class ChainTask(SceneTask):
    """Trains a classifier of images with the help of scans, in stages."""

    @property
    def _knobs(self) -> ChainKnobs:
        assert isinstance(self.config.model, ChainKnobs)
        return self.config.model

    def inherit(self, starting_points: Mapping[str, FamilyConfig]) -> RGBLidar:
        """Takes the knobs of all parts that starting points give; `inheritance.inherit` says what is refused."""
        return inheritance.inherit(self._knobs, self.config, cast(Mapping[str, RGBLidar], starting_points))

    def starting_weights(self) -> tuple[str, ...]:
        """Returns the prefixes of the parts that are taken from other studies."""
        return tuple(prefix for part in sorted(self._knobs.taken) for prefix in prefixes(part))

    def build(self, facts: Mapping[str, Any] | None) -> nn.Module:
        """Builds the parts that the stages need, for the size of the images; for 64 x 64 without data."""
        return ChainNetwork(self._knobs, self.config.data, side_of(facts))

    def stages(self) -> tuple[Stage, ...]:
        """Returns the stages with their shares of the budget; only contrastive pre-training has a joint loss.

        What the chain is before fine-tuning is told beside what it is after it.
        """
        shares = {stage: getattr(self._knobs.shares, stage) for stage in self._knobs.stages}
        return tuple(
            Stage(
                name=stage,
                share=share / sum(shares.values()),
                groups=tuple(
                    ParameterGroup(
                        prefix=prefix,
                        lr_scale=getattr(self._knobs.lr_scales, stage),
                        decay=prefix != _TEMPERATURE,
                    )
                    for prefix in self._trained(stage)
                ),
                loss=loss_of(stage, self._knobs),
                teaches=self._taught(stage),
                compared=following == "finetune",
            )
            for (stage, share), following in zip(shares.items(), [*list(shares)[1:], None], strict=True)
        )

    def _taught(self, stage: StageName) -> tuple[str, ...] | None:
        """Returns the metrics of the parts that are trained with a stage: an image is classified by its projection."""
        if stage in ("projector", "finetune"):
            return None
        retrieval = (*RETRIEVAL.metrics, CONTRAST) if self._retrieves else ()
        of_scans = ScanClassification().metrics if stage == "classifier" else ()
        return tuple(metric.name for metric in (*of_scans, *retrieval))

    def _trained(self, stage: StageName) -> list[str]:
        """Returns the prefixes of the weights that a stage trains: those on which its loss depends."""
        if stage == "cilp":
            learnable = self._knobs.similarity.temperature == "learnable"
            return ["rgb.", "lidar.", *([_TEMPERATURE] if learnable else [])]
        if stage != "finetune":
            return [f"{stage}."]
        head = [f"classifier.{part}." for part in head_parts(self._knobs.projector.target)]
        free = {"nothing": ["rgb.", *head], "rgb": head, "rgb_and_head": []}
        return ["projector.", *free[self._knobs.finetune_frozen]]

    def measures(self) -> tuple[Measure, ...]:
        """Returns the measures of the parts that the model has."""
        found: list[Measure] = [Classification()] if self._knobs.classifies else []
        if "classifier" in self._knobs.parts:
            found.append(ScanClassification())
        if self._retrieves:
            found += [RETRIEVAL, PooledLoss()]
        if self._knobs.classifies:
            found.append(PROJECTION_ERROR)
        return tuple(found)

    def unmeasured(self, data: RGBLidarData, split: SplitName) -> Mapping[str, str]:
        """Returns the contrastive loss for a split that does not fill a pool."""
        count = data.num_samples(split)
        if count >= POOL or not self._retrieves:
            return {}
        return {CONTRAST.name: f"it holds {count} scenes, and a pool {POOL}"}

    def evaluated_splits(self) -> tuple[SplitName, ...]:
        """Returns ``val`` and ``train``, to show overfitting of embeddings and projections."""
        return ("val", "train")

    def baselines(self, data: RGBLidarData) -> Mapping[str, nn.Module]:
        """Returns the majority class, with equal embeddings, and coarse pictures as embeddings."""
        odds = torch.tensor(prior_log_odds(data.class_shares("train")))
        outputs = {"odds": odds} if self._knobs.classifies else {}
        if "classifier" in self._knobs.parts:
            outputs["lidar_odds"] = odds
        if not self._retrieves:
            return {"majority_class": Same(outputs)}
        majority = Same(outputs | dict.fromkeys(ROWS, torch.ones(1)))
        scenes = np.arange(min(data.num_samples("train"), _MAX_TRAINING_SCENES))
        training = sample(data, "train", scenes, self.config.data)
        return {
            ("majority_class" if outputs else "chance"): majority,
            "coarse_likeness": CoarseLikeness(self.config.data, training, majority),
        }

    def quantities(self, facts: Mapping[str, Any]) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
        """Returns what the chain takes and gives; a whole one needs images alone."""
        return physical.quantities(self._knobs, self.config.data, side_of(facts))

    def predict_quantities(self, model: nn.Module, inputs: Arrays, facts: Mapping[str, Any]) -> Arrays:
        """Classifies images, or embeds and classifies what the stages of the chain were trained for."""
        return physical.predict(model, inputs, self._knobs, self.config.data)

    def parts(self) -> Mapping[str, Callable[[nn.Module], nn.Module]]:
        """Returns the `ImageClassifier` as ``images``, if the chain has all of its parts."""
        return {"images": _image_classifier} if self._knobs.classifies else {}

    @property
    def _retrieves(self) -> bool:
        return "lidar" in self._knobs.parts


def _image_classifier(model: nn.Module) -> nn.Module:
    assert isinstance(model, ChainNetwork)
    return model.image_classifier()
