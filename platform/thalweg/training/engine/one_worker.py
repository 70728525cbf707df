"""ZeRO 1 and 2 on one worker, where nothing is sharded: a step handles each parameter group as one flat tensor.

DeepSpeed keeps weights and master weights of a group flat. Its gradients it reduces, checks and measures one parameter
at a time, which in a small model takes longer than the backward pass. Here the gradients of a group are joined once,
after which all is done to the whole. Weights, norms and checkpoints are bit for bit those of DeepSpeed's own way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from thalweg.training.engine.quiet_deepspeed import deepspeed

if TYPE_CHECKING:
    from deepspeed.runtime.engine import DeepSpeedEngine

_Optimizer: Any = deepspeed.runtime.zero.stage_1_and_2.DeepSpeedZeroOptimizer

_PIECE = 2**20
"""Numbers that are widened at once to measure a norm."""


def settle(engine: DeepSpeedEngine) -> None:
    """Lets a fresh engine at ZeRO 1 or 2 step group by group if there is one worker; leaves all others as they are."""
    optimizer = engine.optimizer
    if type(optimizer) is not _Optimizer or _num_workers(optimizer) > 1:
        return
    for hook in optimizer._grad_acc_hooks:  # they would add up gradients one by one
        hook.remove()
    optimizer._grad_acc_hooks.clear()
    optimizer.__class__ = OneWorkerOptimizer


def _num_workers(optimizer: Any) -> int:
    return dist.get_world_size(optimizer.dp_process_group)


@dataclass(frozen=True)
class FlatGradient:
    """The gradient of a parameter group, in the form in which DeepSpeed takes one that is flat already.

    Attributes:
        flat_partition: All numbers in the order of the master weights, padded with zeros.
        norm: Their L2 norm in fp64; not finite if one of them is not.
    """

    flat_partition: Tensor
    norm: Tensor


class OneWorkerOptimizer(_Optimizer):  # type: ignore[misc]
    """DeepSpeed's optimizer at ZeRO 1 and 2 with flat gradients; its own step uses them."""

    def reduce_gradients(self, pipeline_parallel: bool = False) -> None:
        """Joins the gradients of a global batch; DeepSpeed calls it after the last backward pass, at stage 1."""
        for number in range(len(self.bit16_groups)):
            self._accumulate(number)
            flat = self.averaged_gradients[number]
            self.averaged_gradients[number] = FlatGradient(flat, _norm(flat))

    def overlapping_partition_gradients_reduce_epilogue(self) -> None:
        """Adds the gradients of a micro-batch; DeepSpeed calls it after each backward pass, at stage 2."""
        if self.is_gradient_accumulation_boundary():
            self.reduce_gradients()

    def backward_epilogue(self, *args: Any, **kwargs: Any) -> None:
        """Adds the gradients of a micro-batch in half precision in fp32; those in fp32 torch adds."""
        if not self.is_gradient_accumulation_boundary() and self.use_separate_grad_accum:
            for number in range(len(self.bit16_groups)):
                self._accumulate(number)

    def _accumulate(self, number: int) -> None:
        """Adds the gradients of a group's parameters to its flat gradient, and frees them; none is a gradient of 0."""
        group = self.bit16_groups[number]
        gradients = [_gradient(parameter) for parameter in group]
        for parameter in group:
            parameter.grad = None
        alignment = len(self.bit16_groups_flat[number])
        flat = self.flatten_dense_tensors_aligned(gradients, alignment).to(self.gradient_accumulation_dtype)
        known = self.averaged_gradients.get(number)
        self.averaged_gradients[number] = flat if known is None else known.add_(flat)

    def has_overflow_partitioned_grads_serial(self) -> Tensor:
        """Returns whether a gradient is not finite, shape (1,)."""
        norms = torch.stack([gradient.norm for gradient in self.averaged_gradients.values()])
        return ~norms.isfinite().all()[None]

    def get_grad_norm_direct(self, gradients: FlatGradient, params: Any, norm_type: float = 2) -> Tensor:
        """Returns the norm of a group's gradient in fp32, -1 if it is not finite."""
        total = gradients.norm.square().float().sqrt()
        return torch.where(total.isfinite(), total, -1.0)

    def _update_model_bit16_weights(self, group_index: int) -> None:
        """Points the model's weights into the flat tensor of their group, unless they are there."""
        first, flat = self.bit16_groups[group_index][0], self.bit16_groups_flat[group_index]
        if first.data_ptr() != flat.data_ptr():
            super()._update_model_bit16_weights(group_index)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _norm(flat: Tensor) -> Tensor:
    """Returns the L2 norm as DeepSpeed measures it: in fp64, where the device has it."""
    dtype = deepspeed.runtime.zero.utils.get_norm_dtype()
    pieces = [torch.linalg.vector_norm(piece, dtype=dtype) for piece in torch.split(flat, _PIECE)]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(pieces))
    return norm
