"""Mixed precision: statistics, normalisations, gradient sums and master weights of a 16-bit model stay in fp32.

DeepSpeed casts parameters and nothing else, which is not enough for three reasons. A buffer in fp32 turns activations
into fp32, which the next layer refuses. A batch norm would have statistics of another type than its weights. And
torch's CPU kernels add the gradients of a normalisation's or an embedding's weights over samples in the type of its
input; in bf16 such a sum stops growing after 256 equal addends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from thalweg.config import Precision
from thalweg.nn.data_statistics import Statistics

if TYPE_CHECKING:
    from deepspeed.runtime.engine import DeepSpeedEngine

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_NAMES = "names"
_SUMMING = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm, nn.Embedding)
"""Layers that average within a pass, or whose weights get their gradients as sums outside a matrix product."""


def fit(model: nn.Module, precision: Precision) -> None:
    """Prepares a model in fp32 for the cast of its parameters, in place; to be called once per model.

    Buffers in fp32 are cast too, except those of normalisations and of `Statistics`; buffers of fp64 and of integers
    stay as they are. Normalisations and embeddings compute in fp32 and return the type of their input. For ``fp32``
    nothing changes.
    """
    if precision == "fp32":
        return
    dtype = DTYPES[precision]
    for module in model.modules():
        if isinstance(module, _SUMMING):
            vars(module)["forward"] = _in_fp32(module, module.forward, dtype)
    for buffer in rounded_buffers(model):
        buffer.data = buffer.data.to(dtype)


def rounded_buffers(model: nn.Module) -> Iterator[Tensor]:
    """Yields the buffers of a model in fp32 that half precision casts."""
    for module in model.modules():
        if not isinstance(module, _NormBase | Statistics):
            yield from (each for each in module.buffers(recurse=False) if each.dtype == torch.float32)


def widened(values: Tensor) -> Tensor:
    """Returns numbers in half precision in fp32, and all others as they are: fp32 holds no integer beyond 2**24."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def _in_fp32(module: nn.Module, forward: Callable[..., Tensor], dtype: torch.dtype) -> Callable[..., Tensor]:
    """Returns a layer's forward pass, computed with fp32 copies of input and parameters."""

    @wraps(forward)
    def compute(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        own = module.__dict__["_parameters"]  # under ZeRO 3 a dictionary of DeepSpeed's, which must come back
        wide = {name: None if weight is None else weight.float() for name, weight in own.items()}
        module.__dict__["_parameters"] = wide
        try:
            result = forward(x.float() if x.is_floating_point() else x, *args, **kwargs)
        finally:
            module.__dict__["_parameters"] = own
        return result.to(x.dtype if x.is_floating_point() else dtype)

    return compute


def is_unsharded(engine: DeepSpeedEngine) -> bool:
    """Whether an engine trains in half precision at ZeRO 0, at which DeepSpeed leaves work to its caller."""
    from deepspeed.runtime.fp16.unfused_optimizer import FP16_UnfusedOptimizer

    return isinstance(getattr(engine, "optimizer", None), FP16_UnfusedOptimizer)


def take_one_optimizer() -> None:
    """Makes ZeRO 1 in bf16 with sums in fp32 use the same optimizer class as other stages and precisions.

    DeepSpeed would use one whose checkpoints its own tools cannot turn into weights. To be called once per process.
    """
    from deepspeed.runtime import engine as deepspeed_engine

    kind, choose = (
        deepspeed_engine.DeepSpeedEngine,
        deepspeed_engine.DeepSpeedEngine._do_optimizer_sanity_check,
    )

    @wraps(choose)
    def chosen(engine: DeepSpeedEngine, optimizer: Any) -> Any:
        found = choose(engine, optimizer)
        sharded = engine.zero_optimization() and found == deepspeed_engine.BFLOAT16
        return deepspeed_engine.ZERO_OPTIMIZATION if sharded else found

    kind._do_optimizer_sanity_check = chosen


def settle(engine: DeepSpeedEngine) -> None:
    """Makes a fresh engine at ZeRO 0 in half precision train as those at the other stages do.

    To allocate the optimizer's state, DeepSpeed takes a step with gradients of zero, which decays the master weights
    and is counted; this step is undone. DeepSpeed also accumulates gradients in the parameters' type, because it
    refuses ``grad_accum_dtype`` at this stage; here they are accumulated in fp32. That goes for a weight with several
    uses in a pass, such as in each step of a roll-out, too: other stages add these up in half precision, so that their
    gradient is off by about one rounding of all its numbers, 2e-3 in bf16.
    """
    if not is_unsharded(engine):
        return
    engine.optimizer.refresh_fp32_params()
    engine.optimizer.state.clear()
    _accumulate_in_fp32(engine)
    names = {parameter: name for name, parameter in engine.module.named_parameters()}
    state_dict = engine.optimizer.state_dict
    groups = [[names[parameter] for parameter in group] for group in engine.optimizer.fp16_groups]
    engine.optimizer.state_dict = lambda: state_dict() | {_NAMES: groups}


def _accumulate_in_fp32(engine: DeepSpeedEngine) -> None:
    trained = [parameter for group in engine.optimizer.fp16_groups for parameter in group]
    for parameter in trained:
        parameter.grad_dtype = torch.float32
    found = engine._get_gradients_for_reduction

    def all_found() -> Any:
        # DeepSpeed would give a parameter without a gradient zeros in half precision, which torch refuses here.
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter, dtype=torch.float32)
        return found()

    engine._get_gradients_for_reduction = all_found


def loss_scale(engine: DeepSpeedEngine) -> float:
    """Returns the factor for a loss before its backward pass; at ZeRO 0 in fp16 DeepSpeed only divides by it."""
    return float(engine.optimizer.loss_scale) if is_unsharded(engine) else 1.0


def masters(engine: DeepSpeedEngine) -> dict[nn.Parameter, Tensor]:
    """Returns the fp32 master weights of each parameter at ZeRO 0 in half precision; empty for other engines."""
    if not is_unsharded(engine):
        return {}
    optimizer = engine.optimizer
    groups = zip(optimizer.fp16_groups, optimizer.fp32_groups, strict=True)
    return {half: full for pair in groups for half, full in zip(*pair, strict=True)}


def saved_masters(states: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the fp32 master weights by name from a file of DeepSpeed's, written by an engine that `settle` changed.

    Args:
        states: Content of DeepSpeed's file with the model; for any other engine the result is empty.
    """
    optimizer = states.get("optimizer") or {}
    groups = zip(optimizer.get(_NAMES, ()), optimizer.get("fp32_groups", ()), strict=False)
    return {name: full.detach() for pair in groups for name, full in zip(*pair, strict=True)}
