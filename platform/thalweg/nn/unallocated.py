"""Models without numbers, for those who count their parameters or ask whether they can be built."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_METHODS = "bernoulli_ cauchy_ exponential_ geometric_ log_normal_ normal_ random_ uniform_"
_DRAWS: frozenset[Any] = frozenset(
    [getattr(torch.Tensor, name) for name in _METHODS.split()]
    # These ask modes themselves, before they call a method.
    + [nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_]
)


@contextmanager
def unallocated() -> Iterator[None]:
    """Lets modules be made on torch's meta device, where they take no memory, and leaves out what draws their weights.

    Torch composes some draws of that device of others, ``normal_`` among them, and imports its compiler for that, which
    takes seconds.
    """
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Returns a tensor of the meta device as it is where numbers would be drawn into it."""
        given = kwargs or {}
        if func in _DRAWS:
            tensor: torch.Tensor = args[0] if args else given["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **given)
