"""Synchronised batch norm on a CPU: `torch.nn.SyncBatchNorm` itself refuses CPU tensors.

A model with such layers thus trains on every machine. Two workers compute what one worker would with both of their
micro-batches as one. As on a GPU, every worker must reach each of these layers in every pass.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def fit(model: nn.Module) -> None:
    """Lets the synchronised batch norms of a model train on a CPU too; in place."""
    for module in model.modules():
        if isinstance(module, nn.SyncBatchNorm):
            vars(module)["forward"] = partial(_forward, module, module.forward)


def _forward(module: nn.SyncBatchNorm, native: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Normalises (batch, feature, ...) by all workers' samples while training on a CPU; else as torch does."""
    if not module.training or x.device.type != "cpu":
        return native(x)
    group = module.process_group or dist.group.WORLD
    if dist.get_world_size(group) == 1:
        return nn.modules.batchnorm._BatchNorm.forward(module, x)
    axes = [0, *range(2, x.dim())]
    count = _Sum.apply(group, torch.tensor(float(x.numel() // x.shape[1])))
    mean = _Sum.apply(group, x.sum(axes)) / count
    centred = x - _like(mean, x)
    variance = _Sum.apply(group, centred.square().sum(axes)) / count
    _track(module, mean.detach(), variance.detach() * count / (count - 1))
    result = centred * _like((variance + module.eps).rsqrt(), x)
    weight, bias = (module._parameters[name] for name in ("weight", "bias"))
    if weight is not None:
        result = result * _like(weight, x)
    return result if bias is None else result + _like(bias, x)


def _like(values: Tensor, x: Tensor) -> Tensor:
    """Returns (feature,) in a shape that spreads over (batch, feature, ...)."""
    return values.view(-1, *[1] * (x.dim() - 2))


def _track(module: nn.SyncBatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Moves the running statistics towards those of a batch, whose variance is the unbiased one."""
    if not module.track_running_stats:
        return
    assert module.running_mean is not None and module.running_var is not None
    assert module.num_batches_tracked is not None
    module.num_batches_tracked.add_(1)
    share = 1 / float(module.num_batches_tracked) if module.momentum is None else module.momentum
    module.running_mean.lerp_(mean, share)
    module.running_var.lerp_(variance, share)


class _Sum(torch.autograd.Function):
    """A sum over workers; the gradient for each worker's part is the sum of all workers' gradients."""

    @staticmethod
    def forward(ctx: Any, group: dist.ProcessGroup, values: Tensor) -> Tensor:
        """Returns the sum."""
        ctx.group = group
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[None, Tensor]:
        """Returns the sum of the workers' gradients."""
        total = slope.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.group)
        return None, total
