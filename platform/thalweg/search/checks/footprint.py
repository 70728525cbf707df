"""Footprint: everything by which a trial of one configuration could differ from one of another, in a few steps.

It holds what the platform is told (optimizer, schedule, batches, stages) and what the family computes: for each stage
the gradients of three steps, at its first, middle and last one, and then what the model predicts. The loss itself is
left aside: a knob that changes it and no gradient, such as the weight of a loss on a frozen part, trains nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.config import FamilyConfig
from thalweg.contract import Batch, metrics_of
from thalweg.search.checks.examined import Examined, spread
from thalweg.search.checks.steps_of_stage import StageSteps, summed
from thalweg.stage_contract import Stage
from thalweg.training.engine.deepspeed_config import deepspeed_config
from thalweg.training.sampling import Layout
from thalweg.training.schedule import Plan, lr_factor

SIZE = 4
"""Samples of a training batch, and of what is predicted."""
LARGER = 24
"""The same where a knob changed nothing: it may act on few samples, such as those that lack a modality."""
BRIEF = 2
"""The same at a first look at models that take long: a loss that compares samples needs two."""
_TOLD = "told"  # after it, a model is built and trained
MAX_POSITIONS = 128
"""Steps of a stage at which schedules are compared."""
_TOLERANCE = 1e-5
"""Relative difference of gradients in fp32 that comes by rounding alone."""

Likeness: TypeAlias = Literal["same", "rounding", "other"]


class Footprint:
    """What a trial of a configuration does, computed as far as it is asked for.

    Args:
        examined: The space.
        config: One of its configurations.
        size: Samples of a batch.

    Attributes:
        size: Samples of a batch.
        losses: Sums of the parts of the loss, which are no part of the footprint.
    """

    def __init__(self, examined: Examined, config: FamilyConfig, size: int = SIZE) -> None:
        self._study = examined.space.study
        self._task = examined.task(config)
        self._data = examined.data(self._task)
        self.size = size
        self._known: list[tuple[str, Any]] = []
        self._records = self._trained()
        self.losses: list[Mapping[str, float]] = []

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yields names and values, those that are known from before first."""
        place = 0
        while True:
            if place == len(self._known):
                found = next(self._records, None)
                if found is None:
                    return
                self._known.append(found)
            yield self._known[place]
            place += 1

    def likeness(self, other: Footprint) -> Likeness:
        """Compares two footprints as far as the first difference."""
        found: Likeness = "same"
        for one, another in zip_longest(self, other):
            alike = (
                "other" if one is None or another is None or one[0] != another[0] else _alike(one, another)
            )
            if alike == "other":
                return "other"
            found = "rounding" if alike == "rounding" else found
        return found

    def is_told_otherwise(self, other: Footprint) -> bool:
        """Returns whether a trial is told something else, such as another optimizer, which takes no training."""
        for one, another in zip(self, other, strict=False):
            if one[0] != another[0] or _alike(one, another) == "other":
                return True
            if one[0] == _TOLD:
                return False
        return False

    def begins_otherwise(self, other: Footprint) -> bool:
        """Returns whether the weights that are nearest to the loss have other gradients in the first step.

        Those of other shapes count if both of them have one. If it returns False, others may differ.
        """
        here, there = self._beginning, other._beginning
        names = sorted(here.keys() & there.keys())
        if any(
            here[name].shape != there[name].shape and here[name].any() and there[name].any() for name in names
        ):
            return True
        alike = [name for name in names if here[name].shape == there[name].shape]
        one, another = (("", summed([found[name] for name in alike])) for found in (here, there))
        return bool(alike) and _alike(one, another) == "other"

    @cached_property
    def _beginning(self) -> Mapping[str, Tensor]:
        """Gradients of the weights that are nearest to the loss of the first stage, by name."""
        plan = Plan.lay(self._task.stages(), self._study.samples)
        torch.default_generator.manual_seed(self._task.config.seed)
        model = self._task.build(self._task.facts(self._data))
        steps = StageSteps(plan.stages[0], plan, [0])
        steps.begin(model, self._data)
        torch.default_generator.manual_seed(0)
        return steps.nearest(model, self._batch(plan.stages[0]))

    def _batch(self, stage: Stage) -> Batch:
        indices = np.array(spread(self._data.num_samples("train"), self.size))
        sample = stage.batch or self._task.training_batch
        return sample(self._data, indices, indices.astype(np.uint64) + np.uint64(1))

    def _trained(self) -> Iterator[tuple[str, Any]]:
        """Yields what the trial does, what costs least first."""
        knobs = self._task.config.optimization
        layout = Layout.of(knobs.batch_size, knobs.micro_batch_size, self._study.num_workers)
        plan = Plan.lay(self._task.stages(), self._study.samples)
        plan.check_steps(knobs.batch_size)
        yield from self._told(plan, layout)
        yield _TOLD, None
        torch.default_generator.manual_seed(self._task.config.seed)
        model = self._task.build(self._task.facts(self._data))
        for number, stage in enumerate(plan.stages):
            steps = StageSteps(stage, plan, _positions(plan, number, knobs.batch_size))
            yield from steps.records(model, self._data, self._batch(stage))
            self.losses += steps.losses
        yield from self._predicted(model.eval())

    def _told(self, plan: Plan, layout: Layout) -> Iterator[tuple[str, Any]]:
        """Yields what the platform is told: engine, stages, learning rates, data, measures."""
        knobs = self._task.config.optimization
        engine = deepspeed_config(knobs, layout)
        settings = engine["optimizer"]["params"]
        decay = settings.pop("weight_decay")
        del settings["lr"]
        yield "engine", engine
        data = self._data
        yield "data", (data.fingerprint, data.num_samples("train"), data.num_samples("val"))
        yield (
            "measures",
            (*(metric.name for metric in metrics_of(self._task)), *self._task.evaluated_splits()),
        )
        for number, stage in enumerate(plan.stages):
            start, end = _span(plan, number)
            yield stage.name, (end - start, stage.frozen, stage.teaches, stage.compared)
            after = np.array(_positions(plan, number, knobs.batch_size)) + knobs.batch_size - start
            factors = [lr_factor(knobs, float(min(samples / (end - start), 1.0))) for samples in after]
            for group in stage.groups:
                yield f"{stage.name} lr {group.prefix}", np.array(factors) * knobs.lr * group.lr_scale
                yield f"{stage.name} decay {group.prefix}", decay * group.lr_scale * group.decay

    @torch.no_grad()
    def _predicted(self, model: nn.Module) -> list[tuple[str, Any]]:
        indices = np.array(spread(self._data.num_samples("val"), self.size))
        outputs = self._task.predict(model, self._task.evaluation_batch(self._data, "val", indices))
        return [(f"predicted {name}", summed([value])) for name, value in sorted(outputs.items())]


def _span(plan: Plan, number: int) -> tuple[int, int]:
    return (plan.ends[number - 1] if number else 0), plan.ends[number]


def _positions(plan: Plan, number: int, batch_size: int) -> Sequence[int]:
    """Returns the samples seen before some steps of a stage, the first and the last step among them."""
    steps = range(*_span(plan, number), batch_size)
    return [steps[place] for place in spread(len(steps), MAX_POSITIONS)]


def _alike(one: tuple[str, Any], other: tuple[str, Any]) -> Likeness:
    """Compares two values of one name: numbers of gradients and predictions by their size, all others exactly."""
    first, second = one[1], other[1]
    if not isinstance(first, np.ndarray):
        return "same" if first == second else "other"
    if first.shape != second.shape:
        return "other"
    if np.array_equal(first, second, equal_nan=True):
        return "same"
    if first.ndim == 1:  # of a schedule, in double precision
        return "same" if np.allclose(first, second, rtol=1e-9, atol=0, equal_nan=True) else "other"
    sizes = np.maximum(first[:, :1], second[:, :1])
    near = np.abs(first - second) <= _TOLERANCE * (sizes + sizes.max())
    return "rounding" if bool((near | (np.isnan(first) & np.isnan(second))).all()) else "other"
