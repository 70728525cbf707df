"""One trial in one process group: built, trained from evaluation to evaluation, checkpointed, freed."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from thalweg import discovery
from thalweg.config import parse
from thalweg.contract import Mode, SplitName, Task
from thalweg.data.finite import first_non_finite
from thalweg.errors import ConfigError, NonFiniteError
from thalweg.hashing import splitmix64
from thalweg.study_folder import checkpoint_name
from thalweg.training import baselines, buffers, checkpoint, engine, gradient, joint
from thalweg.training.ahead import drawer, ready_to_travel
from thalweg.training.arriving import Arriving
from thalweg.training.curve import Curve
from thalweg.training.evaluation import evaluate_split
from thalweg.training.family_code import blaming
from thalweg.training.joint import MicroBatches
from thalweg.training.memory import PeakMemory
from thalweg.training.orders import Report, TrialOrder
from thalweg.training.process_group import FP32_PRECISION, World
from thalweg.training.protocol import protocol_hash
from thalweg.training.schedule import Plan, lr_factor
from thalweg.training.sources import load_sources
from thalweg.training.state import FROM_BEFORE, Found, State, newest_whole
from thalweg.training.stream import Layout, SampleStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from thalweg.contract import Batch, Data


class DataCache:
    """Opened data that stay open from trial to trial; the newest few."""

    def __init__(self, most: int = 2) -> None:
        self._most = most
        self._opened: dict[tuple[str, str, str], Data] = {}

    def open(self, task: Task[Any, Any], root: Path, device: torch.device) -> Data:
        """Returns the task's data, opened and placed on the device now or by an earlier trial."""
        key = (str(root), task.data_key(), str(device))
        if key not in self._opened:
            while len(self._opened) >= self._most:
                del self._opened[next(iter(self._opened))]
            self._opened[key] = task.place(task.open(root), device)
        return self._opened[key]


def make_task(family: str, config: Mapping[str, Any]) -> Task[Any, Any]:
    """Builds the task of a recorded configuration."""
    config_type = discovery.load_family(family).config_type
    return discovery.task_type(config_type)(parse(config_type, dict(config)))


@dataclass(frozen=True)
class Taken:
    """A step that was taken and whose loss nobody has looked at.

    Attributes:
        start: Samples seen before the step.
        sums: Sums of its loss parts.
        excused: Whether the loss scaler of fp16 sees to a loss that is not finite.
    """

    start: int
    sums: Arriving
    excused: bool


