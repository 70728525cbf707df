"""The baseline that sees nothing: how often each class occurs in the training split."""

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from thalweg.contract import Batch
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.knobs import DataKnobs
from trainables.sentinel_supcon.model.scene_model import LOGITS, NEVER


class Majority(nn.Module):
    """Predicts the same logits for all scenes.

    Args:
        logits: Logits of all classes.
    """

    def __init__(self, logits: Float64[np.ndarray, " class_"]) -> None:
        super().__init__()
        self.register_buffer("logits", torch.from_numpy(logits), persistent=False)
        self.logits: Tensor

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the logits."""
        return {LOGITS: self.logits.expand(len(batch["label"]), -1)}


def fit_majority(data: PatchData, knobs: DataKnobs) -> Majority:
    """Returns the shares of the classes in the training split as logits; no class is impossible, but ignored ones are.

    Args:
        data: The data.
        knobs: Target and ignored classes.
    """
    rows = data.rows["train"]
    if knobs.target == "multi":
        there = data.multi[rows]
        there = there[there.any(1)]
        odds = (there.sum(0) + 1.0) / ((~there).sum(0) + 1.0)
    else:
        labels = data.labels[rows]
        odds = np.bincount(labels[labels >= 0], minlength=len(data.classes)) + 1.0
    return Majority(np.where(data.valid_classes, np.log(odds), NEVER))
