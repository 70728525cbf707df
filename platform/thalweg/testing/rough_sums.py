"""Sums over the samples of a batch that are taken in single precision, found while a measure adds a batch."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from thalweg.contract import Measure
from thalweg.wording import as_seen

_REDUCTIONS = ("sum", "mean", "nansum", "nanmean")
_SCATTERS = ("index_add", "index_add_", "scatter_add", "scatter_add_")
_CONTRACTIONS = (
    *("matmul", "__matmul__", "__rmatmul__", "mm", "mv", "dot", "vdot", "inner", "bmm"),
    *("addmm", "addmv", "baddbmm", "einsum", "tensordot"),
)
_ROUGH = (torch.float32, torch.float16, torch.bfloat16)


def is_rough(values: Tensor) -> bool:
    """Returns whether numbers are of single precision or less."""
    return values.dtype in _ROUGH


def is_exact(values: Tensor) -> bool:
    """Returns whether numbers are whole, as counts are, which single precision adds without rounding."""
    return torch.equal(values, values.round())


class RoughSums(TorchFunctionMode):
    """Notices sums and means over the samples of a batch that are taken of fractions in single precision.

    Reductions and losses of `torch.nn.functional` go over samples if they go over the first axis. A product of matrices
    and `torch.einsum` do if an axis as long as the batch is gone in their result. An axis of something else may have
    the same length by chance, so `rough_line` asks for two batches of different lengths.

    Args:
        measure: The measure that sums.
        num_samples: Samples of the batch.

    Attributes:
        lines: Lines of the measure that surely sum.
        maybe: Lines that sum if no other axis is as long as the batch.
    """

    def __init__(self, measure: Measure, num_samples: int) -> None:
        super().__init__()
        self._measure = measure
        self._num_samples = num_samples
        self.lines: dict[str, None] = {}
        self.maybe: dict[str, None] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls a function of torch and looks at what it sums."""
        named = kwargs or {}
        result = func(*args, **named)
        if isinstance(result, Tensor) and is_rough(result):
            self._look(getattr(func, "__name__", ""), args, named, result)
        return result

    def _look(self, kind: str, args: Sequence[Any], named: Mapping[str, Any], result: Tensor) -> None:
        if kind in _SCATTERS:
            summed = [args[3] if len(args) > 3 else named.get("source", named.get("src"))]
            if _any_fractions(summed):
                self.lines[self._line()] = None
        elif kind in _REDUCTIONS or (_is_loss(kind) and result.ndim == 0):
            values = args[0] if args else named.get("input")
            axes = args[1:] if kind in _REDUCTIONS else ()
            if (
                isinstance(values, Tensor)
                and _is_over_samples(values, axes, named)
                and _any_fractions([values])
            ):
                self.lines[self._line()] = None
        elif kind in _CONTRACTIONS and self._num_samples > 1 and self._num_samples not in result.shape:
            factors = [each for each in _tensors([*args, *named.values()]) if self._num_samples in each.shape]
            if _any_fractions(factors):
                self.maybe[self._line()] = None

    def _line(self) -> str:
        """Returns the line of the measure that the present operation comes from."""
        file = sys.modules[type(self._measure).add.__module__].__file__ or ""
        lines = [frame.lineno for frame in traceback.extract_stack() if frame.filename == file]
        return f"{as_seen(file)}:{lines[-1]}" if lines else as_seen(file)


def rough_line(found: Sequence[RoughSums]) -> str:
    """Returns the first line that sums over samples in single precision, given batches of two lengths; or nothing."""
    lengths = {each._num_samples for each in found if each._num_samples > 1}
    sure = [line for each in found for line in each.lines]
    by_shape = [
        line for line in found[0].maybe if len(lengths) > 1 and any(line in each.maybe for each in found[1:])
    ]
    return next(iter([*sure, *by_shape]), "")


def _is_loss(kind: str) -> bool:
    return (
        kind.endswith("_loss")
        or kind in ("cross_entropy", "kl_div")
        or kind.startswith("binary_cross_entropy")
    )


def _is_over_samples(values: Tensor, given: Sequence[Any], named: Mapping[str, Any]) -> bool:
    """Returns whether a reduction goes over the first axis, which is the batch."""
    if values.ndim == 0 or len(values) < 2:
        return False
    axes = given[0] if given else named.get("dim", named.get("axis"))
    axes = [axes] if isinstance(axes, int) else axes
    return not axes or 0 in [axis % values.ndim for axis in axes]


def _any_fractions(values: Sequence[Any]) -> bool:
    return any(isinstance(each, Tensor) and is_rough(each) and not is_exact(each) for each in values)


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    """Yields tensors, and those in lists, as `torch.einsum` takes them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
