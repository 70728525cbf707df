"""What a scene's classes ask of its logits, whether a scene has one class or several."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from thalweg.contract import Batch
from trainables.sentinel_supcon.knobs import DataKnobs

IGNORED = -1
"""Label of a scene that counts for nothing."""


class Labels:
    """Reads the target from batches.

    Args:
        knobs: Classes, those that are ignored, and the target.
    """

    def __init__(self, knobs: DataKnobs) -> None:
        self.is_multi = knobs.target == "multi"
        self._num_valid = len(knobs.classes) - len(knobs.ignored)

    def counted(self, batch: Batch) -> Bool[Tensor, " batch"]:
        """Returns which scenes have a class that is not ignored."""
        return batch["multi"].bool().any(1) if self.is_multi else batch["label"] != IGNORED

    def cross_entropies(self, logits: Float[Tensor, "batch class_"], batch: Batch) -> Float[Tensor, " batch"]:
        """Returns the cross-entropy of each scene in nats, 0 if it does not count.

        Of several classes it is the mean over those that are not ignored, each of which is there or not.

        Args:
            logits: Logits of all classes; those of ignored ones are so low that they count for nothing.
            batch: ``label`` or ``multi``, which holds no ignored class.
        """
        if not self.is_multi:
            return functional.cross_entropy(logits, batch["label"], ignore_index=IGNORED, reduction="none")
        losses = functional.binary_cross_entropy_with_logits(
            logits, batch["multi"].to(logits.dtype), reduction="none"
        )
        return torch.where(self.counted(batch), losses.sum(1) / self._num_valid, 0.0)
