"""Random masks that depend only on a sample's key.

Each (key, group, step, patch) has a score from a counter-based hash; the patches with the lowest scores of a
step are masked. So a sample has the same masks in any batch, order, process or loader, and all masks of a
configuration have the same number of patches.
"""

import numpy as np
import numpy.typing as npt
from jaxtyping import Int, Shaped
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.hashing import splitmix64


def num_masked(num_patches: int, mask_ratio: float) -> int:
    """Returns how many patches are masked: the share rounded down, but at least 1, and at least one stays visible.

    Raises:
        ConfigError: There are fewer than two patches, so that nothing could be both seen and reconstructed.
    """
    if num_patches < 2:
        raise ConfigError(
            f"masking needs at least 2 patches, got {num_patches}; choose smaller patches or more data"
        )
    # The small number keeps 0.29 * 100 = 28.999... from losing a patch.
    return min(max(int(num_patches * mask_ratio + 1e-9), 1), num_patches - 1)


def random_masks(
    keys: npt.NDArray[np.uint64],
    *,
    shape: tuple[int, int, int],
    num_masked: int,
    num_decoded: int | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draws which patches stay visible and which are masked.

    Args:
        keys: One key per sample, shape (batch,).
        shape: Number of groups, steps and patches; each group and step has a mask of its own.
        num_masked: Patches masked in every step.
        num_decoded: How many of these are returned, drawn among them at random; None returns all.

    Returns:
        Indices of visible patches (batch, group, step, visible) and of masked ones (batch, group, step,
        masked), each in ascending order.
    """
    order = random_orders(keys, shape)
    decoded = num_masked if num_decoded is None else min(num_decoded, num_masked)
    return np.sort(order[..., num_masked:], axis=-1), np.sort(order[..., :decoded], axis=-1)


def random_orders(keys: npt.NDArray[np.uint64], shape: tuple[int, int, int]) -> npt.NDArray[np.int64]:
    """Draws the order in which the patches of each step are masked: masks of any ratio are beginnings of it.

    Args:
        keys: One key per sample, shape (batch,).
        shape: Number of groups, steps and patches; each group and step has an order of its own.

    Returns:
        Indices of patches (batch, group, step, patch).
    """
    scores = keys.reshape(-1, 1, 1, 1)
    for axis, size in enumerate(shape):
        counter = np.arange(1, size + 1, dtype=np.uint64)
        scores = splitmix64(scores) ^ counter.reshape((-1, *(1 for _ in shape[axis + 1 :])))
    return np.argsort(splitmix64(scores), axis=-1, kind="stable").astype(np.int64)


def take_patches(
    values: Shaped[Tensor, "batch step patch feature"], indices: Int[Tensor, "batch step taken"]
) -> Shaped[Tensor, "batch step taken feature"]:
    """Gathers the patches of each step by their indices."""
    return values.gather(2, indices[..., None].expand(-1, -1, -1, values.shape[-1]))
