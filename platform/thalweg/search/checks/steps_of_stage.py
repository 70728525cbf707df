"""Three steps of a stage in this process, without an engine: what its loss asks of the weights that it trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.contract import Batch, Data
from thalweg.stage_contract import JointLoss, Loss, Progress, Stage
from thalweg.training import features
from thalweg.training.engine.engine import parameter_groups, train_mode
from thalweg.training.schedule import Plan

_NUM_NEAR = 16  # weights
_MAX_KEPT = 2**22  # numbers, 32 MiB
_STEP = 0.01
"""Length of a step as a share of that of all weights: enough to leave zeros that a layer begins with."""


class StageSteps:
    """The steps of one stage.

    Args:
        stage: The stage.
        plan: All stages over the budget.
        positions: Samples seen before each step at which schedules are compared.

    Attributes:
        stage: The stage.
        losses: Sums of the parts of the loss, after the steps.
    """

    def __init__(self, stage: Stage, plan: Plan, positions: Sequence[int]) -> None:
        self.stage = stage
        self._plan = plan
        self._positions = positions
        self._weights: list[nn.Parameter] = []
        self.losses: list[Mapping[str, float]] = []

    def records(self, model: nn.Module, data: Data, batch: Batch) -> Iterator[tuple[str, Any]]:
        """Takes the steps, and yields the gradients of each; last the weights of all parts that have a gradient.

        Args:
            model: The model, which moves.
            data: Opened data.
            batch: What the steps are taken on, a whole batch.
        """
        self.begin(model, data)
        ends = (self._positions[0], self._positions[len(self._positions) // 2], self._positions[-1])
        for place, position in enumerate(ends):
            torch.default_generator.manual_seed(
                place
            )  # without the traceback that `torch.manual_seed` writes
            yield f"{self.stage.name} step {place}", summed(self.step(model, batch, position))
        # Last, for it costs a backward pass of each part.
        yield from self._schedules(self._reaching(model, batch))

    @property
    def start(self) -> int:
        """Samples seen before the first of them."""
        return self._positions[0]

    def begin(self, model: nn.Module, data: Data) -> None:
        """Freezes what the stage does not train, and computes what its loss reads of the frozen part."""
        groups = parameter_groups(model, self.stage, 1.0)
        self._weights = [each for group in groups if group["lr_scale"] for each in group["params"]]
        train_mode(model, self.stage)
        if self.stage.features is not None:
            features.compute_alone(self.stage.features, model, data)

    def step(self, model: nn.Module, batch: Batch, position: int) -> list[Tensor]:
        """Takes a step, and returns the gradients of all weights that train.

        Args:
            model: The model.
            batch: A whole batch.
            position: Samples seen before.
        """
        slopes = _slopes(self._weighted(model, batch, position), self._weights)
        _move(self._weights, slopes)
        return slopes

    def nearest(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Returns the gradients, by name, of some weights that are nearest to the loss, which takes a forward pass.

        Args:
            model: The model, which stays where it is.
            batch: A whole batch.
        """
        total = sum(self._weighted(model, batch, self.start), torch.zeros(()))
        names = {id(weight): name for name, weight in model.named_parameters()}
        trained = {id(weight): weight for weight in self._weights}
        near = [trained[id(leaf)] for leaf in _leaves(total) if id(leaf) in trained][:_NUM_NEAR]
        return dict(zip((names[id(weight)] for weight in near), _slopes([total], near), strict=True))

    def _weighted(self, model: nn.Module, batch: Batch, position: int) -> list[Tensor]:
        now = self._plan.progress(position)
        terms = self._terms(model, batch, now)
        factors = self.stage.loss.weights(now)
        return [factors[part] * term for part, term in terms.items()]

    def _reaching(self, model: nn.Module, batch: Batch) -> list[str]:
        """Returns the parts of the loss that have a gradient."""
        torch.default_generator.manual_seed(0)
        terms = self._terms(model, batch, self._plan.progress(self._positions[-1]))
        return sorted(part for part, term in terms.items() if _reaches(term, self._weights))

    def _terms(self, model: nn.Module, batch: Batch, now: Progress) -> dict[str, Tensor]:
        """Returns the mean of each part of the loss that some sample has."""
        loss = self.stage.loss
        if isinstance(loss, JointLoss):
            joined = loss.parts(loss.embed(model, batch, now), now)
            sums, counts = joined.sums, joined.counts
        else:
            assert isinstance(loss, Loss)
            sums, counts = loss.parts(model, batch, now), loss.counts(batch, now)
        self.losses.append({part: float(value.detach()) for part, value in sums.items()})
        return {part: value / float(counts[part]) for part, value in sums.items() if float(counts[part])}

    def _schedules(self, parts: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """Yields the weights of parts over the whole stage; one that no part's gradient follows is none."""
        progress = [self._plan.progress(position) for position in self._positions]
        found = [self.stage.loss.weights(now) for now in progress]
        for part in parts:
            yield f"{self.stage.name} weight {part}", np.array([float(weights[part]) for weights in found])


def summed(tensors: Sequence[Tensor]) -> np.ndarray:
    """Returns a norm and a projection of each tensor, (tensor, 2), by which tensors are told apart."""
    return np.array([_two_numbers(each) for each in tensors]).reshape(-1, 2)


def _two_numbers(tensor: Tensor) -> tuple[float, float]:
    values = tensor.detach().double().nan_to_num().flatten()
    return float(values.norm()), float((values * _waves(len(values))).sum())


def _waves(count: int) -> Tensor:
    """Returns so many factors of a projection, always the same."""
    size = 1 << max(count - 1, 0).bit_length()
    return (_wave(size) if size <= _MAX_KEPT else _wave.__wrapped__(size))[:count]


@cache
def _wave(size: int) -> Tensor:
    return torch.cos(1.0 + torch.arange(size, dtype=torch.float64))


def _reaches(term: Tensor, weights: Sequence[nn.Parameter]) -> bool:
    return term.requires_grad and any(bool(slope.any()) for slope in _slopes([term], weights, keep=True))


def _slopes(terms: Sequence[Tensor], weights: Sequence[nn.Parameter], *, keep: bool = False) -> list[Tensor]:
    """Returns the gradient of a sum in each weight; zeros where there is none."""
    total = sum(terms, torch.zeros(()))
    if not total.requires_grad:
        return [torch.zeros_like(weight) for weight in weights]
    found = torch.autograd.grad(
        total, list(weights), retain_graph=keep, allow_unused=True, materialize_grads=True
    )
    return list(found)


def _leaves(total: Tensor) -> Iterator[Tensor]:
    """Yields the tensors that a result was computed from and that have a gradient, those of the fewest steps first."""
    seen = set()
    layer = [total.grad_fn]
    while layer:
        reached = list(dict.fromkeys(node for node in layer if node is not None and node not in seen))
        seen |= set(reached)
        yield from (node.variable for node in reached if hasattr(node, "variable"))
        layer = [below for node in reached for below, _ in node.next_functions]


@torch.no_grad()
def _move(weights: Sequence[nn.Parameter], slopes: Sequence[Tensor]) -> None:
    """Takes a step of plain descent, of a length that no knob changes."""
    length = torch.stack([weight.norm() for weight in weights]).norm()
    slope = torch.stack([each.norm() for each in slopes]).norm()
    if bool(slope.isfinite()) and slope > 0:
        for weight, each in zip(weights, slopes, strict=True):
            weight.sub_(_STEP * length / slope * each)
