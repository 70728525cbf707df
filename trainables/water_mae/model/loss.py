"""Losses of pre-training: masked reconstruction, and a contrastive loss between the modalities of a window."""

from collections.abc import Mapping
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from thalweg.knobs.scheduled import value_at
from thalweg.nn.contrastive.info_nce import info_nce
from thalweg.nn.losses import masked_mse, patch_normalised_mse
from thalweg.stage_contract import Joined, JointLoss, Loss, Progress, Rows
from trainables.water_mae.config import WaterMAE
from trainables.water_mae.evaluation import protocol
from trainables.water_mae.knobs import Place
from trainables.water_mae.model import masks
from trainables.water_mae.model.batch import Batch, Predictions

Places = Mapping[str, Place]
"""Place in a batch of each modality, by name."""


def reconstruction(
    predictions: Predictions, batch: Batch, places: Places, *, norm_target: bool
) -> dict[str, Float[Tensor, " batch"]]:
    """Computes for each modality the mean squared error of each sample in fp32; 0 if the modality is absent.

    Hidden land cells and catchments count; sea, padding and missing values do not.

    Args:
        predictions: Values of the hidden patches.
        batch: Training batch.
        places: The modalities.
        norm_target: Whether to use `patch_normalised_mse`.
    """
    error = patch_normalised_mse if norm_target else masked_mse
    return {
        name: error(predictions[name], *protocol.observed_values(batch, place))
        * protocol.present(batch, place)
        for name, place in places.items()
    }


def contrastive(
    summaries: Mapping[str, Float[Tensor, "batch dim"]],
    present: Bool[Tensor, "batch modality"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Computes the contrastive loss (Eq. 6 of arXiv:2210.07839), summed over pairs of modalities and their windows.

    The summaries of a window by two modalities are positives; those of other windows are negatives, in both directions.
    CAV-MAE computes summaries by a second pass of each modality alone through the shared layers. Here they are taken
    before these layers, which saves this pass, and no summary contains another modality.

    Args:
        summaries: Summary of each modality, for all windows of a global batch.
        present: Which modalities each window has, in the order of `summaries`; others are not contrasted.
        temperature: Divides the cosines.
    """
    total = torch.zeros((), device=present.device)
    for (first, one), (second, other) in combinations(enumerate(summaries.values()), 2):
        both = present[:, first] & present[:, second]
        total = total + info_nce(one / temperature, other, counted=both)
    return total


def num_contrasted(present: Bool[Tensor, "batch modality"]) -> Int[Tensor, ""]:
    """Counts the pairs of modalities that are both present, summed over windows."""
    pairs = combinations(range(present.shape[1]), 2)
    return torch.stack([(present[:, first] & present[:, second]).sum() for first, second in pairs]).sum()


class Reconstruction(Loss):
    """The mean squared error of hidden values, one part for each modality.

    Args:
        config: Form of the loss, weight of each modality, and mask ratios.
    """

    def __init__(self, config: WaterMAE) -> None:
        self._config = config
        self._places = config.modality_set.places

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the error over samples."""
        batch = masks.at_step(batch, self._config.masking, progress.stage_ratio)
        norm_target = self._config.loss.norm_target
        errors = reconstruction(model(batch), batch, self._places, norm_target=norm_target)
        return {name: error.sum() for name, error in errors.items()}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts, for each modality, the samples in which it is reconstructed."""
        batch = masks.at_step(batch, self._config.masking, progress.stage_ratio)
        return {
            name: float(protocol.reconstructed(batch, place).sum()) for name, place in self._places.items()
        }

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weights at this step."""
        return self._config.weights_at(progress.stage_ratio)


class ContrastiveReconstruction(JointLoss):
    """`Reconstruction` plus the contrastive loss between the modalities of a window.

    Args:
        config: Form of both losses, their weights, temperature of the contrastive one, and mask ratios.
    """

    def __init__(self, config: WaterMAE) -> None:
        self._config = config
        self._places = config.modality_set.places

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Computes each sample's errors and summaries by modality; masks of those that exist are companions."""
        batch = masks.at_step(batch, self._config.masking, progress.stage_ratio)
        predictions, summaries = model(batch, summaries=True)
        places = self._places.values()
        norm_target = self._config.loss.norm_target
        errors = reconstruction(predictions, batch, self._places, norm_target=norm_target)
        return Rows(
            embeddings=errors | {f"summary/{name}": summary for name, summary in summaries.items()},
            companions={
                "present": torch.stack([protocol.present(batch, place) > 0 for place in places], dim=1),
                "reconstructed": torch.stack(
                    [protocol.reconstructed(batch, place) > 0 for place in places], dim=1
                ),
            },
        )

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Sums the errors of a global batch and computes its contrastive loss."""
        present, reconstructed = rows.companions["present"], rows.companions["reconstructed"]
        summaries = {name: rows.embeddings[f"summary/{name}"] for name in self._places}
        temperature = value_at(self._config.loss.contrastive_temperature, progress.stage_ratio)
        agreement = contrastive(summaries, present, temperature)
        counts = dict(zip(self._places, reconstructed.sum(0), strict=True))
        return Joined(
            sums={name: rows.embeddings[name].sum() for name in self._places} | {"contrastive": agreement},
            counts={**counts, "contrastive": num_contrasted(present)},
        )

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weights at this step."""
        done = progress.stage_ratio
        weight = value_at(self._config.loss.contrastive_weight, done)
        return {**self._config.weights_at(done), "contrastive": weight}
