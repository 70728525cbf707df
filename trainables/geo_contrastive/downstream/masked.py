"""Masked training days as the evaluation hides cells, and their latents by the frozen encoder."""

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.contract import Batch, Indices, Keys
from trainables.geo_contrastive.data import sampling
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.knobs import ViewKnobs


def masked_days(data: FieldData, indices: Indices, keys: Keys, share: float) -> Batch:
    """Returns ``masked/V``: each cell of each variable is hidden with a probability, and nothing else is changed.

    Args:
        data: Opened data.
        indices: Training days.
        keys: One key per day.
        share: The probability.
    """
    views = ViewKnobs(mask_low=share, mask_high=share, mode_drop=0.0, crop=1.0, smooth=1)
    batch = sampling.training_batch(data, views, None, indices, keys)
    return {f"masked/{name}": batch[f"view/{name}"][:, 0] for name in data.variables}


@torch.no_grad()
def standardized_latents(model: HeadedModel, batch: Batch, what: str) -> Float[Tensor, "batch dim"]:
    """Returns the standardised latents of fields by the frozen encoder.

    Args:
        model: The model.
        batch: ``what/V`` (batch, lon, lat) of every variable.
        what: Prefix of their names.
    """
    latents = model.encode({name: batch[f"{what}/{name}"] for name in model.geometry.variables})
    standardized: Tensor = model.standardization(latents)
    return standardized
