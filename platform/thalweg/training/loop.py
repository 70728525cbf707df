"""The steps of a trial: prefetched batches, seeds, learning rate, gradient, and a finite check of every loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from thalweg.config import Optimization
from thalweg.contract import Task
from thalweg.data import placement
from thalweg.data.finite import first_non_finite
from thalweg.errors import ConfigError, NonFiniteDataError, NonFiniteError
from thalweg.hashing import splitmix64
from thalweg.stage_contract import JointLoss, Loss
from thalweg.training import accumulation, gradcache
from thalweg.training.engine import engine
from thalweg.training.gradcache import MicroBatches
from thalweg.training.guards.returned import tensors
from thalweg.training.process_group import ProcessGroup
from thalweg.training.sampling import Layout, SampleStream
from thalweg.training.schedule import Plan, lr_factor
from thalweg.training.telemetry import Curve
from thalweg.training.transfer import Arriving, prefetch_thread, ready_to_travel

if TYPE_CHECKING:
    from thalweg.contract import Batch, Data

Backward = Callable[[], tuple[Mapping[str, Tensor], Mapping[str, Tensor | float]]]


@dataclass(frozen=True)
class Taken:
    """A step whose loss has not been checked yet.

    Attributes:
        start: Samples seen before the step.
        sums: Sums of its loss parts.
        excused: Whether the loss scaler of fp16 handles a loss that is not finite.
    """

    start: int
    sums: Arriving
    excused: bool


class Loop:
    """Takes the steps of a trial, stage by stage.

    Args:
        task: Samples the batches.
        data: Opened data.
        group: Workers that train together; all of them make the same calls.
        plan: Stages over the budget.
        layout: How a batch is cut.

    Attributes:
        samples: Samples seen since the trial began.
        stage: Number of the present stage.
        trained: Samples and seconds of the steps in this process.

    Raises:
        ConfigError: A joint stage has batches of one sample, or larger than the split.
        DataError: The training split is empty.
    """

    def __init__(
        self, task: Task[Any, Any], data: Data, group: ProcessGroup, plan: Plan, layout: Layout
    ) -> None:
        self.samples = 0
        self.stage = 0
        self.trained = (0, 0.0)
        self._task = task
        self._data = data
        self._group = group
        self._plan = plan
        self._layout = layout
        self._knobs: Optimization = task.config.optimization
        self._streams = self._make_streams()
        self._prefetch = prefetch_thread(group.device)
        self._taken: Taken | None = None

    def _make_streams(self) -> dict[bool, SampleStream]:
        """Returns the streams of stages that do not and do join samples; a joint batch holds no sample twice."""
        count, seed = self._data.num_samples("train"), self._task.config.seed
        streams = {False: SampleStream(count, seed)}
        if any(stage.is_joint for stage in self._plan.stages):
            if self._knobs.batch_size < 2:
                raise ConfigError(
                    "a batch whose loss joins its samples must hold at least 2, got optimization.batch_size "
                    f"{self._knobs.batch_size}; raise it"
                )
            streams[True] = SampleStream(count, seed, whole_batches_of=self._knobs.batch_size)
        return streams

    def run(self, running: Any, due: int, curve: Curve) -> None:
        """Trains until so many samples are seen, or until the present stage ends.

        Args:
            running: DeepSpeed engine of the present stage, in training mode.
            due: Samples at the next evaluation.
            curve: Collects every step.

        Raises:
            NonFiniteError: The loss is not finite; on all ranks alike. A `NonFiniteDataError` if the batch is not.
        """
        loss = self._plan.stages[self.stage].loss
        end = min(due, self._plan.ends[self.stage])
        pending: Future[list[Batch]] | None = None
        while self.samples < end:
            if isinstance(loss, JointLoss):
                self._step(running, partial(self._joint_backward, running, loss), curve)
                continue
            assert isinstance(loss, Loss)
            batches = (pending or self._fetch(self.samples)).result()
            following = self.samples + self._layout.batch_size
            pending = self._fetch(following) if following < end else None
            self._step(running, partial(self._backward, running, loss, batches), curve)

    def _fetch(self, start: int) -> Future[list[Batch]]:
        positions = self._layout.positions(start, self._group.rank)
        return self._prefetch.submit(lambda: [self._sample(position) for position in positions])

    def _sample(self, positions: range) -> Batch:
        indices, keys = self._stream.take(positions.start, len(positions))
        sample = self._plan.stages[self.stage].batch or self._task.training_batch
        found = tensors(sample(self._data, indices, keys), "training_batch")
        batch = ready_to_travel(found, self._group.device)
        self._group.beats.add()
        return batch

    @property
    def _stream(self) -> SampleStream:
        return self._streams[self._plan.stages[self.stage].is_joint]

    def _step(self, running: Any, backward: Backward, curve: Curve) -> None:
        """Takes one optimizer step on one global batch, of which this rank holds some micro-batches."""
        began = time.perf_counter()
        progress = self._plan.progress(self.samples)
        self._seed(0)
        after = self.samples + self._layout.batch_size
        scale = lr_factor(self._knobs, self._stage_ratio(after))
        for group in running.optimizer.param_groups:
            group["lr"] = self._knobs.lr * group["lr_scale"] * scale
        lr = max(group["lr"] for group in running.optimizer.param_groups)
        sums, counts = backward()
        excused = self._knobs.precision == "fp16" and bool(running.optimizer.loss_scale > 1)
        earlier, self._taken = self._taken, Taken(self.samples, Arriving(sums), excused)
        norm = engine.step(running)
        # A step late: the GPU has work while the host waits for what the step before gave.
        self._check(earlier)
        self.samples = after
        weights = self._plan.stages[self.stage].loss.weights(progress)
        curve.add(after, sums, counts, weights, lr, norm)
        samples, seconds = self.trained
        self.trained = (samples + self._layout.batch_size, seconds + time.perf_counter() - began)

    def _seed(self, micro_batch: int) -> None:
        """Seeds the random generators by the samples seen, so that there is no state to save."""
        seed = splitmix64(splitmix64(np.uint64(self._task.config.seed)) + np.uint64(self.samples))
        number = micro_batch * self._group.size + self._group.rank
        self._group.seed((int(seed) + number) % 2**63)

    def _stage_ratio(self, samples: int) -> float:
        end = self._plan.ends[self.stage]
        start = self._plan.ends[self.stage - 1] if self.stage else 0
        return min((samples - start) / max(end - start, 1), 1.0)

    def _backward(
        self, running: Any, loss: Loss, batches: list[Batch]
    ) -> tuple[accumulation.Sums, Mapping[str, float]]:
        progress = self._plan.progress(self.samples)
        return accumulation.backward(running, loss, self._group, batches, progress)

    def _joint_backward(
        self, running: Any, loss: JointLoss
    ) -> tuple[accumulation.Sums, Mapping[str, Tensor | float]]:
        positions = self._layout.positions(self.samples, self._group.rank)
        batches = MicroBatches(
            count=len(positions),
            sample=lambda number: self._sample(positions[number]),
            seed=self._seed,
            executor=self._prefetch,
        )
        return gradcache.backward(running, loss, self._group, batches, self._plan.progress(self.samples))

    def settle(self) -> None:
        """Checks the loss of the last step, so that nothing is evaluated or saved after one that is not finite.

        Raises:
            NonFiniteError: The loss was not finite; on all ranks alike.
        """
        began = time.perf_counter()
        last, self._taken = self._taken, None
        self._check(last)
        samples, seconds = self.trained
        self.trained = (samples, seconds + time.perf_counter() - began)

    def _check(self, taken: Taken | None) -> None:
        """Stops the trial at a loss that is not finite; the sums are equal on all ranks, so all stop."""
        if taken is None:
            return
        broken = {name: value for name, value in taken.sums.read().items() if not np.isfinite(value)}
        if broken and not taken.excused:
            law = f"the loss must stay finite, got {broken} after {taken.start} samples"
            raise self._blame(law, taken.start)

    def _blame(self, law: str, start: int) -> NonFiniteError:
        """Says what to mend: the data of a batch, if they are not finite, else the knobs; all ranks call."""
        positions = self._layout.positions(start, self._group.rank)
        found = first_non_finite(self._sample(position) for position in positions)
        if found is not None:
            broken = positions[found.batch]
            indices, _ = self._stream.take(broken.start, len(broken))
            advice = f"mend the data: {found} (sample {indices[found.index[0]]} of train)"
        else:
            advice = "mend the data, which are not finite on another worker"
        if self._group.all_agree(found is None):
            return NonFiniteError(f"{law}; lower lr, or clip_norm, or the loss weights")
        return NonFiniteDataError(f"{law}; {advice}")

    def close(self) -> None:
        """Ends the prefetch thread, and frees the memory that is kept for batches."""
        self._prefetch.shutdown(wait=True, cancel_futures=True)
        placement.free()
