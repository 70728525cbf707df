"""Probes of configurations: a few steps are measured, or reckoned if there is no time or memory for them.

Reckoned are the floating-point operations of a step, at the pace of what could be measured.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from thalweg.config import FamilyConfig
from thalweg.contract import Batch
from thalweg.search.checks.costs.reckoning import Activations, Shadow, UnreckonableError, Work
from thalweg.search.checks.draws import Draw
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline
from thalweg.search.checks.steps_of_stage import StageSteps
from thalweg.search.checks.stopper import MAX_SHARE, StoppedError, Stopper, own_mib
from thalweg.stage_contract import JointLoss, Stage
from thalweg.study import Study
from thalweg.training.guards.control_groups import memory_mib
from thalweg.training.sampling import Layout
from thalweg.training.schedule import Plan

BYTES_OF_STATE = 16
"""Bytes of a parameter: weights, gradients and two moments in fp32; as many in a checkpoint, with the masters."""
MAX_PROBED = 8
"""Samples of a step."""
_LIGHT = 40  # evaluations of each sample of a step: if there is time for so many, it is measured at once
_AIM = 0.7  # of the time, for the processor may be busy
_BYTES_OF_STEP = 8  # of a parameter, for weights and gradients
_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What one configuration takes on this machine, in one process.

    Attributes:
        num_parameters: Parameters of the model.
        train_s: Seconds of a training sample.
        evaluate_s: Seconds of an evaluated sample.
        memory_mib: Memory of weights, gradients, optimizer and activations of a micro-batch.
        num_val: Samples of an evaluation.
        not_finite: Parts of the loss that are not finite in the first step, with their stage.
        num_operations: Floating-point operations of a training sample; 0 if they were not counted.
        reckoned_from: What was measured instead, if this was reckoned; empty if it was measured.
    """

    num_parameters: int
    train_s: float
    evaluate_s: float
    memory_mib: float
    num_val: int
    not_finite: tuple[str, ...] = ()
    num_operations: int = 0
    reckoned_from: str = ""

    def trial_s(self, study: Study) -> float:
        """Returns the seconds of a trial that is not stopped early."""
        return study.samples * self.train_s + study.num_evaluations * self.num_val * self.evaluate_s


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a model was that was measured.

    Attributes:
        rate: Floating-point operations per second.
        evaluate_s: Seconds of an evaluated sample for each operation of a training sample.
        source: What was measured, in a few words.
    """

    rate: float
    evaluate_s: float
    source: str


class Prober:
    """Probes configurations of a space: measures them, or reckons them from those that were measured before.

    Args:
        examined: The space.
    """

    def __init__(self, examined: Examined) -> None:
        self._examined = examined
        self._measured: tuple[ProbedModel, Probe] | None = None

    def probe(self, draw: Draw, deadline: Deadline) -> Probe:
        """Probes a configuration.

        Args:
            draw: The configuration.
            deadline: When to stop measuring.

        Raises:
            StoppedError: It could be neither measured nor reckoned.
        """
        subject = ProbedModel(self._examined, draw.config)
        if size := self._num_affordable(subject, deadline):
            with suppress(StoppedError):  # then it is reckoned
                self._measured = subject, subject.measured(size, deadline)
                return self._measured[1]
        return subject.reckoned(self._pace)

    def _num_affordable(self, subject: ProbedModel, deadline: Deadline) -> int:
        """Returns of how many samples steps may be measured; all if that is sure, or if nothing is known of it."""
        seconds = self._examined.seconds_of_sample
        if subject.max_size * seconds * _LIGHT <= deadline.left:
            return subject.max_size
        try:
            return subject.num_affordable(self._pace, _AIM * deadline.left)
        except UnreckonableError:
            return subject.max_size

    @property
    def _pace(self) -> Pace:
        """The pace of what was measured last, or else of the evaluation of a model with all defaults.

        Raises:
            UnreckonableError: Operations cannot be counted.
        """
        if self._measured is None:
            return self._pace_of_defaults
        subject, probe = self._measured
        work = _counted(subject.work.num_operations)
        return Pace(
            rate=work / probe.train_s,
            evaluate_s=probe.evaluate_s / work,
            source=f"a configuration of {probe.num_parameters:,} parameters that was trained",
        )

    @cached_property
    def _pace_of_defaults(self) -> Pace:
        seconds = self._examined.seconds_of_sample
        work = ProbedModel(self._examined, self._examined.prepared.config).work
        return Pace(
            rate=_counted(self._examined.operations_of_sample) / seconds,
            evaluate_s=seconds / _counted(work.num_operations),
            source="the evaluation of a sample by a model with all defaults",
        )


class ProbedModel:
    """A configuration with its model, of which steps are taken or reckoned.

    Args:
        examined: The space.
        config: The configuration.
    """

    def __init__(self, examined: Examined, config: FamilyConfig) -> None:
        self._task = examined.task(config)
        self._data = examined.data(self._task)
        torch.default_generator.manual_seed(config.seed)
        self._model = self._task.build(self._task.facts(self._data))
        knobs, study = config.optimization, examined.space.study
        layout = Layout.of(knobs.batch_size, knobs.micro_batch_size, study.num_workers)
        self._micro_batch_size = layout.micro_batch_size
        self._plan = Plan.lay(self._task.stages(), study.samples)
        self._num_parameters = sum(weight.numel() for weight in self._model.parameters())
        self.max_size = min(layout.micro_batch_size, MAX_PROBED, self._data.num_samples("train"))
        # What compares samples does nothing with one of them.
        joint = any(isinstance(stage.loss, JointLoss) for stage in self._plan.stages)
        self._min_size = min(2 if joint else 1, self.max_size)

    def measured(self, size: int, deadline: Deadline) -> Probe:
        """Takes steps of each stage, and an evaluation, of some samples.

        Args:
            size: Samples of a step.
            deadline: When to stop.

        Raises:
            StoppedError: There was no time, or no memory.
        """
        seconds, activations, not_finite = 0.0, 0, list[str]()
        for number, stage in enumerate(self._plan.stages):
            steps = StageSteps(stage, self._plan, [self._start(number)])
            spent, kept = self._stepped(steps, size, deadline)
            seconds += spent * stage.share
            activations = max(activations, kept)
            not_finite += [
                f"{part} of {stage.name}" for part, value in steps.losses[0].items() if not np.isfinite(value)
            ]
        return Probe(
            num_parameters=self._num_parameters,
            train_s=seconds,
            evaluate_s=self._evaluated(size, deadline),
            memory_mib=self._memory_mib(activations / size),
            num_val=self._data.num_samples("val"),
            not_finite=tuple(not_finite),
        )

    def reckoned(self, pace: Pace) -> Probe:
        """Returns what steps and an evaluation would take.

        Args:
            pace: How fast another model was.

        Raises:
            UnreckonableError: Operations cannot be counted.
        """
        return Probe(
            num_parameters=self._num_parameters,
            train_s=self.work.num_operations / pace.rate,
            evaluate_s=self.work.num_operations * pace.evaluate_s,
            memory_mib=self._memory_mib(self.work.num_bytes),
            num_val=self._data.num_samples("val"),
            num_operations=round(self.work.num_operations),
            reckoned_from=pace.source,
        )

    @cached_property
    def work(self) -> Work:
        """What a training sample takes, reckoned: operations by the shares of all stages, the most bytes of them.

        Raises:
            UnreckonableError: Operations cannot be counted.
        """
        shadow, found = Shadow(self._model), []
        for number, stage in enumerate(self._plan.stages):
            now = self._plan.progress(self._start(number))
            found.append(shadow.step(stage, self._batch(stage, self.max_size), now))
        shares = [stage.share for stage in self._plan.stages]
        total = sum(share * each.num_operations for share, each in zip(shares, found, strict=True))
        return Work(
            num_operations=total / self.max_size,
            num_bytes=max(each.num_bytes for each in found) / self.max_size,
        )

    def num_affordable(self, pace: Pace, seconds: float) -> int:
        """Returns of how many samples steps may be measured; 0 if there is no time or memory for any.

        Args:
            pace: How fast another model was.
            seconds: The time.

        Raises:
            UnreckonableError: Operations cannot be counted.
        """
        work = self.work
        step_s, evaluation_s = work.num_operations / pace.rate, work.num_operations * pace.evaluate_s
        room = (MAX_SHARE * memory_mib() - own_mib()) * _MIB - self._num_parameters * _BYTES_OF_STEP
        held = int(room / max(work.num_bytes, 1.0))
        timed = int(seconds / (2 * step_s + evaluation_s))  # a step warms up, another one is timed
        if timed < self._min_size and self._min_size * step_s + evaluation_s <= seconds:
            timed = self._min_size
        size = min(self.max_size, timed, held)
        return size if size >= self._min_size else 0

    def _start(self, number: int) -> int:
        return self._plan.ends[number - 1] if number else 0

    def _memory_mib(self, activations: float) -> float:
        return (self._num_parameters * BYTES_OF_STATE + activations * self._micro_batch_size) / _MIB

    def _batch(self, stage: Stage, size: int) -> Batch:
        indices = np.arange(size)
        return (stage.batch or self._task.training_batch)(self._data, indices, indices.astype(np.uint64))

    def _validation(self, size: int) -> Batch:
        indices = np.arange(min(size, self._data.num_samples("val")))
        return self._task.evaluation_batch(self._data, "val", indices)

    def _stepped(self, steps: StageSteps, size: int, deadline: Deadline) -> tuple[float, int]:
        """Returns seconds of a sample, the batch included, and the bytes of the activations of all."""
        activations = Activations(self._model.parameters())
        with Stopper(deadline):
            steps.begin(self._model, self._data)
            began = time.perf_counter()
            with activations.hooks():
                steps.step(self._model, self._batch(steps.stage, size), steps.start)
            spent = time.perf_counter() - began
        if spent <= deadline.left:  # once it is warm, and without the stopper
            began = time.perf_counter()
            steps.step(self._model, self._batch(steps.stage, size), steps.start)
            spent = time.perf_counter() - began
        return spent / size, activations.num_bytes

    @torch.no_grad()
    def _evaluated(self, size: int, deadline: Deadline) -> float:
        """Returns seconds of an evaluated sample: of some of them, or of one if there is no time for more."""
        self._model.eval()

        def seconds_of(count: int) -> float:
            began = time.perf_counter()
            self._task.predict(self._model, self._validation(count))
            return (time.perf_counter() - began) / min(count, self._data.num_samples("val"))

        with Stopper(deadline):
            spent = seconds_of(1)
        return seconds_of(size) if size * spent <= deadline.left else spent


def _counted(num_operations: float) -> float:
    if not num_operations:
        raise UnreckonableError("the model must multiply matrices for its speed to be reckoned, got none")
    return num_operations
