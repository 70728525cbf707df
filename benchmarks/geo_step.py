"""A step of contrastive weather fields beside the published way, and the views of its days alone.

A step draws 42 days with their views, compares the views, and updates the encoder with Adam: three views of a day,
five variables on 64 x 32 cells, ResNet18, latents of 1000, projections of 128, NT-Xent and the curvature, in fp32 on
one thread. Both arms read the same memory-mapped array of 14,031 days:

  published  plain PyTorch after the published description, see published_fields.py
  ours       the family's own batches, model and loss, all that a trial draws

First both must agree: the losses of the same projections and days, with their gradients; and the latents of both
encoders at the same weights and maps, on a grid of 144 x 72 that does not close the circle and without the code of
positions, which the published encoder lacks.

Each arm and round has a process of its own, and the arms take turns. Times are seconds of the processor, for other
work on the machine only ever adds: for a step those of the faster of two after one that makes the optimizer's state,
for views those of the fastest of some. Views are drawn of three roles, of four with a hard negative, and of five with
a soft one too, which the published way searches in a list of all days. Memory is how far the process rises above its
level after its imports, model included; pages of the file, which the system keeps while nobody else needs the memory,
are let go before the networks compute. Told are medians over rounds, of ratios too.

Run alone on the machine:  python benchmarks/geo_step.py [--quick] [--json FILE]
"""

import argparse
import json
import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.costs import Cost, fastest, memory
from benchmarks.figures import Figures, tell

if TYPE_CHECKING:
    import numpy as np

    from thalweg.contract import Batch
    from trainables.geo_contrastive.config import GeoContrastive
    from trainables.geo_contrastive.data.fields import FieldData

ROOT = Path(__file__).resolve().parent.parent
ARMS = ("published", "ours")
SHAPE = (64, 32)
NUM_DAYS, QUICK_DAYS = 14_031, 3_000
BATCH, CHECKED = 42, 6
NUM_STEPS = 2
VIEWS = {"three": (False, False), "four": (True, False), "five": (True, True)}  # hard and soft negatives
REPEATS = {"published": 3, "ours": 20}
AGREEMENT = 1e-5


def configuration(kind: str = "three") -> "GeoContrastive":
    """Returns the reference experiment with so many views of a day."""
    from trainables.geo_contrastive.config import PRESETS

    hard, soft = VIEWS[kind]
    return PRESETS["reference"].vary(pairs={"hard_negatives": hard, "soft_negatives": soft})


def write_days(path: Path, num_days: int) -> None:
    """Writes random days (day, variable, longitude, latitude)."""
    import numpy as np

    rng = np.random.default_rng(0)
    days = np.lib.format.open_memmap(path, "w+", np.float32, (num_days, 5, *SHAPE))
    for start in range(0, num_days, 500):
        part = days[start : start + 500]
        part[:] = rng.standard_normal(part.shape, np.float32)
    days.flush()


def read_days(path: Path) -> "np.memmap":
    """Returns the days, memory-mapped."""
    import numpy as np

    days: np.memmap = np.load(path, mmap_mode="r")
    return days


def let_pages_go(days: "np.memmap") -> None:
    """Takes the pages of the file, which the system may read ahead, off the process's memory."""
    days._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def field_data(days: "np.ndarray") -> "FieldData":
    """Returns the days as the family knows them, all for training."""
    import numpy as np

    from trainables.geo_contrastive.data.fields import FieldData, Variable
    from trainables.geo_contrastive.data.grids import Grid
    from trainables.geo_contrastive.knobs import REFERENCE_VARIABLES as NAMES

    longitudes, latitudes = ((np.arange(size) + 0.5) / size for size in SHAPE)
    grid = Grid("64x32", longitudes * 360 - 180, latitudes * 180 - 90, geographic=True)
    number = np.arange(len(days))
    return FieldData(
        variables={name: Variable(name, "1", None, grid.name, 0.0, 1.0, 10.0) for name in NAMES},
        grids={grid.name: grid},
        fields={name: days[:, index] for index, name in enumerate(NAMES)},
        valid={name: np.ones(SHAPE, bool) for name in NAMES},
        climatology={name: np.zeros((366, *SHAPE), np.float32) for name in NAMES},
        day=number,
        season=number // 91 % 4,
        day_of_year=number % 365,
        year=1959 + number // 365,
        days={"train": range(len(days)), "val": range(0), "test": range(0)},
        fingerprint="benchmark",
    )


