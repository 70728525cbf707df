"""The chain as an approach: contrastive pre-training, a classifier of scans, a projector, fine-tuning.

Fine-tuning trains the head that the classifier of scans has too: what is measured of that classifier afterwards is
what fine-tuning left of it.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.contract import Batch, ParameterGroup, SplitName, Stage
from thalweg.nn.contrastive.info_nce import info_nce
from thalweg.nn.contrastive.retrieval import recall_at_1
from thalweg.nn.measures.normalised_error import normalised_error, normalised_error_sums
from trainables.rgb_lidar import classification, inheritance, projection, retrieval
from trainables.rgb_lidar.approach import Approach
from trainables.rgb_lidar.baselines import CoarseLikeness, Same
from trainables.rgb_lidar.chain_knobs import ChainKnobs, StageName
from trainables.rgb_lidar.chain_model import ChainNetwork, head_parts, prefixes
from trainables.rgb_lidar.classification import LIDAR, count_calls, cross_entropy, guess, summarize_calls
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.data import RGBLidarData
from trainables.rgb_lidar.knobs import DataKnobs
from trainables.rgb_lidar.samples import draw

_LOSSES: Mapping[str, str] = {
    "cilp": "info_nce",
    "classifier": "lidar_cross_entropy",
    "projector": "projection",
    "finetune": "cross_entropy",
}
_TEMPERATURE = "temperature."
_MOST_TRAINING_SCENES = 512


class Chain(Approach):
    """Trains a classifier of images by what scans taught, in stages.

    Args:
        knobs: Stages and architecture.
        inputs: Channels of image and scan.
    """

    def __init__(self, knobs: ChainKnobs, inputs: DataKnobs) -> None:
        self._knobs = knobs
        self._inputs = inputs

    def inherit(self, config: RGBLidar, sources: Mapping[str, RGBLidar]) -> RGBLidar:
        """Takes the knobs of all parts that the sources give; see `inheritance.inherit` for what is refused."""
        return inheritance.inherit(self._knobs, config, sources)

    def starting_weights(self) -> tuple[str, ...]:
        """Returns the prefixes of the parts that are taken from other studies."""
        return tuple(prefix for part in sorted(self._knobs.taken) for prefix in prefixes(part))

    def build(self, side: int) -> nn.Module:
        """Builds the parts that the stages need."""
        return ChainNetwork(self._knobs, self._inputs, side)

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
                joint=stage == "cilp",
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

    def loss_name(self, stage: str) -> str:
        """Names the loss of a stage."""
        return _LOSSES[stage]

    def losses(self, model: nn.Module, batch: Batch, stage: str) -> Tensor:
        """Sums the loss of a stage over scenes."""
        assert isinstance(model, ChainNetwork)
        if stage == "classifier":
            return cross_entropy(model.lidar_odds(batch), batch["label"]).sum()
        if stage == "finetune":
            return cross_entropy(model.odds(batch), batch["label"]).sum()
        found, target = model.project(model.rgb_embedding(batch)), model.target(batch)
        return projection.projection_losses(found, target, self._knobs.projector.loss).sum()

    def embed(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Returns embeddings whose products are the logits: those of images carry the inverse temperature."""
        assert isinstance(model, ChainNetwork)
        return {
            "rgb": model.temperature(model.rgb_embedding(batch)),
            "lidar": model.lidar_embedding(batch),
        }

    def joint_losses(self, embeddings: Mapping[str, Tensor]) -> Tensor:
        """Sums the symmetric contrastive loss over scenes."""
        return info_nce(embeddings["rgb"], embeddings["lidar"])

    def evaluate(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Sums and counts what the outputs of a model or a baseline tell, and keeps embeddings."""
        outputs, labels = model(batch), batch["label"]
        found: dict[str, Tensor] = {}
        if "odds" in outputs:
            found |= count_calls(outputs["odds"], labels)
        if "lidar_odds" in outputs:
            found |= count_calls(outputs["lidar_odds"], labels, LIDAR)
        if "projection" in outputs:
            found |= normalised_error_sums(outputs["projection"], outputs["target"])
        if self._retrieves:
            found |= {name: outputs[name] for name in retrieval.ROWS}
        return found

    def summarize(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Computes the metrics of whatever there are sums of."""
        found: dict[str, float] = {}
        if "true_positive" in sums:
            found |= summarize_calls(sums)
        if f"{LIDAR}true_positive" in sums:
            calls = summarize_calls(sums, LIDAR)
            found |= {metric.name: calls[metric.name] for metric in classification.LIDAR_METRICS}
        if self._retrieves:
            rgb, lidar = (sums[name] for name in retrieval.ROWS)
            found[retrieval.METRIC.name] = recall_at_1(rgb, lidar, retrieval.POOL)
        if "target_sum" in sums:
            found[projection.METRIC.name] = normalised_error(sums)
        return found

    def measured(self) -> tuple[str, ...]:
        """Names the metrics of the parts that there are."""
        found = list(classification.METRICS) if self._knobs.classifies else []
        if "classifier" in self._knobs.parts:
            found += classification.LIDAR_METRICS
        if self._retrieves:
            found.append(retrieval.METRIC)
        if self._knobs.classifies:
            found.append(projection.METRIC)
        return tuple(metric.name for metric in found)

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
        majority = Same(outputs | dict.fromkeys(retrieval.ROWS, torch.ones(1)))
        training = draw(
            data, "train", np.arange(min(data.num_samples("train"), _MOST_TRAINING_SCENES)), self._inputs
        )
        return {
            ("majority_class" if outputs else "chance"): majority,
            "coarse_likeness": CoarseLikeness(self._inputs, training, majority),
        }

    def parts(self) -> Mapping[str, Callable[[nn.Module], nn.Module]]:
        """Names the classifier of images where there is one."""
        return {"images": _image_classifier} if self._knobs.classifies else {}

    @property
    def _retrieves(self) -> bool:
        return "lidar" in self._knobs.parts


def _image_classifier(model: nn.Module) -> nn.Module:
    assert isinstance(model, ChainNetwork)
    return model.image_classifier()
