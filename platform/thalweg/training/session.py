"""One trial in one process group: built, trained from evaluation to evaluation, checkpointed, freed."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from thalweg import discovery
from thalweg.config import parse
from thalweg.contract import GivesWeights, Mode, SplitName, Task, metrics_of
from thalweg.errors import LostCheckpoint, NonFiniteError, UndefinedError
from thalweg.stage_contract import Stage
from thalweg.study_folder import StudyFolder, baseline_name, checkpoint_name
from thalweg.training import baselines, features, unit_sums
from thalweg.training.checkpoints import checkpoint
from thalweg.training.checkpoints.frozen_weights import load_initial, load_starting_points, sha256_of
from thalweg.training.checkpoints.milestones import Milestones
from thalweg.training.checkpoints.state import FROM_BEFORE, Found, TrainingState, newest_whole
from thalweg.training.engine import buffers, engine
from thalweg.training.evaluation import evaluate_split
from thalweg.training.guards import memory
from thalweg.training.guards.family_code import blaming
from thalweg.training.guards.software import software
from thalweg.training.loop import Loop
from thalweg.training.messages import Report, TrialOrder
from thalweg.training.process_group import FP32_PRECISION, ProcessGroup
from thalweg.training.protocol import protocol_hash
from thalweg.training.sampling import Layout
from thalweg.training.schedule import Plan
from thalweg.training.telemetry import Curve, PeakMemory
from thalweg.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thalweg.contract import Data
    from thalweg.training.evaluation import Keep, Predict

GIVEN = "initial_weights_sha256"
"""What the provenance of a trial calls the hash of the weights that its family gave it."""


class DataCache:
    """Keeps data sets open from trial to trial: those that were opened last.

    Args:
        max_open: Number of data sets that are open at once.
    """

    def __init__(self, max_open: int = 2) -> None:
        self._max_open = max_open
        self._opened: dict[tuple[str, str, str], Data] = {}

    def open(self, task: Task[Any, Any], root: Path, device: torch.device) -> Data:
        """Returns the task's data, opened and placed on the device now or by an earlier trial."""
        key = (str(root), task.data_key(), str(device))
        if key not in self._opened:
            while len(self._opened) >= self._max_open:
                del self._opened[next(iter(self._opened))]
            self._opened[key] = task.place(task.open(root), device)
        return self._opened[key]


def make_task(family: str, config: Mapping[str, Any]) -> Task[Any, Any]:
    """Builds the task of a recorded configuration."""
    found = discovery.load_family(family)
    return found.task(parse(found.config_type, dict(config)))


