"""A training step of the reference model: beside the published way, and beside its matrix products alone.

Two arms train the same weights on the same windows, one window a step, in fp32 on one thread, with AdamW and the
published dropout of 0.1. Their losses must agree to four decimals without dropout, and their gradients too, before any
time is read. They take turns, round after round, each in a fresh process:

  published  plain PyTorch after the published description, see published_mae.py
  ours       the family's own model and loss

and in each round the rate of matrix products is measured just before ours and just after, in shapes from the model's
layers to square ones. The floor is what the products of a step would take at the best of these rates: those that the
mathematics needs, three times those of the forward pass, without the scores that fused attention computes again. No
kernel reaches that rate in products as narrow as a head of attention, so a second floor is told, without a goal: the
products of attention at the best rate of blocks that stay in the cache, and as wide as the heads are.

Times are seconds of the processor, those of the faster of two steps, for other work on the machine only ever adds; wall
time is told beside them. Peak memory is that of the process, from a mark set after the first step. Told are medians
over rounds, of ratios too.

Run alone on a machine with 20 GiB to spare:  python benchmarks/step_time.py [--quick] [--json FILE]
On a GPU, in bf16 and batches, as step_time_gpu.py says:  python benchmarks/step_time.py --device cuda [--batch 16]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import tell

ROOT = Path(__file__).resolve().parent.parent
FULL_DAYS, QUICK_DAYS, GRADIENT_DAYS = 30, 10, 3
NUM_STEPS = 2
ARMS = ("published", "ours")
BLOCKS = ((256, 256), (256, 512), (512, 512), (512, 1024))  # queries and keys of attention
SHAPES = ((1024, 1024, 1024), (2048, 2048, 2048), (1710, 256, 1024), (1710, 1024, 256), (7892, 256, 768))


@dataclass
class Timing:
    """What one round of an arm took.

    Attributes:
        cpu_s: Seconds of the processor for a step.
        wall_s: Seconds by the clock for it.
        peak_mib: Most memory of the process.
        loss: Loss before the step.
    """

    cpu_s: float
    wall_s: float
    peak_mib: float
    loss: float


def configuration(num_days: int, dropout: float) -> Any:
    """Returns the reference configuration for windows of so many days."""
    from trainables.water_mae.config import PRESETS

    base = PRESETS["reference"]
    data = base.data.model_copy(
        update={"sequence_length": num_days, "stride": min(num_days, base.data.stride)}
    )
    model = base.model.model_copy(update={"dropout": dropout})
    return base.model_copy(update={"data": data, "model": model})


def training_batch(config: Any, size: int = 1) -> Any:
    """Returns windows of random numbers with the masks of the configuration."""
    import numpy as np
    import torch

    from thalweg.nn.masking import num_masked, random_masks
    from trainables.water_mae.data.windows import REFERENCE_GEOMETRY as geometry

    generator = torch.Generator().manual_seed(1)
    num_days, key = config.data.sequence_length, np.arange(7, 7 + size).astype(np.uint64)
    batch: dict[str, Any] = {"vector_present": torch.ones(size, 2)}
    for kind, number, valid, ratio in (
        ("image", 3, geometry.pixel_valid, config.masking.image_mask_ratio),
        ("vector", 2, geometry.member_valid, config.masking.vector_mask_ratio),
    ):
        counts = torch.from_numpy(valid.copy())
        if kind == "image":
            counts &= torch.rand(counts.shape, generator=generator) < 0.8
            counts[:, 0] = True
        shape = (size, number, num_days, *valid.shape)
        batch[f"{kind}s"] = torch.randn(shape, generator=generator) * counts
        batch[f"{kind}_valid"] = counts.expand(size, -1, -1)
        shape_of_masks = (1, num_days, len(valid))
        masks = random_masks(key, shape=shape_of_masks, num_masked=num_masked(len(valid), ratio))
        for name, mask in zip(("keep", "masked"), masks, strict=True):
            batch[f"{kind}_{name}"] = torch.from_numpy(mask).expand(-1, number, -1, -1).contiguous()
    return batch


def build(config: Any) -> Any:
    """Returns the model of the configuration, with random attributes of the catchments."""
    import torch

    from trainables.water_mae.knobs import PUBLISHED_SET
    from trainables.water_mae.task import WaterMAETask

    torch.manual_seed(0)
    model = WaterMAETask(config).build(None)
    for name in PUBLISHED_SET.series:
        encoder = model.get_submodule(f"{name}_encoder")
        for buffer in ("static", "condition", "overall"):
            encoder.get_buffer(buffer).normal_()
    return model


def reconstruction(task: Any) -> Any:
    """Returns the loss of pre-training."""
    from thalweg.stage_contract import Loss

    loss = task.stages()[0].loss
    assert isinstance(loss, Loss)
    return loss


def loss_of(arm: str, config: Any) -> tuple[Any, Callable[[], dict[str, Any]]]:
    """Returns the module of an arm, and what computes its loss parts."""
    from benchmarks.published_mae import PublishedAutoencoder, full_grids
    from thalweg.stage_contract import Progress
    from trainables.water_mae.task import WaterMAETask

    model, batch, task = build(config), training_batch(config), WaterMAETask(config)
    if arm == "published":
        published = PublishedAutoencoder(model, config.model.dropout)
        full = full_grids(model, batch)
        return published, lambda: published(full)
    now = Progress(samples=0, total_samples=1, stage="train", stage_ratio=0.0)
    return model, lambda: dict(reconstruction(task).parts(model, batch, now))


def weighted(config: Any, parts: dict[str, Any]) -> Any:
    """Returns the weighted loss of one sample."""
    import torch

    weights = config.loss_weights.model_dump()
    return torch.stack([weights[name] * part for name, part in parts.items()]).sum()


def check(num_days: int) -> dict[str, float]:
    """Compares the arms without dropout: losses of so many days, gradients of few."""
    import torch

    config = configuration(num_days, dropout=0.0)
    with torch.no_grad():
        losses = [
            {name: float(part) for name, part in loss_of(arm, config)[1]().items()} for arm in reversed(ARMS)
        ]
    config = configuration(GRADIENT_DAYS, dropout=0.0)
    slopes = []
    for arm in reversed(ARMS):
        module, compute = loss_of(arm, config)
        weighted(config, compute()).backward()
        model = module.ours if arm == "published" else module
        slopes.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    return {
        "largest difference of a loss": max(abs(losses[0][name] - losses[1][name]) for name in losses[0]),
        "relative difference of the gradients": float((slopes[0] - slopes[1]).norm() / slopes[0].norm()),
    }


def adamw(config: Any, module: Any) -> Any:
    """Returns the optimizer of the configuration, as both arms use it."""
    import torch

    knobs = config.optimization
    return torch.optim.AdamW(
        module.parameters(),
        lr=knobs.lr,
        betas=(knobs.beta1, knobs.beta2),
        weight_decay=knobs.weight_decay,
        fused=True,
    )


def step_time(arm: str, num_days: int) -> Timing:
    """Times a training step in this process, the faster of two after one that makes the optimizer's state."""
    import torch

    config = configuration(num_days, dropout=0.1)
    module, compute = loss_of(arm, config)
    module.train()
    optimizer = adamw(config, module)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = weighted(config, compute())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), config.optimization.clip_norm)
        optimizer.step()
        return float(loss.detach())

    step()
    Path("/proc/self/clear_refs").write_text("5")
    timings = []
    for _ in range(NUM_STEPS):
        cpu, wall = time.process_time(), time.perf_counter()
        loss = step()
        timings.append(Timing(time.process_time() - cpu, time.perf_counter() - wall, peak_memory(), loss))
    return min(timings, key=lambda timing: timing.cpu_s)


