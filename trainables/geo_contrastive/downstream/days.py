"""Whole days for heads on latents: in training batches under the names that evaluation gives them."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.contract import Batch, Indices, Keys
from trainables.geo_contrastive.data import sampling
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.knobs import ViewKnobs

Latents = Float[Tensor, "batch latent"]


def whole_days(data: FieldData, indices: Indices) -> Batch:
    """Returns ``clean/V``, ``day``, ``season`` and ``year`` of training days."""
    positions = data.days["train"].start + indices
    batch = {name: torch.from_numpy(getattr(data, name)[positions]) for name in ("day", "season", "year")}
    for name, fields in data.fields.items():
        batch[f"clean/{name}"] = torch.from_numpy(fields[positions])
    return batch


def masked_days(data: FieldData, indices: Indices, keys: Keys, share: float) -> Batch:
    """Returns ``masked/V`` of training days: each cell of each variable is hidden with a probability, as in evaluation.

    Args:
        data: Opened data.
        indices: Training days.
        keys: One key per day.
        share: The probability.
    """
    views = ViewKnobs(mask_low=share, mask_high=share, mode_drop=0.0, crop=1.0, smooth=1)
    batch = sampling.training_batch(data, views, None, np.asarray(indices), keys)
    return {f"masked/{name}": batch[f"view/{name}"][:, 0] for name in data.variables}


@torch.no_grad()
def latents_of(model: HeadedModel, batch: Batch, what: str) -> Latents:
    """Returns the latents of fields by a frozen encoder.

    Args:
        model: The model.
        batch: ``what/V`` (batch, lon, lat) of every variable.
        what: Prefix of their names.
    """
    return model.encode({name: batch[f"{what}/{name}"] for name in model.geometry.variables})
