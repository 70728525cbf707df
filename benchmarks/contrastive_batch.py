"""One step of a contrastive batch, plainly and Thalweg's way: peak memory and time, side by side.

Every arm takes whole optimizer steps of contrastive pre-training of the family rgb_lidar (image, scan, two embedders,
temperature, symmetric InfoNCE, AdamW) on the same scenes. Loss and gradients are compared first, with those in fp64.

  plain    all N scenes in one forward pass; N x N logits; cross-entropy of rows and columns; plain torch
  thalweg  the platform's step: micro-batches drawn when needed, cached gradients, the loss in tiles, DeepSpeed
  whole    the same in one micro-batch, which is what a trial does unless it asks for smaller ones: nothing is embedded
           twice, and memory is the plain arm's without its logits
  control  plain torch adds up gradients over the same micro-batches, without a loss that joins them: the lower limit

Each arm and N has a process of its own, and the arms take turns, round after round. Memory is how far the process
rises above its level before it holds any scene, at the highest point of two steps; time is that of the second.
The plain arm gets its scenes before the clock starts, the others draw theirs within the step.

The GNU C library gives large blocks back to the system when they are freed, and each step pays for new pages. Whoever
knows can forbid it (``MALLOC_MMAP_THRESHOLD_`` and ``MALLOC_TRIM_THRESHOLD_``): the arms ``plain_kept``,
``thalweg_kept`` and ``whole_kept`` tell what that changes.

One thread per arm. Run alone on the machine:  python benchmarks/contrastive_batch.py [--quick] [--json FILE]
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.figures import tell

if TYPE_CHECKING:
    from torch import Tensor, nn

    from thalweg.contract import Batch
    from thalweg.stage_contract import JointLoss
    from trainables.rgb_lidar.scene_task import SceneTask

ROOT = Path(__file__).resolve().parent.parent
ARMS = ("plain", "thalweg", "whole", "control", "plain_kept", "thalweg_kept", "whole_kept")
SIZES = (1024, 2048, 4096, 8192, 12288)
MODELS = {"tiny": SIZES, "published": (1024, 2048, SIZES[-1])}
MICRO = {"tiny": 64, "published": 32}
CHECKED = 512
_LOGITS = 6  # tensors of N x N that cross-entropy of rows and columns holds at once
_FREE_SHARE = 0.75  # of the free memory that the plain arm may take
WORLD = "tiny"
_MIB = 2**20


@dataclass
class Step:
    """What an arm took for a step.

    Attributes:
        wall_s: Seconds.
        cpu_s: Processor seconds.
        peak_mib: Peak memory above the level before.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


class Scene:
    """Model, task and scenes of one process, the same in every arm.

    Args:
        model: Name in `MODELS`.
        folder: Holds the data set.
    """

    def __init__(self, model: str, folder: Path) -> None:
        import torch

        from thalweg.training.sampling import SampleStream
        from trainables.rgb_lidar.task import task_for

        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.task: SceneTask = task_for(configuration(model))
        self.data = self.task.open(folder)
        self.network: nn.Module = self.task.build(self.task.facts(self.data))
        self.progress = _progress(self.task)
        self._stream = SampleStream(self.data.num_samples("train"), 0)

    def draw(self, start: int, count: int) -> "Batch":
        """Returns training scenes."""
        return self.task.training_batch(self.data, *self._stream.take(start, count))

    @property
    def loss(self) -> "JointLoss":
        """The loss of the first stage."""
        from thalweg.stage_contract import JointLoss

        loss = self.task.stages()[0].loss
        assert isinstance(loss, JointLoss)
        return loss

    def embed(self, batch: "Batch") -> "Mapping[str, Tensor]":
        """Returns the embeddings of scenes."""
        return self.loss.embed(self.network, batch, self.progress).embeddings

    def whole(self, count: int) -> "Batch":
        """Returns many scenes, with no more memory on the way than they take."""
        import torch

        first = self.draw(0, 1)
        batch = {name: torch.empty(count, *values.shape[1:]) for name, values in first.items()}
        for start in range(0, count, 64):
            for name, values in self.draw(start, min(64, count - start)).items():
                batch[name][start : start + len(values)] = values
        return batch


