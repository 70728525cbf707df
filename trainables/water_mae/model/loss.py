"""Losses of pre-training: masked reconstruction, and a contrastive loss between the modalities of a window."""

from collections.abc import Mapping
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from thalweg.nn.contrastive.info_nce import info_nce
from thalweg.nn.losses import masked_mse, patch_normalised_mse
from thalweg.stage_contract import Joined, JointLoss, Loss, Progress, Rows
from trainables.water_mae.config import MODALITIES, LossKnobs
from trainables.water_mae.evaluation import protocol
from trainables.water_mae.model.autoencoder import Batch, Predictions

PAIRS = tuple(combinations(MODALITIES, 2))
"""Pairs of modalities that the contrastive loss aligns."""


def reconstruction(
    predictions: Predictions, batch: Batch, *, norm_target: bool
) -> dict[str, Float[Tensor, " batch"]]:
    """Computes for each modality the mean squared error of each sample in fp32; 0 if the modality is absent.

    Hidden land cells and catchments count; sea, padding and missing values do not.

    Args:
        predictions: Values of the hidden patches.
        batch: Training batch.
        norm_target: Whether to use `patch_normalised_mse`.
    """
    error = patch_normalised_mse if norm_target else masked_mse
    return {
        name: error(predictions[name], *protocol.observed_values(batch, name)) * protocol.present(batch, name)
        for name in MODALITIES
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
        present: Which modalities each window has, in the order of `MODALITIES`; others are not contrasted.
        temperature: Divides the cosines.
    """
    total = torch.zeros((), device=present.device)
    for first, second in PAIRS:
        both = _both(present, first, second)
        total = total + info_nce(summaries[first] / temperature, summaries[second], counted=both)
    return total


def num_contrasted(present: Bool[Tensor, "batch modality"]) -> Int[Tensor, ""]:
    """Counts the pairs of modalities that are both present, summed over windows."""
    return torch.stack([_both(present, *pair).sum() for pair in PAIRS]).sum()


def _both(present: Bool[Tensor, "batch modality"], first: str, second: str) -> Bool[Tensor, " batch"]:
    return present[:, MODALITIES.index(first)] & present[:, MODALITIES.index(second)]


class Reconstruction(Loss):
    """The mean squared error of hidden values, one part for each modality.

    Args:
        knobs: Form of the loss.
        weights: Weight of each modality.
    """

    def __init__(self, knobs: LossKnobs, weights: Mapping[str, float]) -> None:
        self._knobs = knobs
        self._weights = weights

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the error over samples."""
        errors = reconstruction(model(batch), batch, norm_target=self._knobs.norm_target)
        return {name: error.sum() for name, error in errors.items()}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts, for each modality, the samples in which it is reconstructed."""
        return {name: float(protocol.reconstructed(batch, name).sum()) for name in MODALITIES}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weights, the same throughout a stage."""
        return self._weights


class ContrastiveReconstruction(JointLoss):
    """`Reconstruction` plus the contrastive loss between the modalities of a window.

    Args:
        knobs: Form of both losses, weight and temperature of the contrastive one.
        weights: Weight of each modality.
    """

    def __init__(self, knobs: LossKnobs, weights: Mapping[str, float]) -> None:
        self._knobs = knobs
        self._weights = weights

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Computes each sample's errors and summaries by modality; masks of those that exist are companions."""
        predictions, summaries = model(batch, summaries=True)
        errors = reconstruction(predictions, batch, norm_target=self._knobs.norm_target)
        return Rows(
            embeddings=errors | {f"summary/{name}": summary for name, summary in summaries.items()},
            companions={
                "present": torch.stack([protocol.present(batch, name) > 0 for name in MODALITIES], dim=1),
                "reconstructed": torch.stack(
                    [protocol.reconstructed(batch, name) > 0 for name in MODALITIES], dim=1
                ),
            },
        )

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Sums the errors of a global batch and computes its contrastive loss."""
        present, reconstructed = rows.companions["present"], rows.companions["reconstructed"]
        summaries = {name: rows.embeddings[f"summary/{name}"] for name in MODALITIES}
        agreement = contrastive(summaries, present, self._knobs.contrastive_temperature)
        counts = dict(zip(MODALITIES, reconstructed.sum(0), strict=True))
        return Joined(
            sums={name: rows.embeddings[name].sum() for name in MODALITIES} | {"contrastive": agreement},
            counts={**counts, "contrastive": num_contrasted(present)},
        )

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weights, the same throughout a stage."""
        return {**self._weights, "contrastive": self._knobs.contrastive_weight}
