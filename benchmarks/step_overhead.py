"""What a training step costs beside a bare PyTorch loop of the same mathematics.

The preset `tiny` of `water_mae` has 121,300 parameters, and a step 4 samples, so that little of it is arithmetic and
all bookkeeping shows. Three arms train the same weights on the same batches in one process, in fp32 and in bf16, a step
in one micro-batch and in four:

  bare       torch alone: forward and backward pass, clipping, fused AdamW, in bf16 with master weights in fp32
  deepspeed  an engine with the settings of a trial, called as DeepSpeed's documentation shows
  thalweg    the loop of a trial, with prefetch, seeds, schedule, checks of each loss, and a curve

Losses and norms of gradients of the first steps must agree before any time is read. Each arm samples its batches, the
same ones, by the family's own function. A trial prefetches them in a thread, which hides that from the clock, but not
from the processor; its seconds are told beside the clock's, with and without those of sampling. The arms take turns,
round after round. Told are medians over rounds, of ratios too.

Run alone on a machine:  python benchmarks/step_overhead.py [--quick] [--json FILE]
"""

import argparse
import statistics
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.figures import Figures, tell
from thalweg import discovery
from thalweg.config import Precision
from thalweg.stage_contract import Loss
from thalweg.training.engine import engine, half_precision
from thalweg.training.engine.deepspeed_config import deepspeed_config
from thalweg.training.engine.quiet_deepspeed import deepspeed
from thalweg.training.loop import Loop
from thalweg.training.process_group import join
from thalweg.training.sampling import Layout, SampleStream
from thalweg.training.schedule import Plan, lr_factor
from thalweg.training.telemetry import Curve
from trainables.water_mae.data.layout import Period
from trainables.water_mae.worlds import synthetic

FAMILY, BATCH, BUDGET = "trainables.water_mae", 4, 200_000
KINDS: tuple[tuple[Precision, int], ...] = (("fp32", 1), ("bf16", 1), ("fp32", 4), ("bf16", 4))
CHECKED, AGREEMENT = 5, 1e-5
STEPS, ROUNDS = 20, 15
QUICK_STEPS, QUICK_ROUNDS = 5, 3
GOAL = "at most 1.15"
ISLAND = replace(
    synthetic.TINY,
    train=Period(np.datetime64("2001-01-01"), np.datetime64("2001-12-31")),
    val=Period(np.datetime64("2002-01-01"), np.datetime64("2002-03-31")),
    test=None,
)

Norms = list[tuple[float, float]]