def configuration(model: str) -> Any:
    """Returns contrastive pre-training alone, of the first published embedders or of tiny ones without pools."""
    from trainables.rgb_lidar.chain.knobs import ChainKnobs
    from trainables.rgb_lidar.config import PRESETS

    preset = PRESETS[{"published": "first_chain", "tiny": "tiny_chain"}[model]]
    assert isinstance(preset.model, ChainKnobs)
    embedder = preset.model.embedder
    if model == "tiny":
        embedder = embedder.model_copy(update={"downsampling": "strided_replace"})
    chain = preset.model.model_copy(update={"stages": ("cilp",), "embedder": embedder})
    return preset.model_copy(update={"model": chain, "dataset": WORLD})


def _progress(task: "SceneTask") -> Any:
    from thalweg.stage_contract import Progress

    return Progress(samples=0, total_samples=SIZES[-1], stage=task.stages()[0].name, stage_ratio=0.0)


def plain_loss(scene: Scene, batch: "Batch") -> "Tensor":
    """Computes the mean loss with all logits at once."""
    import torch
    from torch.nn import functional

    embeddings = scene.embed(batch)
    logits = embeddings["rgb"] @ embeddings["lidar"].T
    right = torch.arange(len(logits))
    return (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)) / 2


def _optimizer(scene: Scene) -> Any:
    import torch

    knobs = scene.task.config.optimization
    adam = torch.optim.AdamW(scene.network.parameters(), lr=knobs.lr, weight_decay=knobs.weight_decay)
    for parameter in scene.network.parameters():  # moments, as DeepSpeed makes them before the first step
        parameter.grad = torch.zeros_like(parameter)
    adam.step()
    adam.zero_grad()
    return adam


def plain(scene: Scene, count: int, micro: int) -> Iterator[None]:
    """Takes steps on the whole batch at once."""
    adam = _optimizer(scene)
    yield
    batch = scene.whole(count)
    while True:
        yield
        adam.zero_grad()
        plain_loss(scene, batch).backward()  # type: ignore[no-untyped-call]
        adam.step()


def control(scene: Scene, count: int, micro: int) -> Iterator[None]:
    """Takes steps on sums over micro-batches."""
    adam = _optimizer(scene)
    yield
    while True:
        yield
        adam.zero_grad()
        for start in range(0, count, micro):
            found = scene.embed(scene.draw(start, micro))
            (found["rgb"] * found["lidar"]).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()


def thalweg(scene: Scene, count: int, micro: int) -> Iterator[None]:
    """Takes steps as a trial does."""
    engine, backward = joint_step(scene, count, micro)
    yield
    while True:
        yield
        backward()
        engine.step()


def joint_step(scene: Scene, count: int, micro: int) -> tuple[Any, Callable[[], Mapping[str, float]]]:
    """Returns the engine of a joint stage, and what accumulates one batch's gradient in it and returns the losses."""
    from thalweg.training import gradcache
    from thalweg.training.engine.engine import TaskModule, start, train_mode
    from thalweg.training.process_group import join
    from thalweg.training.sampling import Layout

    world, task = join(), scene.task
    layout = Layout.of(count, micro, 1)
    module = TaskModule(task, scene.network, scene.loss)
    engine = start(module, task.stages()[0], task.config.optimization, layout)
    train_mode(module.model, task.stages()[0])
    positions = layout.positions(0, 0)
    batches = gradcache.MicroBatches(
        count=len(positions),
        sample=lambda number: scene.draw(positions[number].start, len(positions[number])),
        seed=world.seed,
        executor=ThreadPoolExecutor(1),
    )

    def backward() -> Mapping[str, float]:
        sums, counts = gradcache.backward(engine, scene.loss, world, batches, scene.progress)
        return {name: float(sums[name]) / float(counts[name]) for name in sums}

    return engine, backward


