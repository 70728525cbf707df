"""What a step would take, reckoned from shapes: floating-point operations, and bytes kept for the backward pass.

Tensors of PyTorch's fake mode have shapes and no numbers: nothing is computed and no memory is taken.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.errors import ThalwegError
from thalweg.search.checks.costs.operations import Counter
from thalweg.stage_contract import JointLoss, Loss, Progress, Stage
from thalweg.testing.verdicts import sentence_of
from thalweg.training.engine.engine import parameter_groups, train_mode

if TYPE_CHECKING:
    from torch._subclasses.fake_tensor import FakeTensorMode


class UnreckonableError(ThalwegError):
    """What a step takes cannot be told from shapes alone."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a step on a batch takes, whatever the machine.

    Attributes:
        num_operations: Floating-point operations of products, forward and backward.
        num_bytes: Bytes that the forward pass keeps for the backward pass, without the weights.
    """

    num_operations: float
    num_bytes: float


class Activations:
    """Counts the bytes that a forward pass keeps for the backward pass.

    Args:
        weights: Tensors that are kept anyway, and not counted.
    """

    def __init__(self, weights: Iterable[Tensor] = ()) -> None:
        self._weights = {weight.untyped_storage()._cdata for weight in weights}
        self._kept: dict[int, int] = {}

    def hooks(self) -> Any:
        """Returns a context in which tensors are counted."""
        return torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors that were kept."""
        return sum(self._kept.values())

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._weights:
            self._kept[storage._cdata] = storage.nbytes()
        return tensor


class Shadow:
    """A model without numbers, which takes steps on batches without numbers.

    Args:
        model: The model; it stays as it is.
    """

    def __init__(self, model: nn.Module) -> None:
        # Imported when a model is first reckoned: it takes a second.
        from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode

        self._mode: FakeTensorMode = FakeTensorMode(allow_non_fake_inputs=True)
        with FakeCopyMode(self._mode):
            self._model = copy.deepcopy(model)

    def step(self, stage: Stage, batch: Batch, now: Progress) -> Work:
        """Returns what a step of a stage takes.

        Args:
            stage: The stage.
            batch: A micro-batch.
            now: Where training stands.

        Raises:
            UnreckonableError: The family's code asks for numbers, or the stage reads features of all samples.
        """
        if stage.features is not None:
            raise UnreckonableError(
                f"a step must be reckoned from shapes, got {stage.name}, which reads features"
            )
        with _without_numbers():
            return self._step(stage, batch, now)

    def _step(self, stage: Stage, batch: Batch, now: Progress) -> Work:
        counts = stage.loss.counts(batch, now) if isinstance(stage.loss, Loss) else {}
        groups = parameter_groups(self._model, stage, 1.0)
        weights = [each for group in groups if group["lr_scale"] for each in group["params"]]
        train_mode(self._model, stage)
        activations = Activations(self._model.parameters())
        with self._mode, Counter() as counter:
            with activations.hooks():
                terms = _terms(stage, self._model, self._shadowed(batch), now)
                total = sum((term for part, term in terms.items() if counts.get(part, 1)), torch.zeros(()))
            if total.requires_grad:
                torch.autograd.grad(total, weights, allow_unused=True)
        return Work(num_operations=counter.num_operations, num_bytes=activations.num_bytes)

    def _shadowed(self, batch: Batch) -> Batch:
        return {name: self._mode.from_tensor(tensor, static_shapes=True) for name, tensor in batch.items()}


def _terms(stage: Stage, model: nn.Module, batch: Batch, now: Progress) -> Mapping[str, Tensor]:
    loss = stage.loss
    if isinstance(loss, JointLoss):
        return loss.parts(loss.embed(model, batch, now), now).sums
    assert isinstance(loss, Loss)
    return loss.parts(model, batch, now)


@contextmanager
def _without_numbers() -> Iterator[None]:
    """Turns what code raises that gets no numbers."""
    try:
        yield
    except Exception as error:  # whatever a family makes of tensors without numbers
        raise UnreckonableError(f"a step must be reckoned from shapes, got {sentence_of(error)}") from error
