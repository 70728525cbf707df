"""Masks of windows: which patches are visible, and which of the hidden ones are to be predicted.

A mask ratio may change during training. A batch is sampled before it is known at which step it is trained, so it then
holds the order in which patches are hidden, and the loss, which knows the step, cuts it.
"""

import numpy as np
import torch
from torch import Tensor

from thalweg.contract import Keys
from thalweg.hashing import splitmix64
from thalweg.knobs.scheduled import Schedule, Scheduled, value_at
from thalweg.nn.masking import num_masked, random_masks, random_orders
from trainables.water_mae.config import MaskingKnobs
from trainables.water_mae.model.batch import Batch

_STREAMS = {"image": np.uint64(0xA3B195354A39B70D), "vector": np.uint64(0x1B03738712FAD5C9)}


def masks(windows: Batch, keys: Keys, masking: MaskingKnobs) -> Batch:
    """Samples the masks of each kind, or the order of its patches if its mask ratio changes.

    A kind without modalities has no patches.

    Args:
        windows: Values of the windows.
        keys: One key per window.
        masking: Ratios, and whether modalities of a kind share a mask.

    Returns:
        For both kinds indices of visible patches ``*_keep`` and of hidden ones to predict ``*_masked``, (batch,
        modality, step, number) in ascending order. If the ratio changes, indices of all patches in the order in which
        they are hidden instead: ``*_order`` (batch, mask, step, patch), of one mask for all modalities or one for each.
    """
    found: Batch = {}
    for kind, stream in _STREAMS.items():
        _, num_modalities, num_steps, num_patches, _ = windows[f"{kind}s"].shape
        if not num_modalities:
            continue
        num_groups = num_modalities if masking.mask_mode == "independent" else 1
        shape, own_keys = (num_groups, num_steps, num_patches), splitmix64(keys ^ stream)
        ratio, kept = _ratios(masking)[kind]
        if isinstance(ratio, Schedule):
            found[f"{kind}_order"] = torch.from_numpy(random_orders(own_keys, shape))
            continue
        keep, masked = random_masks(
            own_keys,
            shape=shape,
            num_masked=num_masked(num_patches, ratio),
            num_decoded=None if kept is None else num_masked(num_patches, kept),
        )
        for name, patches in (("keep", keep), ("masked", masked)):
            shared = torch.from_numpy(patches).expand(-1, num_modalities, -1, -1)
            found[f"{kind}_{name}"] = shared.contiguous()
    return found


def at_step(batch: Batch, masking: MaskingKnobs, done: float) -> Batch:
    """Returns a batch with the masks of a step; a batch that holds masks stays as it is.

    Args:
        batch: A batch of training.
        masking: Mask ratios.
        done: Share of the stage that is done.
    """
    found = dict(batch)
    for kind, (ratio, kept) in _ratios(masking).items():
        if (order := found.pop(f"{kind}_order", None)) is not None:
            num_modalities = batch[f"{kind}s"].shape[1]
            found |= _cut(kind, order, num_modalities, value_at(ratio, done), kept)
    return found


def _ratios(masking: MaskingKnobs) -> dict[str, tuple[Scheduled, float | None]]:
    return {
        "image": (masking.image_mask_ratio, masking.image_kept_mask_ratio),
        "vector": (masking.vector_mask_ratio, masking.vector_kept_mask_ratio),
    }


def _cut(kind: str, order: Tensor, num_modalities: int, ratio: float, kept_ratio: float | None) -> Batch:
    """Returns the masks of a ratio; see `thalweg.nn.masking.random_masks`."""
    num_patches = order.shape[-1]
    hidden = num_masked(num_patches, ratio)
    decoded = hidden if kept_ratio is None else min(num_masked(num_patches, kept_ratio), hidden)
    parts = {"keep": order[..., hidden:], "masked": order[..., :decoded]}
    return {
        f"{kind}_{name}": part.sort(-1).values.expand(-1, num_modalities, -1, -1).contiguous()
        for name, part in parts.items()
    }