def peak_memory() -> float:
    """Returns the largest memory of this process since the mark was set, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def matmul_rates(num_days: int) -> dict[str, float]:
    """Returns the best rate of matrix products, and that of attention's by the width of a head, in 1e9 operations/s.

    Those of attention are a third each as scores, weighted values and weighted queries are.
    """
    rates = {"": best_rate(SHAPES)}
    for width in (int(width) for width in products(num_days) if width):
        kinds = (
            [(queries, keys, width) for queries, keys in BLOCKS],
            [(queries, width, keys) for queries, keys in BLOCKS],
            [(keys, width, queries) for queries, keys in BLOCKS],
        )
        rates[str(width)] = 3 / sum(1 / best_rate(shapes) for shapes in kinds)
    return rates


def best_rate(shapes: Sequence[tuple[int, int, int]]) -> float:
    """Returns the best rate of matrix products in fp32 on one thread, in 1e9 operations per second."""
    import torch

    best = 0.0
    for rows, columns, inner in shapes:
        a, b = torch.randn(rows, inner), torch.randn(inner, columns)
        out = torch.empty(rows, columns)
        repeats = max(1, int(4e9 / (2 * rows * columns * inner)))
        for _ in range(4):
            began = time.process_time()
            for _ in range(repeats):
                torch.mm(a, b, out=out)
            best = max(best, repeats * 2e-9 * rows * columns * inner / (time.process_time() - began))
    return best


def products(num_days: int) -> dict[str, float]:
    """Counts the operations of a step's matrix products, in 1e9: on tensors without content, attention unfused.

    Returns:
        All of them under the empty name, and those of attention by the width of a head.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    from thalweg.stage_contract import Progress
    from trainables.water_mae.task import WaterMAETask

    found: dict[str, float] = {}

    class Batched(TorchDispatchMode):  # type: ignore[no-untyped-call]
        """Counts batched products, which only attention has."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten.bmm.default:
                (number, rows, inner), columns = args[0].shape, args[1].shape[2]
                width = str(min(rows, inner, columns))
                found[width] = found.get(width, 0.0) + 2e-9 * number * rows * inner * columns
            return func(*args, **(kwargs or {}))

    config = configuration(num_days, dropout=0.1)
    task = WaterMAETask(config)
    with torch.device("meta"):
        model = task.build(None)
    batch = {name: values.to("meta") for name, values in training_batch(config).items()}
    now = Progress(samples=0, total_samples=1, stage="train", stage_ratio=0.0)
    with FlopCounterMode(display=False) as counter, Batched():  # type: ignore[no-untyped-call]
        weighted(config, dict(reconstruction(task).parts(model, batch, now))).backward()
    return found | {"": float(counter.get_total_flops()) / 1e9}


def in_this_process(arm: str, num_days: int, batch_size: int) -> Any:
    """Runs one arm, or one measurement, on one thread."""
    import torch

    torch.set_num_threads(1)
    if arm == "cuda":
        from benchmarks.step_time_gpu import measure

        return measure(num_days, batch_size)
    if arm == "check":
        return check(num_days)
    if arm == "matmul":
        return matmul_rates(num_days)
    if arm == "products":
        return products(num_days)
    return asdict(step_time(arm, num_days))


def in_fresh_process(arm: str, num_days: int, batch_size: int = 1) -> Any:
    """Runs an arm in a process of its own and returns its answer."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--arm", arm, "--days", str(num_days)]
    command += ["--batch", str(batch_size)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{arm} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


@dataclass
class Round:
    """What one round measured.

    Attributes:
        timings: By arm.
        rates: What `matmul_rates` returns, the mean of just before and just after our arm.
    """

    timings: dict[str, Timing]
    rates: dict[str, float]

    @property
    def faster(self) -> float:
        """How much longer the published way takes."""
        return self.timings["published"].cpu_s / self.timings["ours"].cpu_s

    def floor(self, gigaflop: dict[str, float], *, heads: bool) -> float:
        """Returns what the products take at the best rate, those of attention at that of heads if asked to."""
        narrow = {width: gigaflop[width] for width in gigaflop if width and heads}
        wide = gigaflop[""] - sum(narrow.values())
        return wide / self.rates[""] + sum(size / self.rates[width] for width, size in narrow.items())


def one_round(num_days: int) -> Round:
    """Measures both arms, ours between two measurements of the rates."""
    published = Timing(**in_fresh_process("published", num_days))
    before = in_fresh_process("matmul", num_days)
    ours = Timing(**in_fresh_process("ours", num_days))
    after = in_fresh_process("matmul", num_days)
    rates = {width: (before[width] + after[width]) / 2 for width in before}
    return Round({"published": published, "ours": ours}, rates)


def figures(
    rounds: Sequence[Round], gigaflop: dict[str, float], differences: dict[str, float]
) -> list[dict[str, Any]]:
    """Returns medians over rounds and their goals."""
    rows: list[dict[str, Any]] = []

    def add(name: str, values: Sequence[float], unit: str, goal: str = "") -> None:
        value = statistics.median(values)
        word, _, bound = goal.rpartition(" ")
        met = None if not goal else value >= float(bound) if word == "at least" else value <= float(bound)
        rows.append({"name": name, "value": float(f"{value:.6g}"), "unit": unit, "goal": goal, "met": met})

    for name, difference in differences.items():
        add(name, [difference], "1")
    for arm in ARMS:
        add(f"{arm}: processor time of a step", [each.timings[arm].cpu_s for each in rounds], "s")
        add(f"{arm}: wall time of a step", [each.timings[arm].wall_s for each in rounds], "s")
        add(f"{arm}: peak memory", [each.timings[arm].peak_mib for each in rounds], "MiB")
    for width, size in gigaflop.items():
        where = f" in heads of {width}" if width else ""
        add(f"matrix products of a step{where}", [size], "GFLOP")
        add(f"best rate of matrix products{where}", [each.rates[width] for each in rounds], "GFLOP/s")
    floors = {heads: [each.floor(gigaflop, heads=heads) for each in rounds] for heads in (False, True)}
    ours = [each.timings["ours"].cpu_s for each in rounds]
    ratios = {
        heads: [step / floor for step, floor in zip(ours, found, strict=True)]
        for heads, found in floors.items()
    }
    add("floor: matrix products alone", floors[False], "s")
    add("floor with the rates of heads", floors[True], "s")
    add("published / ours, time", [each.faster for each in rounds], "1", "at least 2.4")
    add("ours / floor", ratios[False], "1", "at most 1.5")
    add("ours / floor with the rates of heads", ratios[True], "1")
    memory = [each.timings["ours"].peak_mib / each.timings["published"].peak_mib for each in rounds]
    add("ours / published, peak memory", memory, "1", "at most 0.5")
    return rows


def main() -> None:
    """Measures both arms in turn and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"windows of {QUICK_DAYS} days, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=16, help="windows a step, on a GPU")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--days", type=int, default=FULL_DAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arm:
        print("\n" + json.dumps(in_this_process(args.arm, args.days, args.batch)), flush=True)
        return
    num_days = QUICK_DAYS if args.quick else args.days
    if args.device == "cuda":
        tell(in_fresh_process("cuda", num_days, args.batch), args.json, days=num_days)
        return
    differences = in_fresh_process("check", num_days)
    if max(differences.values()) >= 5e-5:
        sys.exit(f"the arms must compute the same, got {differences}")
    rounds: list[Round] = []
    for number in range(1 if args.quick else args.rounds):
        rounds.append(one_round(num_days))
        times = ", ".join(f"{arm} {timing.cpu_s:.2f} s" for arm, timing in rounds[-1].timings.items())
        print(f"round {number + 1}: {times}", file=sys.stderr)
    rows = figures(rounds, in_fresh_process("products", num_days), differences)
    tell(rows, args.json, days=num_days)


if __name__ == "__main__":
    main()