def measure(arm: str, scene: Scene, count: int, micro: int) -> Step:
    """Takes two steps: peak memory of both, time of the second."""
    import torch

    from thalweg.training.telemetry import PeakMemory

    arms = {"plain": plain, "thalweg": thalweg, "whole": thalweg, "control": control}
    kind = arm.removesuffix("_kept")
    steps = arms[kind](scene, count, count if kind == "whole" else micro)
    next(steps)  # built, but nothing drawn
    memory = PeakMemory(torch.device("cpu"))
    next(steps)  # ready
    next(steps)
    wall, cpu = time.perf_counter(), time.process_time()
    next(steps)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = memory.mib()
    if peak is None:
        sys.exit("peak memory needs a system that lets a process reset it, see clear_refs in proc(5)")
    return Step(wall, cpu, peak)


def check(scene: Scene, micro: int) -> Mapping[str, float]:
    """Compares loss and gradients of a batch with those of the plain way, in fp32 and in fp64."""
    import copy

    import torch
    from deepspeed.utils import safe_get_full_grad

    batch, network = scene.whole(CHECKED), scene.network
    found: dict[str, tuple[float, dict[str, Tensor]]] = {}
    for name, dtype in (("fp64", torch.float64), ("plain", torch.float32)):
        scene.network = copy.deepcopy(network).to(dtype)
        loss = plain_loss(scene, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        slopes = {
            key: value.grad for key, value in scene.network.named_parameters() if value.grad is not None
        }
        found[name] = loss.item(), slopes
    scene.network = network
    _, backward = joint_step(scene, CHECKED, micro)
    (loss_value,) = backward().values()
    found["thalweg"] = loss_value, {name: safe_get_full_grad(p) for name, p in network.named_parameters()}
    return {
        f"{arm} {name}": value
        for arm in ("plain", "thalweg")
        for name, value in zip(("loss", "gradient"), _errors(found[arm], found["fp64"]), strict=True)
    }


def _errors(found: tuple[float, Any], right: tuple[float, Any]) -> tuple[float, float]:
    """Returns the relative errors of a loss and of the whole gradient."""
    assert set(found[1]) == set(right[1])
    squares = [
        (float((found[1][name] - slope).square().sum()), float(slope.square().sum()))
        for name, slope in right[1].items()
    ]
    wrong, whole = (math.sqrt(sum(column)) for column in zip(*squares, strict=True))
    return abs(found[0] / right[0] - 1), wrong / whole


def session(arm: str, model: str, count: int, folder: Path) -> Any:
    """Runs one arm in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if arm.endswith("_kept"):
        environment |= dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(2**40))
    call = {"--arm": arm, "--model": model, "--count": count, "--micro": MICRO[model]}
    options = [str(part) for pair in call.items() for part in pair]
    command = [sys.executable, __file__, *options, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{arm} failed at {count} scenes with {done.returncode}:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run_arm(arm: str, scene: Scene, count: int, micro: int) -> Mapping[str, Any]:
    """Runs one arm in this process."""
    return check(scene, micro) if arm == "check" else asdict(measure(arm, scene, count, micro))


def make_scenes(folder: Path) -> None:
    """Writes the synthetic world that all arms read; a batch larger than it holds scenes more than once."""
    from trainables.rgb_lidar.datasets import WORLDS

    (folder / WORLD).mkdir()
    WORLDS[WORLD].make(folder / WORLD)


def expected_mib(count: int, peaks: Mapping[int, float]) -> float:
    """Returns what the plain arm will need, from what it took for fewer scenes; 0 where nothing is known yet."""
    if not peaks:
        return 0.0
    largest = max(peaks)
    return peaks[largest] * count / largest + _LOGITS * 4 * count * (count - largest) / _MIB


class Figures:
    """Medians over rounds with their goals, in the order in which they are added."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str, value: float, unit: str, limit: float | None = None) -> None:
        """Adds a figure; a goal is a limit from above."""
        goal = "" if limit is None else f"at most {limit:g}"
        met = None if limit is None else value <= limit
        self.rows.append({"name": name, "value": round(value, 9), "unit": unit, "goal": goal, "met": met})

    def add_check(self, model: str, errors: Mapping[str, float]) -> None:
        """Adds the errors of loss and gradient; stops unless they are rounding, which is what the plain way errs."""
        for quantity in ("loss", "gradient"):
            plain, ours = errors[f"plain {quantity}"], errors[f"thalweg {quantity}"]
            if not ours <= 2 * plain + 1e-6:
                sys.exit(f"{model}: the {quantity} is wrong by {ours:.2g}, in the plain way by {plain:.2g}")
            for arm, value in (("plain", plain), ("thalweg", ours)):
                self.add(f"{model}, {CHECKED} scenes: relative error of the {quantity}, {arm}", value, "1")

    def add_size(self, model: str, count: int, steps: Mapping[str, list[Step]]) -> None:
        """Adds what the arms took for one size of the batch, and how they compare round by round."""
        label = f"{model}, {count:,} scenes"

        def ratio(quantity: str, arm: str, other: str) -> float:
            pairs = zip(steps[arm], steps[other], strict=True)
            ratios = [float(getattr(ours, quantity) / getattr(rival, quantity)) for ours, rival in pairs]
            return statistics.median(ratios)

        for arm in steps:
            self.add(f"{label}: peak memory, {arm}", _median(steps[arm], "peak_mib"), "MiB")
            self.add(f"{label}: time of a step, {arm}", _median(steps[arm], "wall_s"), "s")
            self.add(f"{label}: processor time of a step, {arm}", _median(steps[arm], "cpu_s"), "s")
        goals = {"thalweg": 1.1, "whole": 1.1, "thalweg_kept": None, "whole_kept": 1.1}
        for arm, limit in goals.items():
            suffix = arm.removeprefix("thalweg").removeprefix("whole")
            other = f"plain{suffix}"
            if other in steps:
                self.add(f"{label}: time, {arm} / {other}", ratio("wall_s", arm, other), "1", limit)
                self.add(f"{label}: processor time, {arm} / {other}", ratio("cpu_s", arm, other), "1")
                memory_limit = 0.15 if count == SIZES[-1] and arm == "thalweg" else None
                self.add(
                    f"{label}: memory, {arm} / {other}", ratio("peak_mib", arm, other), "1", memory_limit
                )


def _median(steps: Sequence[Step], quantity: str) -> float:
    return float(statistics.median(getattr(step, quantity) for step in steps))


def measure_model(model: str, sizes: Sequence[int], rounds: int, folder: Path, figures: Figures) -> None:
    """Compares the arms at growing batches; where the plain one does not fit, the others go on without it."""
    figures.add_check(model, session("check", model, CHECKED, folder))
    peaks: dict[str, dict[int, float]] = {arm: {} for arm in ARMS}
    for count in sizes:
        needs = {arm: expected_mib(count, peaks[arm]) for arm in ARMS if arm.startswith("plain")}
        free = psutil.virtual_memory().available / _MIB
        fits = [arm for arm in ARMS if needs.get(arm, 0.0) <= _FREE_SHARE * free]
        arms = fits if "plain" in fits else ["thalweg"]
        steps: dict[str, list[Step]] = {arm: [] for arm in arms}
        for number in range(rounds):
            for arm in arms:
                step = Step(**session(arm, model, count, folder))
                steps[arm].append(step)
                told = f"{step.wall_s:.2f} s, {step.cpu_s:.2f} s of processor, {step.peak_mib:,.0f} MiB"
                print(f"round {number + 1}: {model}, {count:,} scenes, {arm}: {told}", file=sys.stderr)
        for arm in arms:
            peaks[arm][count] = _median(steps[arm], "peak_mib")
        figures.add_size(model, count, steps)
        if "plain" not in fits:
            told = f"{model}, {count:,} scenes: memory that plain would need, of {free:,.0f} MiB free"
            figures.add(told, needs["plain"], "MiB")


def main() -> None:
    """Measures all arms in turn and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round of the two smallest batches, one model"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here")
    for name in ("--arm", "--model", "--folder"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    for name in ("--count", "--micro"):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arm:
        result = run_arm(args.arm, Scene(args.model, Path(args.folder)), args.count, args.micro)
        print("\n" + json.dumps(result), flush=True)
        os._exit(0)  # nothing is left to do; the process group would say goodbye
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        make_scenes(Path(folder))
        for model, sizes in list(MODELS.items())[: 1 if args.quick else None]:
            rounds = 1 if args.quick else args.rounds
            measure_model(model, sizes[:2] if args.quick else sizes, rounds, Path(folder), figures)
    tell(figures.rows, args.json)


if __name__ == "__main__":
    main()
