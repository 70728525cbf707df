"""Counts the floating-point operations of what runs, with numbers or without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the floating-point operations of products, by the formulas of PyTorch's ``FlopCounterMode``.

    That one follows modules, too, and raises in a backward pass to weights that are inputs of a module.

    Attributes:
        num_operations: Operations of all that ran inside.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Imported here: it takes time, and brings Triton where there is a GPU.
        from torch.utils.flop_counter import flop_registry

        self._formulas = flop_registry
        self.num_operations = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs an operation, and counts it."""
        given = kwargs or {}
        found = func(*args, **given)
        if formula := self._formulas.get(func.overloadpacket):
            self.num_operations += formula(*args, **given, out_val=found)
        return found