class Draws:
    """Anchors of the batches, the same in both arms: days all over the record, other ones in each batch.

    Args:
        num_days: Days of the record.
        count: Days of a batch.
    """

    def __init__(self, num_days: int, count: int) -> None:
        import numpy as np

        self._rng = np.random.default_rng(1)
        self._num_days, self._count = num_days, count

    def take(self) -> "np.ndarray":
        """Returns the positions of further anchors."""
        return self._rng.integers(100, self._num_days - 100, self._count)


def drawing(arm: str, kind: str, days: "np.ndarray", count: int) -> Callable[[], Any]:
    """Returns what draws the views of a batch."""
    draws, config = Draws(len(days), count), configuration(kind)
    if arm == "published":
        from benchmarks.published_fields import PublishedDays, batch_of

        published = PublishedDays(days, config.views, config.pairs)
        return lambda: batch_of(published, draws.take())
    return drawing_ours(config, field_data(days), draws)


def drawing_ours(config: "GeoContrastive", data: "FieldData", draws: Draws) -> "Callable[[], Batch]":
    """Returns what draws a training batch as a trial does."""
    import numpy as np

    from thalweg.hashing import splitmix64
    from trainables.geo_contrastive.task import task_for

    task = task_for(config)

    def draw() -> "Batch":
        indices = draws.take()
        return task.training_batch(data, indices, splitmix64(indices.astype(np.uint64)))

    return draw


def stepping(arm: str, path: Path, count: int) -> Callable[[], None]:
    """Returns what takes a step."""
    import torch

    config, days = configuration(), read_days(path)
    draw = drawing(arm, "three", days, count)
    torch.manual_seed(0)
    networks, loss_of = published_step(config) if arm == "published" else our_step(config)
    parameters = [parameter for network in networks for parameter in network.parameters()]
    adam = torch.optim.Adam(parameters, lr=config.optimization.lr, fused=True)

    def step() -> None:
        adam.zero_grad(set_to_none=True)
        batch = draw()
        let_pages_go(days)
        loss_of(batch).backward()
        adam.step()

    return step


def published_step(config: "GeoContrastive") -> tuple[Sequence[Any], Callable[[Any], Any]]:
    """Returns the trained networks of the published way and what computes its loss."""
    from benchmarks.published_fields import PublishedEncoder, published_loss, published_projector
    from thalweg.knobs.scheduled import value_at

    encoder, projector = PublishedEncoder(), published_projector()

    def loss(batch: Any) -> Any:
        views, days = batch
        projections = projector(encoder(views.flatten(0, 1))).unflatten(0, days.shape)
        temperature = value_at(config.objective.temperature, 0.0)
        return published_loss(projections, days, temperature, config.pairs.decay)

    return (encoder, projector), loss


def our_step(config: "GeoContrastive") -> tuple[Sequence[Any], Callable[[Any], Any]]:
    """Returns what our contrastive stage trains and what computes its loss."""
    from trainables.geo_contrastive.model.field_model import FieldModel

    model = FieldModel.build(config, None).train()
    return (model.encoder, model.projector), lambda batch: our_loss(config, model, batch)[0]


def our_loss(config: "GeoContrastive", model: Any, batch: "Batch") -> tuple[Any, Any]:
    """Returns the weighted loss, and the projections that it compares."""
    import torch

    from thalweg.stage_contract import JointLoss, Progress
    from trainables.geo_contrastive.representation.stages import CONTRASTIVE, stages

    now = Progress(samples=0, total_samples=1, stage=CONTRASTIVE, stage_ratio=0.0)
    loss = stages(config)[0].loss
    assert isinstance(loss, JointLoss)
    rows, weights = loss.embed(model, batch, now), loss.weights(now)
    joined = loss.parts(rows, now)
    parts = [weights[name] * joined.sums[name] / joined.counts[name] for name in joined.sums]
    return torch.stack(parts).sum(), rows.embeddings["projection"]


def check(path: Path) -> dict[str, float]:
    """Compares the losses of the same projections, their gradients, and the encoders at the same weights.

    Returns:
        Relative differences.
    """
    import torch

    from benchmarks.published_fields import SEEN, PublishedEncoder, published_loss
    from thalweg.knobs.scheduled import value_at
    from trainables.geo_contrastive.model.encoders import ResNet
    from trainables.geo_contrastive.model.field_model import FieldModel
    from trainables.geo_contrastive.model.geometry import GridShape

    config = configuration()
    torch.manual_seed(0)
    batch = drawing("ours", "three", read_days(path), CHECKED)()
    ours, projections = our_loss(config, FieldModel.build(config, None).train(), batch)
    knobs = value_at(config.objective.temperature, 0.0), config.pairs.decay
    theirs = published_loss(projections, batch["role_day"], *knobs)
    slopes = [torch.autograd.grad(loss, projections, retain_graph=True)[0] for loss in (ours, theirs)]
    network = ResNet(config.encoder.vary(positions=False), 5, GridShape(SEEN, wraps=False))
    encoder, maps = PublishedEncoder(), torch.randn(2, 5, *SEEN)
    encoder.take_weights(network)
    with torch.no_grad():
        latents = network(maps), encoder(maps)
    pairs = {"losses": (ours, theirs), "gradients": slopes, "latents": latents}
    return {name: float((one - two).norm() / two.norm()) for name, (one, two) in pairs.items()}


