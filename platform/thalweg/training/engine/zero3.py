"""ZeRO 3 of DeepSpeed, without what it keeps of every engine until the process ends."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from deepspeed.runtime.engine import DeepSpeedEngine

Find = Callable[[Any, Any, int], set[int]]


def forget_engines() -> None:
    """Lets engines at ZeRO 3 be freed and begin faster; to be called once per process.

    After each module of a pass DeepSpeed frees parameters that are not soon needed again. It remembers which ones in a
    cache of the class, which thereby holds each engine with its model and weights. And it looks through all of the pass
    that is left, module by module, even where nothing can be freed: small parameters (``ds_persist``) never are. Here
    each engine remembers for itself, and only looks where there is something to free.
    """
    from deepspeed.runtime.zero.partitioned_param_coordinator import (
        PartitionedParameterCoordinator,
        iter_params,
        z3_leaf_module,
    )

    name = f"_{PartitionedParameterCoordinator.__name__}__params_to_release"
    find = _uncached(getattr(PartitionedParameterCoordinator, name))

    def to_release(coordinator: Any, module: Any, step: int) -> set[int]:
        known = vars(coordinator).setdefault("_known_releases", {})
        if (module, step) not in known:
            own = iter_params(module, recurse=z3_leaf_module(module))
            can_free = any(not parameter.ds_persist for parameter in own)
            known[module, step] = find(coordinator, module, step) if can_free else set()
        return set(known[module, step])  # DeepSpeed adds to it

    setattr(PartitionedParameterCoordinator, name, to_release)


def forget(engine: DeepSpeedEngine) -> None:
    """Takes back what an engine, at any ZeRO stage, left in the process.

    DeepSpeed lays the outermost module of a forward pass on a stack for good; others stay there if the pass raises.
    At ZeRO 3 it replaces torch's linear layers by its own, which are slower and in half precision round once more, for
    all that runs later in the process: results would depend on the trials before.
    """
    from deepspeed.runtime.zero.linear import zero3_linear_wrap
    from deepspeed.runtime.zero.parameter_offload import FWD_MODULE_STACK
    from deepspeed.runtime.zero.partition_parameters import InsertPostInitMethodToModuleSubClasses as Patches

    gone = set(engine.module.modules())
    FWD_MODULE_STACK[:] = [module for module in FWD_MODULE_STACK if module not in gone]
    if torch.nn.functional.linear is zero3_linear_wrap:
        torch.nn.functional.linear = Patches.linear_bk


def _uncached(method: Any) -> Find:
    """Returns the function inside a method that DeepSpeed wraps in a cache, and that in marks for a profiler."""
    cached = inspect.getclosurevars(method).nonlocals.get("func")
    found: Find = getattr(cached, "__wrapped__", method)
    return found