class Session:
    """A trial that this process group trains; every rank holds one, and all make the same calls.

    Args:
        order: What to train.
        group: The process group.
        cache: Keeps data open between trials.

    Raises:
        TrialError: The family's code raises.
    """

    def __init__(self, order: TrialOrder, group: ProcessGroup, cache: DataCache) -> None:
        with blaming(order.family):
            self._begin(order, group, cache)

    def _begin(self, order: TrialOrder, group: ProcessGroup, cache: DataCache) -> None:
        began = time.perf_counter()
        self.order = order
        self._group = group
        self.task = make_task(order.family, order.config)
        self._knobs = self.task.config.optimization
        self._modes: dict[str, Mode] = {metric.name: metric.mode for metric in metrics_of(self.task)}
        engine.check_precision(self._knobs)
        self.data = cache.open(self.task, Path(order.data_root), group.device)
        self._data_facts = self.task.facts(self.data)
        self._layout = memory.cut(self._knobs, group.size, order.halvings)
        self._size = max(self._layout.micro_batch_size, 1 if order.halvings else 8)  # without gradients
        self._plan = Plan.lay(self.task.stages(), order.total_samples)
        self._plan.check_steps(self._knobs.batch_size)
        self._loop = Loop(self.task, self.data, group, self._plan, self._layout)
        self._timings = {"prepare_s": 0.0}
        self._memory = PeakMemory(group.device)
        self.last: Report | None = None
        self._resume_or_begin()
        self._timings["prepare_s"] = time.perf_counter() - began

    def _resume_or_begin(self) -> None:
        start, self._notes = _checkpoint_of(self.order, self._own, self._group)
        found = start.folder
        model = self._build()
        memory.require_halves(self._layout, self.order.halvings, model, self._plan.stages)
        if found is not None:
            checkpoint.require_loadable(found, self._knobs.zero_stage, self._group)
            state = TrainingState.read(found)
            self.last = replace(state.report, timings={})  # those of another process, which it has reported
            self._loop.stage, self._loop.samples = state.stage, state.report.samples_seen
            given = state.report.provenance.get(GIVEN)
        else:
            initial = self.task.initial_weights(self.data) if isinstance(self.task, GivesWeights) else {}
            load_initial(model, initial)
            given = sha256_of(initial) if initial else None
            load_starting_points(model, self.order.starting_points, self.task.starting_weights())
        self._milestones = Milestones.of(self.last)
        self._module = self._wrap(model)
        self.num_parameters = sum(parameter.numel() for parameter in model.parameters())
        self._provenance = _machine(self.num_parameters, self._group, self._layout) | _identity(
            self.order, self.task, self.data
        )
        if given is not None:
            self._provenance[GIVEN] = given
        if self.last is None and self.order.baselines:
            self._record_baselines()
        self._engine = self._start_stage()
        if found is not None:
            checkpoint.load(self._engine, found, self._group)
        self._compute_features()
        self._earlier = found.parent if found is not None and found.parent != self._own else None

    @property
    def _own(self) -> Path:
        return Path(self.order.directory) / self.order.trial

    def _build(self) -> torch.nn.Module:
        """Builds the model, with the same random numbers on all ranks and in every stage."""
        torch.manual_seed(self.task.config.seed)
        return self.task.build(self._data_facts).to(self._group.device)

    def _wrap(self, model: torch.nn.Module) -> engine.TaskModule:
        return engine.TaskModule(self.task, model, self._stage.loss)

    def obstacle(self) -> str:
        """Returns why micro-batches cannot be halved without another result; empty if they can."""
        return memory.obstacle(self._layout, self._module.model, self._plan.stages)

    @property
    def _stage(self) -> Stage:
        return self._plan.stages[self._loop.stage]

    def _start_stage(self) -> Any:
        return engine.start(self._module, self._stage, self._knobs, self._layout)

    def advance(self, reached: int = 0) -> Report:
        """Trains to the next evaluation after ``reached`` and evaluates.

        Args:
            reached: Samples of the last report that the caller holds. If a later one was lost on its way, it is
                returned again instead of trained again.

        Raises:
            NonFiniteError: The loss or a metric is not finite; on all ranks alike.
            UndefinedError: The objective has no value; on all ranks alike.
            TrialError: The family's code raises.
        """
        with blaming(self.order.family):
            return self._advance(reached)

    def _advance(self, reached: int) -> Report:
        notes, self._notes = self._notes, ()
        if self.last is not None and self.last.samples > reached:
            return replace(
                self.last, provenance=self._provenance, documents=_documents(self._engine), notes=notes
            )
        due = next(samples for samples in self.order.evaluations if samples > reached)
        began = time.perf_counter()
        curve = self._train_until(due)
        trained = time.perf_counter()
        metrics = self._evaluate(self._keeper(self.order.trial, due))
        _require_objective(self.order.metric, metrics, self._loop.samples)
        evaluated = time.perf_counter()
        peak = self._group.largest(self._memory.mib() or 0.0)
        timings = self._timings | {"train_s": trained - began, "evaluate_s": evaluated - trained}
        self.last = Report(
            samples=due,
            samples_seen=self._loop.samples,
            value=metrics[self.order.metric],
            metrics=metrics,
            curve=curve,
            timings=timings,
            costs=_costs(self.num_parameters, self._loop.trained, self.data.num_samples("train"), peak),
            provenance=self._provenance,
            done=due == self.order.total_samples,
            stages=dict(self._milestones.metrics),
        )
        if self.order.checkpoints:
            self._save()
        self._timings = {}
        return replace(self.last, documents=_documents(self._engine), notes=notes)

    def _save(self) -> None:
        assert self.last is not None
        began = time.perf_counter()
        folder = self._own / checkpoint_name(self.last.samples)
        self.last = replace(self.last, checkpoint=str(folder))
        state = TrainingState(
            self.last, self.order.config, self.order.family, self._loop.stage, self.order.study
        )
        checkpoint.save(self._engine, folder, state, self._group, self._milestones)
        if self._group.rank == 0:
            mode = self._modes[self.order.metric]
            checkpoint.tidy(folder, mode, self.order.keep_last, self._earlier, self.order.home)
        self._earlier = None
        timings = {**self.last.timings, "checkpoint_s": time.perf_counter() - began}
        self.last = replace(self.last, timings=timings)

    def _train_until(self, due: int) -> tuple[tuple[int, dict[str, float]], ...]:
        loop = self._loop
        curve = Curve(due, max((due - loop.samples) // self.order.num_curve_points, 1), loop.samples)
        engine.train_mode(self._module.model, self._stage)
        while loop.samples < due:
            self._enter_stage(curve)
            loop.run(self._engine, due, curve)
        loop.settle()
        return curve.points()

    def _enter_stage(self, curve: Curve) -> None:
        """Builds the model anew for the stage that trains now, with the weights of the one before; or goes on."""
        number = self._plan.index(self._loop.samples)
        if number == self._loop.stage:
            return
        self._loop.settle()
        metrics, weights = self._metrics_here(), engine.full_weights(self._engine)
        curve.end_stage(self._loop.samples, self._stage.name, metrics)
        self._milestones.reach(self._plan, self._loop.stage, metrics, weights)
        engine.release(self._engine)
        model = self._build()
        model.load_state_dict(weights)
        self._loop.stage = number
        self._module = self._wrap(model)
        self._engine = self._start_stage()
        self._compute_features()
        engine.train_mode(self._module.model, self._stage)

    def _compute_features(self) -> None:
        """Computes what the loss of the present stage reads of its frozen part."""
        if (wanted := self._stage.features) is not None:
            features.compute(wanted, self._engine, self._module.model, self.data, self._group, self._size)

    def _metrics_here(self) -> dict[str, float]:
        """Returns the metrics of the model as it is: those of the last report if no step was taken since."""
        last = self.last
        if last is not None and last.samples_seen == self._loop.samples:
            return dict(last.metrics)
        return self._evaluate()

    def _evaluate(self, keep: Keep | None = None) -> dict[str, float]:
        self._engine.eval()
        # What is saved after it is what was evaluated.
        buffers.unite(self._module, self._group, self._layout.share(self._group.rank))
        return self._evaluate_with(lambda batch: self._engine(batch, None), keep=keep)

    def _evaluate_with(
        self, predict: Predict, *, is_baseline: bool = False, keep: Keep | None = None
    ) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for split in self.task.evaluated_splits():
            found = evaluate_split(
                self.task,
                self.data,
                predict,
                self._group,
                split=split,
                batch_size=self._size,
                max_samples=self.data.num_samples("val") if split == "train" else None,
                is_baseline=is_baseline,
                keep=keep if split == "val" else None,
            )
            metrics |= {_metric_name(split, name): value for name, value in found.items()}
        return metrics

    def _keeper(self, name: str, samples: int) -> Keep | None:
        """Returns what writes the sums by unit of an evaluation; one worker writes."""
        file, protocol = StudyFolder(self.order.home).unit_sums(name), self._provenance["protocol_hash"]
        keep = partial(unit_sums.keep, file, samples=samples, protocol=protocol)
        return keep if self._group.rank == 0 else None

    def _record_baselines(self) -> None:
        directory = Path(self.order.directory)
        # All ranks decide on what rank 0 sees, for they evaluate together.
        if not self._group.all_agree(self._group.rank != 0 or baselines.read(directory) is None):
            return
        has_learnt = self.order.starting_points or GIVEN in self._provenance
        start = "before_training" if has_learnt else "untrained"
        predictors = {start: self._module.model.eval(), **self.task.baselines(self.data)}
        found = {
            name: self._evaluate_with(
                partial(self.task.predict, predictor.to(self._group.device)),
                is_baseline=name != start,
                keep=self._keeper(baseline_name(name), 0),
            )
            for name, predictor in predictors.items()
        }
        if self._group.rank == 0:
            baselines.write_once(directory, found)

    def close(self) -> None:
        """Frees the trial's memory; the data stay open for the next."""
        self._loop.close()
        engine.release(self._engine)
        del self._engine, self._module


def _metric_name(split: SplitName, name: str) -> str:
    return name if split == "val" else f"{split}_{name}"


def _documents(started: Any) -> dict[str, str]:
    return {"deepspeed.json": engine.given(started)}


def _require_objective(metric: str, metrics: Mapping[str, float], samples: int) -> None:
    """Refuses an evaluation without the objective; metrics that are not finite are left out of one."""
    if metric in metrics:
        return
    if metrics:
        raise UndefinedError(
            f"{metric}, the objective, must have a value for every model, got none after {samples} samples, where "
            f"{counted(len(metrics), 'other metric')} have one: a ratio is undefined where it counts nothing, such as "
            "false alarms of a model that warns of nothing; search by another metric"
        )
    raise NonFiniteError(f"{metric} must be finite, got another value after {samples} samples; lower lr")


def _checkpoint_of(order: TrialOrder, own: Path, group: ProcessGroup) -> tuple[Found, tuple[str, ...]]:
    """Finds the checkpoint to resume from: undamaged, of this configuration and of this study; and what to tell."""
    found = Found()
    if group.rank == 0:
        checkpoint.clear(own, order.home)
        places = {own: {order.study}}
        if order.resumes:
            # The interrupted trial may have written a newer checkpoint, and deleted this one, unheard.
            places.setdefault(Path(order.resumes).parent, {order.study, FROM_BEFORE})
        found = newest_whole(places, order.config)
        if found.folder is None and order.inherits is not None and order.resumes:
            found = newest_whole({Path(order.resumes).parent: {order.study, FROM_BEFORE}}, order.inherits)
    found = group.same(found)
    if found.folder is None and order.inherits is not None:
        raise LostCheckpoint(
            "a trial that continues another one must find its checkpoint, got none that is whole in "
            f"{Path(order.resumes or '').parent}{_reasons(found)}; put it back, or begin a new study"
        )
    where = f"after {found.samples:,} samples" if found.folder else "from the start"
    return found, tuple(
        f"{order.trial}: {reason}; it goes on {where}"
        for folder, reason in found.skipped.items()
        if folder.parent == own  # the study has reported those of another trial
    )


def _reasons(found: Found) -> str:
    return f" ({'; '.join(found.skipped.values())})" if found.skipped else ""


def _costs(
    num_parameters: int, trained: tuple[int, float], num_train: int, peak_mib: float
) -> dict[str, float]:
    """Returns what a trial takes: parameters, seconds of steps per pass over the split, peak memory.

    Time and memory are those of this process: a trial that was continued counts from there on.
    """
    samples, seconds = trained
    costs = {"num_parameters": float(num_parameters), "epoch_s": seconds / max(samples, 1) * num_train}
    return costs | {"peak_memory_mib": peak_mib} if peak_mib else costs


def _machine(num_parameters: int, group: ProcessGroup, layout: Layout) -> dict[str, Any]:
    return {
        "num_parameters": num_parameters,
        "world_size": group.size,
        "micro_batch_size": layout.micro_batch_size,
        "accumulation": layout.accumulation,
        "device": device_name(group.device),
        "num_threads": torch.get_num_threads(),
        **software(),
    }


def _identity(order: TrialOrder, task: Task[Any, Any], data: Data) -> dict[str, Any]:
    """Returns what makes trials comparable, and the process that the trial runs in."""
    return {
        "protocol_hash": protocol_hash(order.family, task, data),
        "data_fingerprint": data.fingerprint,
        "fp32_precision": FP32_PRECISION,
        "host": socket.gethostname(),
        "process": os.getpid(),
    }


def device_name(device: torch.device) -> str:
    """Returns the name of a device for people."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
