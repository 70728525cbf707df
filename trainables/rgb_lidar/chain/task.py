"""The task of the chain: contrastive pre-training, a classifier of scans, a projector, fine-tuning.

Fine-tuning trains the head that the classifier of scans has too: what is measured of that classifier afterwards is
what fine-tuning left of it.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from thalweg.config import FamilyConfig
from thalweg.contract import Measure, SplitName
from thalweg.stage_contract import ParameterGroup, Stage
from trainables.rgb_lidar.chain import inheritance
from trainables.rgb_lidar.chain.knobs import ChainKnobs, StageName
from trainables.rgb_lidar.chain.losses import loss_of
from trainables.rgb_lidar.chain.model import ChainNetwork, head_parts, prefixes
from trainables.rgb_lidar.chain.projection import PROJECTION_ERROR
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.data.samples import draw
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.evaluation.baselines import CoarseLikeness, Same
from trainables.rgb_lidar.evaluation.classification import Classification, ScanClassification, guess
from trainables.rgb_lidar.evaluation.retrieval import RETRIEVAL, ROWS
from trainables.rgb_lidar.scene_task import SceneTask, side_of

_TEMPERATURE = "temperature."
_MAX_TRAINING_SCENES = 512


class ChainTask(SceneTask):
    """Trains a classifier of images by what scans taught, in stages."""

    @property
    def _knobs(self) -> ChainKnobs:
        assert isinstance(self.config.model, ChainKnobs)
        return self.config.model

    def inherit(self, starting_points: Mapping[str, FamilyConfig]) -> RGBLidar:
        """Takes the knobs of all parts that the starting points give; see `inheritance.inherit` for what is refused."""
        return inheritance.inherit(self._knobs, self.config, cast(Mapping[str, RGBLidar], starting_points))

    def starting_weights(self) -> tuple[str, ...]:
        """Returns the prefixes of the parts that are taken from other studies."""
        return tuple(prefix for part in sorted(self._knobs.taken) for prefix in prefixes(part))

    def build(self, facts: Mapping[str, Any] | None) -> nn.Module:
        """Builds the parts that the stages need for the size of the images, 64 x 64 without data."""
        return ChainNetwork(self._knobs, self.config.data, side_of(facts))

    def stages(self) -> tuple[Stage, ...]:
        """Returns the stages with their shares of the budget; only contrastive pre-training joins scenes."""
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
            )
            for stage, share in shares.items()
        )

    def _trained(self, stage: StageName) -> list[str]:
        """Returns the prefixes of what a stage trains: no weight that its loss does not reach."""
        if stage == "cilp":
            learnable = self._knobs.similarity.temperature == "learnable"
            return ["rgb.", "lidar.", *([_TEMPERATURE] if learnable else [])]
        if stage != "finetune":
            return [f"{stage}."]
        head = [f"classifier.{part}." for part in head_parts(self._knobs.projector.target)]
        free = {"nothing": ["rgb.", *head], "rgb": head, "rgb_and_head": []}
        return ["projector.", *free[self._knobs.finetune_frozen]]

    def measures(self) -> tuple[Measure, ...]:
        """Returns the measures of the parts that there are."""
        found: list[Measure] = [Classification()] if self._knobs.classifies else []
        if "classifier" in self._knobs.parts:
            found.append(ScanClassification())
        if self._retrieves:
            found.append(RETRIEVAL)
        if self._knobs.classifies:
            found.append(PROJECTION_ERROR)
        return tuple(found)

    def evaluated_splits(self) -> tuple[SplitName, ...]:
        """Returns both: embeddings and projections fit training scenes long after they stopped to fit others."""
        return ("val", "train")

    def baselines(self, data: RGBLidarData) -> Mapping[str, nn.Module]:
        """Returns the majority class, whose embeddings are all alike, and what coarse pictures have in common."""
        odds = torch.tensor(guess(data.class_shares("train")))
        outputs = {"odds": odds} if self._knobs.classifies else {}
        if "classifier" in self._knobs.parts:
            outputs["lidar_odds"] = odds
        if not self._retrieves:
            return {"majority_class": Same(outputs)}
        majority = Same(outputs | dict.fromkeys(ROWS, torch.ones(1)))
        scenes = np.arange(min(data.num_samples("train"), _MAX_TRAINING_SCENES))
        training = draw(data, "train", scenes, self.config.data)
        return {
            ("majority_class" if outputs else "chance"): majority,
            "coarse_likeness": CoarseLikeness(self.config.data, training, majority),
        }

    def parts(self) -> Mapping[str, Callable[[nn.Module], nn.Module]]:
        """Names the `ImageClassifier` of a chain that classifies, which needs images alone."""
        return {"images": _image_classifier} if self._knobs.classifies else {}

    @property
    def _retrieves(self) -> bool:
        return "lidar" in self._knobs.parts


def _image_classifier(model: nn.Module) -> nn.Module:
    assert isinstance(model, ChainNetwork)
    return model.image_classifier()
