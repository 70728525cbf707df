"""The fixed evaluation protocol: windows, the patches that are hidden in them, and the values that count.

Every window is evaluated with half of the patches hidden; about every fourth one (all of them in a short split) also at
other ratios, whose masks are nested in one another: a patch that is hidden at .3 is hidden at .5 too. Filled
values never count; they come from their own patch and day and are hidden with them.

River flow, as any series with the transform log, is predicted as a logarithm. The factors that correct it to means in
mm/day come from windows of the training split, one for each window at the other ratios, with patches hidden in the same
way; see `metrics.mean_factor`.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from thalweg.contract import Indices
from thalweg.nn.masking import take_patches
from trainables.water_mae.config import MaskingKnobs
from trainables.water_mae.evaluation import metrics
from trainables.water_mae.knobs import PUBLISHED_SET, Place
from trainables.water_mae.model.batch import Batch, Predictions

MASKING = MaskingKnobs(image_mask_ratio=0.5, vector_mask_ratio=0.5, mask_mode="unified")
MASK_SEED = 20_240
OTHER_RATIOS = (0.3, 0.6, 0.75)
OF_TRAINING = "_of_training"
"""Suffix of the names under which a batch holds windows of the training split."""
TRAINING = "of_training"
"""Prefix of the names of predictions for such windows."""

SCALE = "_scale"
"""Suffix of the names under which a batch holds the mean and the standard deviation of a series, (batch, 2)."""

_MAX_APART = 4  # windows between two that are evaluated at the other ratios
_MIN_WINDOWS = 16  # of them, where the split has so many


def suffix(ratio: float) -> str:
    """Returns the suffix of a ratio in the names of metrics and batches: ``at_30``."""
    return f"at_{round(100 * ratio)}"


def masking_at(ratio: float) -> MaskingKnobs:
    """Returns the masking of one of the other ratios."""
    return MaskingKnobs(image_mask_ratio=ratio, vector_mask_ratio=ratio, mask_mode="unified")


def at_other_ratios(indices: Indices, num_windows: int) -> Bool[np.ndarray, " batch"]:
    """Returns a mask of the windows of a split that are evaluated at the other ratios too.

    Args:
        indices: Numbers of windows in the split.
        num_windows: Windows of the split.
    """
    apart = min(_MAX_APART, max(1, num_windows // _MIN_WINDOWS))
    chosen: Bool[np.ndarray, " batch"] = indices % apart == 0
    return chosen


def protocol(modalities: Collection[str]) -> dict[str, Any]:
    """Returns what the metrics depend on besides weights and data; `modalities` are those of the mean skill."""
    return {
        "modalities": list(modalities),
        "masking": MASKING.model_dump(),
        "mask_seed": MASK_SEED,
        "other_ratios": list(OTHER_RATIOS),
        "other_windows": [_MAX_APART, _MIN_WINDOWS],
        "most_flow": metrics.largest(PUBLISHED_SET["river_flow"]),
        "counted": "observed",
        "mean_flow": ["ratio over train", metrics.POOLED_DAYS],
    }


def hidden_values(batch: Batch, modality: Place) -> tuple[Tensor, Tensor]:
    """Returns the hidden values, in fp32, and a mask of those that count, both (batch, step, masked, value).

    Cells in the sea and padded catchments do not count.
    """
    kind, index = modality
    values = batch[f"{kind}s"][:, index]
    masked = batch[f"{kind}_masked"][:, index]
    valid = batch[f"{kind}_valid"][:, None].expand(values.shape)
    return take_patches(values, masked).float(), take_patches(valid, masked)


def observed_values(batch: Batch, modality: Place) -> tuple[Tensor, Tensor]:
    """Returns `hidden_values`, but filled values do not count; a batch without gaps needs no masks of them."""
    target, valid = hidden_values(batch, modality)
    kind, index = modality
    observed = batch.get(f"{kind}_observed")
    if observed is None:
        return target, valid
    return target, valid & take_patches(observed[:, index], batch[f"{kind}_masked"][:, index])


def present(batch: Batch, modality: Place) -> Tensor:
    """Returns 1 for samples that have a modality, else 0, (batch,)."""
    kind, index = modality
    if f"{kind}_present" in batch:
        return batch[f"{kind}_present"][:, index]
    return batch["vector_present"].new_ones(len(batch["vector_present"]))


def reconstructed(batch: Batch, modality: Place) -> Tensor:
    """Returns 1 for samples that have a modality with hidden values that are data, else 0, (batch,)."""
    carried = present(batch, modality)
    if f"{modality.kind}_observed" not in batch:
        return carried
    _, counts = observed_values(batch, modality)
    return carried * counts.flatten(1).any(1)


def predict(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Predicts hidden values: at the reference ratio, in windows of the training split, and at the other ratios.

    Returns:
        Predictions by modality; those of training windows and other ratios under ``of_training/`` and ``at_30/``.
    """
    training, _ = training_part(batch)
    found = dict(model(batch)) | _prefixed(TRAINING, model(training))
    for ratio in OTHER_RATIOS:
        part, _ = at_ratio(batch, ratio)
        found |= _prefixed(suffix(ratio), model(part))
    return found


def _prefixed(prefix: str, predictions: Predictions) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": value for name, value in predictions.items()}


def everything(batch: Batch) -> Bool[Tensor, " batch"]:
    """Returns a mask in which every window counts."""
    return torch.ones_like(batch["at_other_ratios"])


def training_part(batch: Batch) -> tuple[Batch, Bool[Tensor, " batch"]]:
    """Returns the windows of the training split in a batch, and a mask of those that count."""
    rows, counted = _chosen(batch)
    windows = {
        name.removesuffix(OF_TRAINING): value[rows]
        for name, value in batch.items()
        if name.endswith(OF_TRAINING)
    }
    scales = {name: value[rows] for name, value in batch.items() if name.endswith(SCALE)}
    return windows | scales, counted


def at_ratio(batch: Batch, ratio: float) -> tuple[Batch, Bool[Tensor, " batch"]]:
    """Returns the windows that are evaluated at a ratio, with its masks, and a mask of those that count."""
    rows, counted = _chosen(batch)
    ending = f"_{suffix(ratio)}"
    masks = {name.removesuffix(ending): value for name, value in batch.items() if name.endswith(ending)}
    own = {name: value for name, value in batch.items() if not name.endswith(OF_TRAINING)}
    return {name: value[rows] for name, value in (own | masks).items()}, counted


def _chosen(batch: Batch) -> tuple[Int[Tensor, " chosen"], Bool[Tensor, " chosen"]]:
    """Returns the indices of the windows that are evaluated at the other ratios, and whether they count.

    There is always at least one window, because ranks that share sharded weights must call the model equally often.
    """
    chosen = batch["at_other_ratios"]
    rows = chosen.nonzero()[:, 0] if chosen.any() else torch.zeros_like(chosen[:1], dtype=torch.int64)
    return rows, chosen[rows]