def measure(arm: str, what: str, path: Path, count: int) -> Cost:
    """Measures a step or views in this process."""
    import benchmarks.published_fields  # noqa: F401 - so that memory is read after all imports
    import trainables.geo_contrastive.task  # noqa: F401

    least_step()
    imports = memory("VmRSS")
    if what == "step":
        cost = fastest(stepping(arm, path, count), NUM_STEPS)
    else:
        cost = fastest(drawing(arm, what, read_days(path), count), REPEATS[arm])
    cost.peak_mib, cost.imports_mib = memory("VmHWM") - imports, imports
    return cost


def least_step() -> None:
    """Takes a step of the smallest network: PyTorch imports much of itself only then."""
    import torch

    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 2), torch.nn.GroupNorm(1, 1))
    adam = torch.optim.Adam(network.parameters(), fused=True)
    network(torch.zeros(1, 1, 3, 3)).sum().backward()
    adam.step()


def in_this_process(arm: str, what: str, path: Path, count: int) -> Mapping[str, float]:
    """Runs one measurement on one thread."""
    import torch

    torch.set_num_threads(1)
    return check(path) if what == "check" else asdict(measure(arm, what, path, count))


def in_fresh_process(arm: str, what: str, path: Path, count: int) -> Any:
    """Runs one measurement in a process of its own."""
    search = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    environment = os.environ | {"PYTHONPATH": search, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--arm", arm, "--what", what, "--path", str(path)]
    command += ["--count", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{arm}, {what}: failed with {done.returncode}:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def add_costs(figures: Figures, what: str, costs: Mapping[str, Sequence[Cost]]) -> None:
    """Adds what both arms took for the same, and how they compare round by round."""
    label = "a step" if what == "step" else f"{what} views"
    unit, scale = ("s", 1.0) if what == "step" else ("ms", 1e3)
    for arm, found in costs.items():
        figures.add(f"{label}, {arm}: processor time", [scale * cost.cpu_s for cost in found], unit)
        figures.add(f"{label}, {arm}: wall time", [scale * cost.wall_s for cost in found], unit)
        if what == "step":
            figures.add(f"{label}, {arm}: imports", [cost.imports_mib for cost in found], "MiB")
            figures.add(f"{label}, {arm}: peak memory above them", [cost.peak_mib for cost in found], "MiB")
    both = list(zip(*(costs[arm] for arm in ARMS), strict=True))
    goal = "at least 3" if what == "step" else "at least 20"
    figures.add(f"{label}: published / ours, time", [one.cpu_s / two.cpu_s for one, two in both], "1", goal)
    if what == "step":
        memory = [two.peak_mib / one.peak_mib for one, two in both]
        figures.add(f"{label}: ours / published, peak memory", memory, "1", "at most 0.5")


def compare(path: Path, count: int, rounds: int) -> Figures:
    """Compares the arms, in turn."""
    figures = Figures()
    figures.add_check(in_fresh_process("both", "check", path, count), AGREEMENT)
    for what in ("step", *VIEWS):
        costs: dict[str, list[Cost]] = {arm: [] for arm in ARMS}
        for number in range(rounds):
            for arm in ARMS:
                cost = Cost(**in_fresh_process(arm, what, path, count))
                costs[arm].append(cost)
                told = f"{cost.cpu_s:.4f} s of processor, {cost.wall_s:.4f} s, {cost.peak_mib:,.0f} MiB"
                print(f"round {number + 1}: {what}, {arm}: {told}", file=sys.stderr)
        add_costs(figures, what, costs)
    return figures


def main() -> None:
    """Measures both arms and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"a record of {QUICK_DAYS:,} days, one round",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here")
    for name in ("--arm", "--what", "--path"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arm:
        found = in_this_process(args.arm, args.what, Path(args.path), args.count)
        print("\n" + json.dumps(found), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "days.npy"
        write_days(path, QUICK_DAYS if args.quick else NUM_DAYS)
        figures = compare(path, BATCH, 1 if args.quick else args.rounds)
    tell(figures.rows, args.json)


if __name__ == "__main__":
    main()
