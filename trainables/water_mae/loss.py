"""The loss of training: reconstruction of each sample, and agreement of the modalities of a window."""

from collections.abc import Mapping
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.nn.contrastive.info_nce import info_nce
from thalweg.nn.losses import masked_mse, patch_normalised_mse
from trainables.water_mae import evaluation
from trainables.water_mae.config import MODALITIES
from trainables.water_mae.model import Batch, Predictions, Summaries

PAIRS = tuple(combinations(MODALITIES, 2))
"""Each two modalities whose summaries should agree."""


def reconstruction(
    predictions: Predictions, batch: Batch, *, norm_target: bool
) -> dict[str, Float[Tensor, " batch"]]:
    """Computes for each modality the mean squared error of each sample in fp32, 0 where it is absent.

    Hidden land cells and catchments count; sea, padding and what is no data do not.

    Args:
        predictions: Values of the hidden patches.
        batch: Training batch.
        norm_target: Whether the pattern of a patch counts in units of its own spread.
    """
    error = patch_normalised_mse if norm_target else masked_mse
    return {
        name: error(predictions[name], *evaluation.observed_values(batch, name))
        * evaluation.present(batch, name)
        for name in MODALITIES
    }


def of_present(summaries: Summaries, batch: Batch) -> Summaries:
    """Sets the summaries of absent modalities to zero, which no other is: all others have length 1."""
    return {name: summary * evaluation.present(batch, name)[:, None] for name, summary in summaries.items()}


def contrastive(summaries: Mapping[str, Tensor], temperature: float) -> Float[Tensor, ""]:
    """Computes the contrastive loss (Eq. 6 of arXiv:2210.07839), summed over pairs of modalities and their windows.

    Of each pair the summary of a window should be nearest to that of the same window, in both directions. CAV-MAE
    sends each modality through the shared layers once more, alone, to summarise it; here the summaries are taken
    before these layers, which spares the second pass and leaves no modality in the summary of another.

    Args:
        summaries: What `of_present` returns, for all windows of a global batch.
        temperature: Divides the cosines.
    """
    total = torch.zeros((), device=next(iter(summaries.values())).device)
    present = {name: summary.detach().any(1) for name, summary in summaries.items()}
    for first, second in PAIRS:
        both = present[first] & present[second]
        total = total + info_nce(summaries[first] / temperature, summaries[second], counted=both)
    return total


def num_contrasted(batch: Batch) -> float:
    """Counts the pairs of modalities that are both present, over the windows of a batch."""
    shares = [evaluation.present(batch, first) * evaluation.present(batch, second) for first, second in PAIRS]
    return float(torch.stack(shares).sum())