class Arm(ABC):
    """Weights, batches and settings that all arms have in common.

    Args:
        root: Folder with the data.
        precision: Number format.
        accumulation: Micro-batches of a step.

    Attributes:
        samples: Samples seen.
    """

    def __init__(self, root: Path, precision: Precision, accumulation: int) -> None:
        family = discovery.load_family(FAMILY)
        knobs = {"batch_size": BATCH, "micro_batch_size": BATCH // accumulation, "precision": precision}
        self.config = family.presets["tiny"].vary(optimization=knobs)
        self.knobs = self.config.optimization
        self.task = family.task(self.config)
        self.data = self.task.open(root)
        self.plan = Plan.lay(self.task.stages(), BUDGET)
        self.stage = self.plan.stages[0]
        self.layout = Layout.of(BATCH, self.knobs.micro_batch_size, 1)
        torch.manual_seed(self.config.seed)
        self.model: nn.Module = self.task.build(self.task.facts(self.data))
        self.samples = 0
        self._stream = SampleStream(self.data.num_samples("train"), self.config.seed)

    @abstractmethod
    def steps(self, count: int) -> Norms:
        """Takes steps; returns the loss and the gradient's norm of each where they are known."""

    def batches(self) -> list[Any]:
        """Samples the micro-batches of a step."""
        positions = self.layout.positions(self.samples, 0)
        drawn = [self._stream.take(place.start, len(place)) for place in positions]
        return [self.task.training_batch(self.data, *which) for which in drawn]

    def rate(self) -> float:
        """Returns the learning rate of the present step."""
        return self.knobs.lr * lr_factor(self.knobs, (self.samples + BATCH) / BUDGET)

    def losses(self, batches: list[Any], forward: Callable[..., Mapping[str, Tensor]]) -> Any:
        """Yields the loss of each micro-batch, whose sum is the mean over the batch of each part."""
        loss, progress = self.stage.loss, self.plan.progress(self.samples)
        assert isinstance(loss, Loss)
        counts = [loss.counts(batch, progress) for batch in batches]
        weights = loss.weights(progress)
        factors = {name: weights[name] / sum(count[name] for count in counts) for name in counts[0]}
        for batch in batches:
            parts = forward(batch, progress)
            yield torch.stack([parts[name] * factor for name, factor in factors.items()]).sum()


class StepByStep(Arm):
    """An arm that takes its steps one by one."""

    def steps(self, count: int) -> Norms:
        """Takes steps; returns the loss and the gradient's norm of each."""
        found = [self.step() for _ in range(count)]
        return [(float(loss), float(norm)) for loss, norm in found]

    @abstractmethod
    def step(self) -> tuple[Tensor, Tensor | float]:
        """Takes a step; returns its loss and its gradient's norm."""


class Bare(StepByStep):
    """A loop of torch alone."""

    def __init__(self, root: Path, precision: Precision, accumulation: int) -> None:
        super().__init__(root, precision, accumulation)
        self.model.train()
        self.weights = self.masters = list(self.model.parameters())
        if precision != "fp32":
            half_precision.fit(self.model, precision)
            for weight in self.weights:
                weight.data = weight.data.to(half_precision.DTYPES[precision])
            self.masters = [nn.Parameter(weight.detach().float()) for weight in self.weights]
        knobs = self.knobs
        self.optimizer = torch.optim.AdamW(
            self.masters,
            lr=knobs.lr,
            betas=(knobs.beta1, knobs.beta2),
            eps=knobs.eps,
            weight_decay=knobs.weight_decay,
            fused=True,
        )

    def step(self) -> tuple[Tensor, Tensor | float]:
        """Takes a step."""
        loss = self.stage.loss
        assert isinstance(loss, Loss)
        self.optimizer.param_groups[0]["lr"] = self.rate()
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros(())
        for value in self.losses(self.batches(), lambda *given: loss.parts(self.model, *given)):
            value.backward()
            total += value.detach()
            self._widen()
        norm = nn.utils.clip_grad_norm_(self.masters, self.knobs.clip_norm)
        self.optimizer.step()
        if self.masters is not self.weights:
            with torch.no_grad():
                torch._foreach_copy_(self.weights, self.masters)  # type: ignore[arg-type]
        self.samples += BATCH
        return total, norm

    def _widen(self) -> None:
        """Adds gradients in half precision to those of the masters."""
        if self.masters is self.weights:
            return
        for weight, master in zip(self.weights, self.masters, strict=True):
            assert weight.grad is not None
            if master.grad is None:
                master.grad = weight.grad.float()
            else:
                master.grad += weight.grad
            weight.grad = None


class Plain(StepByStep):
    """An engine of DeepSpeed as its documentation calls it."""

    def __init__(self, root: Path, precision: Precision, accumulation: int) -> None:
        super().__init__(root, precision, accumulation)
        module = engine.TaskModule(self.task, self.model.train(), self.stage.loss)
        half_precision.fit(self.model, precision)
        self.engine, *_ = deepspeed.initialize(
            model=module,
            model_parameters=list(module.parameters()),
            config=deepspeed_config(self.knobs, self.layout),
            dist_init_required=False,
        )

    def step(self) -> tuple[Tensor, Tensor | float]:
        """Takes a step."""
        self.engine.optimizer.param_groups[0]["lr"] = self.rate()
        total = torch.zeros(())
        for value in self.losses(self.batches(), self.engine):
            self.engine.backward(value, scale_wrt_gas=False)
            self.engine.step()
            total += value.detach()
        self.samples += BATCH
        return total, self.engine.get_global_grad_norm()


class Ours(Arm):
    """The loop of a trial."""

    def __init__(self, root: Path, precision: Precision, accumulation: int) -> None:
        super().__init__(root, precision, accumulation)
        module = engine.TaskModule(self.task, self.model, self.stage.loss)
        self.engine = engine.start(module, self.stage, self.knobs, self.layout)
        engine.train_mode(self.model, self.stage)
        self.loop = Loop(self.task, self.data, join(), self.plan, self.layout)

    def steps(self, count: int) -> Norms:
        """Takes steps, with a point of the curve for each of the first ones, and then for every tenth."""
        due = self.loop.samples + count * BATCH
        spacing = BATCH if count <= CHECKED else 10 * BATCH
        curve = Curve(due, spacing, self.loop.samples)
        self.loop.run(self.engine, due, curve)
        self.loop.settle()
        return [(point["loss/weighted"], point["grad_norm"]) for _, point in curve.points()]


ARMS: dict[str, Callable[..., Arm]] = {"bare": Bare, "deepspeed": Plain, "thalweg": Ours}


def timed(act: Callable[[], Any], count: int) -> tuple[float, float]:
    """Returns seconds of the processor and of the clock for one of so many."""
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    return (time.process_time() - cpu) / count, (time.perf_counter() - wall) / count


def differences(found: Mapping[str, Norms]) -> dict[str, float]:
    """Returns how far the arms are from the bare loop: losses and norms, the largest over steps, relative."""
    bare = np.array(found["bare"])
    apart = {name: np.abs(np.array(steps) / bare - 1).max(axis=0) for name, steps in found.items()}
    return {
        what: max(float(rows[place]) for rows in apart.values())
        for place, what in enumerate(("losses", "norms of gradients"))
    }


def measure(figures: Figures, root: Path, kind: tuple[Precision, int], steps: int, rounds: int) -> None:
    """Checks that the arms agree, lets them take turns, and adds their figures."""
    arms = {name: arm(root, *kind) for name, arm in ARMS.items()}
    name = f"{kind[0]}, {kind[1]} micro-batch{'es' if kind[1] > 1 else ''}"
    apart = differences({arm: started.steps(CHECKED) for arm, started in arms.items()})
    figures.add_check({f"{name}: {what}": value for what, value in apart.items()}, AGREEMENT)
    turns: dict[str, list[tuple[float, float]]] = {arm: [] for arm in (*arms, "sampling")}
    for number in range(rounds + 1):  # the first one warms up
        for arm, started in arms.items():
            turns[arm].append(timed(lambda arm=started: arm.steps(steps), steps))  # type: ignore[misc]
        turns["sampling"].append(timed(lambda: [arms["bare"].batches() for _ in range(steps)], steps))
        if not number:
            turns = {arm: [] for arm in turns}
    add_figures(figures, name, turns)


def add_figures(figures: Figures, name: str, turns: Mapping[str, list[tuple[float, float]]]) -> None:
    """Adds times, and their ratios to those of the bare loop."""
    for arm, taken in turns.items():
        for place, clock in enumerate(("processor", "wall")):
            figures.add(f"{name}: {arm}, {clock} time", [1e3 * turn[place] for turn in taken], "ms")
    for arm in ("deepspeed", "thalweg"):
        goal = GOAL if arm == "thalweg" else ""
        pairs = list(zip(turns[arm], turns["bare"], strict=True))
        for place, clock in enumerate(("processor", "wall")):
            ratios = [one[place] / bare[place] for one, bare in pairs]
            figures.add(f"{name}: {arm} / bare, {clock} time", ratios, "1", goal)
        sampling = statistics.median(turn[0] for turn in turns["sampling"])
        ratios = [(one[0] - sampling) / (bare[0] - sampling) for one, bare in pairs]
        figures.add(f"{name}: {arm} / bare, processor time without sampling", ratios, "1", goal)


def main() -> None:
    """Measures all kinds of steps and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds of {QUICK_STEPS} steps")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    steps, rounds = (QUICK_STEPS, QUICK_ROUNDS) if args.quick else (STEPS, ROUNDS)
    torch.set_num_threads(1)
    join()
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        synthetic.write_island(ISLAND, Path(folder) / "tiny")
        for kind in KINDS:
            measure(figures, Path(folder), kind, steps, rounds)
    tell(figures.rows, args.json, steps=steps, rounds=rounds)


if __name__ == "__main__":
    main()
