"""Torch's optimizers without torch's compiler, which they would import at their first step and nothing here uses.

That import takes a second and a hundred mebibytes in each worker. An optimizer asks the compiler for two things, both
of which do nothing unless the optimizer's step itself is compiled: to leave methods alone, and to break a graph.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch.optim import SGD, Adam, Optimizer

_KEPT = "__dynamo_disable"
"""Attribute of a function in which torch keeps the form that its compiler leaves alone."""


def leave_compiler_out() -> None:
    """Lets Adam, AdamW and SGD be made and take steps without ``torch._dynamo``; to be called once per process."""
    for method in (
        Optimizer.add_param_group,
        Optimizer.state_dict,
        Optimizer.load_state_dict,
        Optimizer.zero_grad,
    ):
        plain = getattr(method, "__wrapped__", None)
        if plain is not None and not hasattr(plain, _KEPT):
            setattr(plain, _KEPT, plain)
    for kind in (Adam, SGD):
        kind.step = _eager(kind.step)  # type: ignore[method-assign]


def _eager(step: Callable[..., Any]) -> Callable[..., Any]:
    """Returns an optimizer's step with gradients on only if it is differentiable, as torch's own decorator has it."""
    plain = getattr(step, "__wrapped__", None)
    if plain is None or getattr(step, "hooked", False):  # another torch, or an optimizer that was made before
        return step

    @wraps(plain)
    def eager(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return plain(self, *args, **kwargs)

    return eager
