"""What a scene's classes ask of its logits, whether a scene has one class or several."""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor
from torch.nn import functional

from thalweg.contract import Batch
from trainables.sentinel_supcon.knobs import IGNORED, DataKnobs


class Target:
    """What scenes are classified as: one class, or several.

    Args:
        knobs: Classes, those that are ignored, and the target.
    """

    def __init__(self, knobs: DataKnobs) -> None:
        self.is_multi = knobs.target == "multi"
        self._valid = [knobs.classes.index(name) for name in knobs.valid_classes]

    def counted(self, batch: Batch) -> Bool[Tensor, " batch"]:
        """Returns which scenes have a class that is not ignored."""
        return batch["multi"].bool().any(1) if self.is_multi else batch["label"] != IGNORED

    def there(self, batch: Batch) -> Bool[Tensor, "batch valid"]:
        """Returns which of the classes that are not ignored each scene has."""
        if self.is_multi:
            return batch["multi"][:, self._valid].bool()
        numbers = torch.tensor(self._valid, device=batch["label"].device)
        return batch["label"][:, None] == numbers

    def chances(self, logits: Float[Tensor, "batch class_"]) -> Float64[Tensor, "batch valid"]:
        """Returns the probabilities of the classes that are not ignored; of a single class they add up to 1."""
        valid = logits.double()[:, self._valid]
        return valid.sigmoid() if self.is_multi else valid.softmax(1)

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
        return torch.where(self.counted(batch), losses.sum(1) / len(self._valid), 0.0)