class Session:
    """A trial that is being trained by this process group; every rank holds one and calls alike.

    Args:
        order: What to train.
        world: The process group.
        cache: Keeps data open between trials.

    Raises:
        TrialError: The family's code raises.
    """

    def __init__(self, order: TrialOrder, world: World, cache: DataCache) -> None:
        with blaming(order.family):
            self._begin(order, world, cache)

    def _begin(self, order: TrialOrder, world: World, cache: DataCache) -> None:
        began = time.perf_counter()
        self.order = order
        self._world = world
        self.task = make_task(order.family, order.config)
        self._knobs = self.task.config.optimization
        engine.check_precision(self._knobs)
        self.data = cache.open(self.task, Path(order.data_root), world.device)
        self._layout = Layout.of(self._knobs.batch_size, self._knobs.micro_batch_size, world.size)
        self._plan = Plan.lay(self.task.stages(), order.total_samples)
        self._plan.check_steps(self._knobs.batch_size)
        self._streams = self._make_streams()
        self._prefetch = drawer(world.device)
        self._taken: Taken | None = None
        self._timings = {"prepare_s": 0.0}
        self._memory = PeakMemory(world.device)
        self._trained = (0, 0.0)  # samples and seconds in this process
        self._samples = 0
        self.last: Report | None = None
        self._resume_or_begin()
        self._timings["prepare_s"] = time.perf_counter() - began

    def _resume_or_begin(self) -> None:
        start = self._checkpoint()
        found = start.folder
        torch.manual_seed(self.task.config.seed)
        model = self.task.build(self.data).to(self._world.device)
        self._stage = 0
        if found is not None:
            checkpoint.require_loadable(found, self._knobs.zero_stage, self._world)
            state = State.read(found)
            self._stage, self.last = state.stage, state.report
            self._samples = state.report.samples_seen
        else:
            load_sources(model, self.order.sources, self.task.starting_weights())
        self._module = self._wrap(model)
        self.num_parameters = sum(parameter.numel() for parameter in model.parameters())
        self._facts = self._describe()
        if self.last is None and self.order.baselines:
            self._record_baselines()
        self._engine = self._start_stage()
        if found is not None:
            checkpoint.load(self._engine, found, self._world)
        self._earlier = found.parent if found is not None and found.parent != self._own else None

    @property
    def _own(self) -> Path:
        return Path(self.order.directory) / self.order.trial

    def _checkpoint(self) -> Found:
        """Finds where the trial goes on: at what is whole, of this configuration and of this study."""
        order = self.order
        own = Found()
        if self._world.rank == 0:
            checkpoint.clear(self._own, order.home)
            places = {self._own: {order.study}}
            if order.resumes:
                # The interrupted trial may have written a newer checkpoint, and deleted this one, unheard.
                places.setdefault(Path(order.resumes).parent, {order.study, FROM_BEFORE})
            own = newest_whole(places, order.config)
        found: Found = self._world.same(own)
        where = f"after {found.samples:,} samples" if found.folder else "from the start"
        self._notes = tuple(
            f"{order.trial}: {reason}; it goes on {where}"
            for folder, reason in found.skipped.items()
            if folder.parent == self._own  # of those of another trial the study has told
        )
        return found

    def _make_streams(self) -> dict[bool, SampleStream]:
        """Returns the streams of stages that do not and do join samples; a joint batch holds no sample twice."""
        count, seed = self.data.num_samples("train"), self.task.config.seed
        streams = {False: SampleStream(count, seed)}
        if any(stage.joint for stage in self._plan.stages):
            if self._knobs.batch_size < 2:
                raise ConfigError(
                    "a batch whose loss joins its samples must hold at least 2, got optimization.batch_size "
                    f"{self._knobs.batch_size}; raise it"
                )
            streams[True] = SampleStream(count, seed, whole_batches_of=self._knobs.batch_size)
        return streams

    def _wrap(self, model: torch.nn.Module) -> engine.TaskModule:
        return engine.TaskModule(self.task, model, joint=self._plan.stages[self._stage].joint)

    def _start_stage(self) -> Any:
        return engine.start(self._module, self._plan.stages[self._stage], self._knobs, self._layout)

    def advance(self, reached: int = 0) -> Report:
        """Trains to the next evaluation after ``reached`` and evaluates.

        Args:
            reached: Samples of the last report that the caller holds. A report that was lost on its way is
                given again instead of trained again.

        Raises:
            NonFiniteError: The loss or a metric is not finite; on all ranks alike.
            TrialError: The family's code raises.
        """
        with blaming(self.order.family):
            return self._advance(reached)

    def _advance(self, reached: int) -> Report:
        notes, self._notes = self._notes, ()
        if self.last is not None and self.last.samples > reached:
            return replace(self.last, facts=self._facts, documents=self._documents(), notes=notes)
        due = next(samples for samples in self.order.evaluations if samples > reached)
        began = time.perf_counter()
        curve = self._train_until(due)
        trained = time.perf_counter()
        metrics = self._evaluate()
        if self.order.metric not in metrics:
            raise NonFiniteError(
                f"{self.order.metric} must be finite, got another value after {self._samples} samples; lower lr"
            )
        evaluated = time.perf_counter()
        timings = self._timings | {"train_s": trained - began, "evaluate_s": evaluated - trained}
        self.last = Report(
            samples=due,
            samples_seen=self._samples,
            value=metrics[self.order.metric],
            metrics=metrics,
            curve=curve,
            timings=timings,
            costs=self._costs(),
            facts=self._facts,
            done=due == self.order.total_samples,
        )
        if self.order.checkpoints:
            self._save()
        self._timings = {}
        return replace(self.last, documents=self._documents(), notes=notes)

    def _save(self) -> None:
        assert self.last is not None
        began = time.perf_counter()
        folder = self._own / checkpoint_name(self.last.samples)
        self.last = replace(self.last, checkpoint=str(folder))
        state = State(self.last, self.order.config, self.order.family, self._stage, self.order.study)
        checkpoint.save(self._engine, folder, state, self._world)
        if self._world.rank == 0:
            checkpoint.tidy(folder, self._mode(), self.order.keep_last, self._earlier, self.order.home)
        self._earlier = None
        timings = {**self.last.timings, "checkpoint_s": time.perf_counter() - began}
        self.last = replace(self.last, timings=timings)

    def _mode(self) -> Mode:
        declared = {metric.name: metric.mode for metric in self.task.metrics}
        return declared[self.order.metric]

    def _costs(self) -> dict[str, float]:
        """Returns what the trial takes: parameters, seconds of steps per pass over the split, most memory of a worker.

        Time and memory are those of this process: a trial that was continued counts from there on.
        """
        samples, seconds = self._trained
        costs = {"num_parameters": float(self.num_parameters)}
        costs["epoch_s"] = seconds / max(samples, 1) * self.data.num_samples("train")
        peak = self._world.largest(self._memory.mib() or 0.0)
        return costs | {"peak_memory_mib": peak} if peak else costs

    def _train_until(self, due: int) -> tuple[tuple[int, dict[str, float]], ...]:
        curve = Curve(due, max((due - self._samples) // self.order.num_curve_points, 1), self._samples)
        engine.train_mode(self._module.model, self._plan.stages[self._stage])
        pending: Future[list[Batch]] | None = None
        while self._samples < due:
            self._enter_stage(curve)
            if self._plan.stages[self._stage].joint:
                pending = None
                self._step(self._joint_backward, curve)
                continue
            batches = (pending or self._fetch(self._samples)).result()
            following = self._samples + self._layout.batch_size
            pending = self._fetch(following) if following < due else None
            self._step(partial(self._backward, batches), curve)
        self._settle()
        return curve.points()

    def _fetch(self, start: int) -> Future[list[Batch]]:
        positions = self._layout.positions(start, self._world.rank)
        return self._prefetch.submit(lambda: [self._draw(position) for position in positions])

    def _draw(self, positions: range) -> Batch:
        joint = self._plan.stages[self._stage].joint
        indices, keys = self._streams[joint].take(positions.start, len(positions))
        batch = ready_to_travel(self.task.training_batch(self.data, indices, keys), self._world.device)
        self._world.beats.add()
        return batch

    def _step(
        self, backward: Callable[[], tuple[Mapping[str, Tensor], Mapping[str, float]]], curve: Curve
    ) -> None:
        """Takes one optimizer step on one global batch, of which this rank holds some micro-batches."""
        began = time.perf_counter()
        progress = self._plan.progress(self._samples)
        self._seed(0)
        after = self._samples + self._layout.batch_size
        scale = lr_factor(self._knobs, self._stage_ratio(after))
        for group in self._engine.optimizer.param_groups:
            group["lr"] = self._knobs.lr * group["lr_scale"] * scale
        lr = max(group["lr"] for group in self._engine.optimizer.param_groups)
        sums, counts = backward()
        earlier, self._taken = self._taken, Taken(self._samples, Arriving(sums), self._scale_can_fall())
        norm = engine.step(self._engine)
        # A step late: the GPU has work while the host waits for what the step before gave.
        self._check(earlier)
        self._samples = after
        curve.add(after, sums, counts, self.task.weights(progress), lr, norm)
        samples, seconds = self._trained
        self._trained = (samples + self._layout.batch_size, seconds + time.perf_counter() - began)

    def _seed(self, micro_batch: int) -> None:
        """Seeds what is random about a step: a function of the samples seen, so that there is no state to save."""
        seed = splitmix64(splitmix64(np.uint64(self.task.config.seed)) + np.uint64(self._samples))
        number = micro_batch * self._world.size + self._world.rank
        self._world.seed((int(seed) + number) % 2**63)

    def _stage_ratio(self, samples: int) -> float:
        end = self._plan.ends[self._stage]
        start = self._plan.ends[self._stage - 1] if self._stage else 0
        return min((samples - start) / max(end - start, 1), 1.0)

    def _backward(self, batches: list[Batch]) -> tuple[gradient.Sums, gradient.Parts]:
        progress = self._plan.progress(self._samples)
        return gradient.backward(self._engine, self.task, self._world, batches, progress)

    def _joint_backward(self) -> tuple[gradient.Sums, gradient.Parts]:
        positions = self._layout.positions(self._samples, self._world.rank)
        batches = MicroBatches(
            count=len(positions),
            draw=lambda number: self._draw(positions[number]),
            seed=self._seed,
            executor=self._prefetch,
        )
        progress = self._plan.progress(self._samples)
        return joint.backward(self._engine, self.task, self._world, batches, progress)

    def _scale_can_fall(self) -> bool:
        """Whether an overflow is the business of fp16's loss scaler."""
        return self._knobs.precision == "fp16" and bool(self._engine.optimizer.loss_scale > 1)

    def _settle(self) -> None:
        """Looks at the last step: nothing is evaluated or saved after a loss that is not finite."""
        began = time.perf_counter()
        last, self._taken = self._taken, None
        self._check(last)
        samples, seconds = self._trained
        self._trained = (samples, seconds + time.perf_counter() - began)

    def _check(self, taken: Taken | None) -> None:
        """Stops the trial at a loss that is not finite; the sums are equal on all ranks, so all stop."""
        if taken is None:
            return
        broken = {name: value for name, value in taken.sums.read().items() if not np.isfinite(value)}
        if broken and not taken.excused:
            raise NonFiniteError(
                f"the loss must stay finite, got {broken} after {taken.start} samples; "
                f"{self._way_out(taken.start)}"
            )

    def _way_out(self, start: int) -> str:
        """Says what to mend: the data of a batch, where they are not finite, else the knobs; all ranks call."""
        positions = self._layout.positions(start, self._world.rank)
        found = first_non_finite(self._draw(position) for position in positions)
        if found is not None:
            joint = self._plan.stages[self._stage].joint
            broken = positions[found.batch]
            indices, _ = self._streams[joint].take(broken.start, len(broken))
            advice = f"mend the data: {found} (sample {indices[found.index[0]]} of train)"
        else:
            advice = "lower lr, or clip_norm, or the loss weights"
        if not self._world.all_agree(found is None) and found is None:
            advice = "mend the data, which are not finite on another worker"
        return advice

    def _enter_stage(self, curve: Curve) -> None:
        number = self._plan.index(self._samples)
        if number == self._stage:
            return
        self._settle()
        curve.end_stage(self._samples, self._plan.stages[self._stage].name, self._evaluate())
        weights = engine.full_weights(self._engine)
        engine.release(self._engine)
        model = self.task.build(self.data).to(self._world.device)
        model.load_state_dict(weights)
        self._stage = number
        self._module = self._wrap(model)
        self._engine = self._start_stage()
        engine.train_mode(self._module.model, self._plan.stages[self._stage])

    def _evaluate(self) -> dict[str, float]:
        self._engine.eval()
        buffers.unite(self._module, self._world)  # what is saved after it is what was evaluated
        return self._evaluate_with(lambda batch: self._engine(batch, None))

    def _evaluate_with(
        self, evaluate: Callable[[Batch], Mapping[str, Tensor]], is_baseline: bool = False
    ) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for split in self.task.evaluated_splits():
            found = evaluate_split(
                self.task,
                self.data,
                evaluate,
                self._world,
                split=split,
                batch_size=max(self._layout.micro_batch_size, 8),
                most=self.data.num_samples("val") if split == "train" else None,
                is_baseline=is_baseline,
            )
            metrics |= {_metric_name(split, name): value for name, value in found.items()}
        return metrics

    def _record_baselines(self) -> None:
        directory = Path(self.order.directory)
        # All ranks decide on what rank 0 sees, for they evaluate together.
        if not self._world.all_agree(self._world.rank != 0 or baselines.read(directory) is None):
            return
        start = "before_training" if self.order.sources else "untrained"
        predictors = {start: self._module.model.eval(), **self.task.baselines(self.data)}
        found = {
            name: self._evaluate_with(
                partial(self.task.evaluate, predictor.to(self._world.device)), is_baseline=name != start
            )
            for name, predictor in predictors.items()
        }
        if self._world.rank == 0:
            baselines.write_once(directory, found)

    def _documents(self) -> dict[str, str]:
        return {"deepspeed.json": engine.given(self._engine)}

    def _describe(self) -> dict[str, Any]:
        device = self._world.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        return {
            "protocol_hash": protocol_hash(self.order.family, self.task, self.data),
            "data_fingerprint": self.data.fingerprint,
            "num_parameters": self.num_parameters,
            "world_size": self._world.size,
            "micro_batch_size": self._layout.micro_batch_size,
            "accumulation": self._layout.accumulation,
            "device": name,
            "fp32_precision": FP32_PRECISION,
            "host": socket.gethostname(),
            "process": os.getpid(),
        }

    def close(self) -> None:
        """Frees the trial's memory; the data stay open for the next."""
        self._prefetch.shutdown(wait=True, cancel_futures=True)
        engine.release(self._engine)
        del self._engine, self._module


def _metric_name(split: SplitName, name: str) -> str:
    return name if split == "val" else f"{split}_{name}"
