"""Normalisations of feature maps and vectors by name, one factory for all families.

To add one, write a line in `NORMS`: the tests run over the dictionary.
"""

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor, nn


class BatchNorm(nn.SyncBatchNorm):
    """Batch norm (arXiv:1502.03167) over (batch, feature, ...) whose statistics are those of all workers.

    One worker, or a model that no engine trains, has a plain batch norm, on a CPU as on a GPU; torch's own class would
    refuse a tensor on a CPU. Evaluation uses the running statistics. In a batch that is cut into micro-batches the
    statistics are those of a micro-batch.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalises; on a CPU with several workers `thalweg.training.engine.sync_batch_norm` takes its place."""
        if x.device.type == "cpu":
            return nn.modules.batchnorm._BatchNorm.forward(self, x)
        return super().forward(x)


def norm(name: str, dim: int) -> nn.Module:
    """Returns a normalisation of (batch, dim, ...) with a scale and a shift for each feature.

    Args:
        name: One of `NORMS`. ``batch`` is `BatchNorm`. The others are group normalisations (arXiv:1803.08494),
            which look at one sample alone: ``instance`` has a group for each feature, ``layer`` one for all.
            Of ``group8``, ``group16`` and ``group32`` the number of groups is the largest divisor of dim that is at
            most the number in the name: 8 groups of 12 features are 6. ``none`` leaves values as they are.
        dim: Number of features.

    Raises:
        KeyError: There is no such normalisation.
    """
    return NORMS[name](dim)


def _group_norm(max_groups: int, dim: int) -> nn.GroupNorm:
    groups = next(groups for groups in range(min(max_groups, dim), 0, -1) if dim % groups == 0)
    return nn.GroupNorm(groups, dim)


def _instance_norm(dim: int) -> nn.GroupNorm:
    return nn.GroupNorm(dim, dim)


def _layer_norm(dim: int) -> nn.GroupNorm:
    return nn.GroupNorm(1, dim)


def _none(dim: int) -> nn.Identity:
    return nn.Identity()


NORMS: Mapping[str, Callable[[int], nn.Module]] = {
    "batch": BatchNorm,
    "instance": _instance_norm,
    "group8": partial(_group_norm, 8),
    "group16": partial(_group_norm, 16),
    "group32": partial(_group_norm, 32),
    "layer": _layer_norm,
    "none": _none,
}
