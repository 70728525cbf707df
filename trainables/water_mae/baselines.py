"""Predictors without training, in the model's place."""

from jaxtyping import Float
from torch import Tensor, nn

from trainables.water_mae.config import MODALITIES
from trainables.water_mae.model import Batch, Predictions, kind_and_index


class Climatology(nn.Module):
    """Predicts the training period's mean of the day of the year at the same place.

    Args:
        images: Means of the image modalities, in normalised units.
        vectors: Means of the vector modalities, in normalised units.
    """

    def __init__(
        self,
        images: Float[Tensor, "day 3 patch pixel"],
        vectors: Float[Tensor, "day 2 vector_patch member"],
    ) -> None:
        super().__init__()
        self.register_buffer("image_means", images, persistent=False)
        self.register_buffer("vector_means", vectors, persistent=False)
        self.image_means: Tensor
        self.vector_means: Tensor

    def forward(self, batch: Batch) -> Predictions:
        """Looks up the masked patches of each day; takes the same batch as the model."""
        means = {"image": self.image_means, "vector": self.vector_means}
        day = batch["day_of_year"][..., None]  # (batch, step, 1)
        predictions = {}
        for name in MODALITIES:
            kind, index = kind_and_index(name)
            predictions[name] = means[kind][:, index][day, batch[f"{kind}_masked"][:, index]]
        return predictions
