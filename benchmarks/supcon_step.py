"""A tuning step of `sentinel_supcon` with two views of both sensors, beside the published way.

A step computes cross-entropy and SupCon of 32 scenes of METER-ML's size, radar of two bands and an optical image of
four on 72 x 72 pixels, each augmented and as it is, and updates two SmallAlexNets of 70 M weights and the head by SGD,
in fp32 on one thread. Both arms get the same images:

  published  plain PyTorch after the published description, see published_supcon.py: three passes for each sensor
  ours       the family's own model and tuning stage: one pass for each sensor, in which both views are one batch

First both must agree at the same weights and images: the losses, and the gradients of all weights. Where batch norms
see other batches, 32 scenes in each pass or 64 views in one, results differ by design. They are therefore compared

  evaluated  with the running statistics instead of the batch's, on two different views
  twins      with the batch's statistics, on views that are equal: 64 views then have the moments of 32

Each arm and round has a process of its own, and the arms take turns. Times are seconds of the processor, for other
work on the machine only ever adds: those of the faster of the steps that follow a first one. Memory is how far the
process rises above its level after its imports, model and images included. Told are medians over rounds, of ratios too.

Run alone on the machine:  python benchmarks/supcon_step.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.costs import Cost, fastest, memory
from benchmarks.figures import Figures, tell

if TYPE_CHECKING:
    from torch import Tensor, nn

    from thalweg.contract import Batch
    from trainables.sentinel_supcon.config import SentinelSupCon

ROOT = Path(__file__).resolve().parent.parent
ARMS = ("published", "ours")
BATCH, CHECKED, SIDE = 32, 8, 72
QUICK_WIDTH = 0.25
CHECKS = {"evaluated": False, "twins": True}  # whether batch norms take the statistics of the batch
AGREEMENT = 1e-4
"""Of fp32: what passes through seven batch norms in another order of additions."""


def configuration(width: float) -> "SentinelSupCon":
    """Returns the published experiment on METER-ML.

    No class is ignored: published, the cross-entropy ignores a class that SupCon compares.
    """
    from trainables.sentinel_supcon.config import PRESETS

    return PRESETS["meterml"].vary(data={"ignored": ()}, model={"width": width})


def images_of(config: "SentinelSupCon", count: int, *, twins: bool = False) -> "Batch":
    """Returns random scenes with both views, which are equal if they are twins, and their classes."""
    import torch

    generator = torch.Generator().manual_seed(1)
    classes = len(config.data.classes)
    batch = {"label": torch.arange(count) % classes}
    for sensor, bands in (("s1", 2), ("s2", len(config.data.bands))):
        views = torch.randn(count, 2, bands, SIDE, SIDE, generator=generator)
        batch[sensor] = views[:, :1].expand_as(views).contiguous() if twins else views
    batch["multi"] = torch.nn.functional.one_hot(batch["label"], classes).float()
    return batch


def loss_of(arm: str, config: "SentinelSupCon") -> "tuple[nn.Module, Callable[[Batch], Tensor]]":
    """Returns the model of an arm, and what computes its loss."""
    import torch

    torch.manual_seed(0)
    if arm == "published":
        from benchmarks.published_supcon import PublishedScenes
        from thalweg.knobs.scheduled import value_at

        theirs = PublishedScenes(config.model.width, len(config.data.classes))
        temperature = value_at(config.tuning.temperature, 0.0)
        return theirs, lambda batch: theirs.loss(batch, batch["label"], temperature)
    from trainables.sentinel_supcon.model.scene_model import SceneModel

    ours = SceneModel(config)
    return ours, lambda batch: our_loss(config, ours, batch)


def our_loss(config: "SentinelSupCon", model: "nn.Module", batch: "Batch") -> "Tensor":
    """Returns the weighted loss of the tuning stage."""
    import torch

    from thalweg.stage_contract import JointLoss, Progress
    from trainables.sentinel_supcon.training.stages import TUNING, stages

    (stage,) = stages(config)
    loss, now = stage.loss, Progress(samples=0, total_samples=1, stage=TUNING, stage_ratio=0.0)
    assert isinstance(loss, JointLoss)
    joined, weights = loss.parts(loss.embed(model, batch, now), now), loss.weights(now)
    parts = [weights[name] * joined.sums[name] / joined.counts[name] for name in joined.sums]
    return torch.stack(parts).sum()


def stepping(arm: str, width: float) -> Callable[[], None]:
    """Returns what takes a step."""
    import torch

    config = configuration(width)
    model, loss = loss_of(arm, config)
    model.train()
    batch = images_of(config, BATCH)
    sgd = torch.optim.SGD(model.parameters(), lr=config.optimization.lr)

    def step() -> None:
        sgd.zero_grad(set_to_none=True)
        loss(batch).backward()  # type: ignore[no-untyped-call]
        sgd.step()

    return step


def check(width: float) -> dict[str, float]:
    """Compares the losses of both arms, and the gradients of all weights.

    Returns:
        Relative differences.
    """
    import torch

    from benchmarks.published_supcon import PublishedScenes

    config = configuration(width)
    (theirs, their_loss), (ours, our_loss) = (loss_of(arm, config) for arm in ARMS)
    assert isinstance(theirs, PublishedScenes)
    encoders = {sensor: ours.get_submodule(sensor) for sensor in ("s1", "s2")}
    head = ours.get_submodule("head")
    assert isinstance(head, torch.nn.Linear)
    theirs.take_weights(encoders, head)
    weights = (theirs.taken(), list(ours.parameters()))
    found = {}
    for name, training in CHECKS.items():
        batch = images_of(config, CHECKED, twins=training)
        losses = [
            loss(batch)
            for model, loss in ((theirs.train(training), their_loss), (ours.train(training), our_loss))
        ]
        slopes = [
            torch.cat([each.flatten() for each in torch.autograd.grad(loss, wanted)])
            for loss, wanted in zip(losses, weights, strict=True)
        ]
        for what, (one, two) in (("losses", losses), ("gradients", slopes)):
            found[f"{name}: {what}"] = float((one - two).norm() / one.norm())
    return found


def measure(arm: str, width: float, steps: int) -> Cost:
    """Measures a step in this process."""
    import benchmarks.published_supcon  # noqa: F401 - so that memory is read after all imports
    import trainables.sentinel_supcon.task
    import trainables.sentinel_supcon.training.stages  # noqa: F401

    least_step()
    imports = memory("VmRSS")
    cost = fastest(stepping(arm, width), steps)
    cost.peak_mib, cost.imports_mib = memory("VmHWM") - imports, imports
    return cost


def least_step() -> None:
    """Takes a step of the smallest network: PyTorch imports much of itself only then."""
    import torch

    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 2), torch.nn.BatchNorm2d(1))
    sgd = torch.optim.SGD(network.parameters())
    network(torch.zeros(2, 1, 3, 3)).sum().backward()
    sgd.step()


def in_this_process(arm: str, width: float, steps: int) -> Mapping[str, float]:
    """Runs one measurement, or the check, on one thread."""
    import torch

    torch.set_num_threads(1)
    return check(width) if arm == "check" else asdict(measure(arm, width, steps))


def in_fresh_process(arm: str, width: float, steps: int) -> Any:
    """Runs one measurement in a process of its own."""
    search = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    environment = os.environ | {"PYTHONPATH": search, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--arm", arm, "--width", str(width), "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{arm}: failed with {done.returncode}:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def add_costs(figures: Figures, costs: Mapping[str, Sequence[Cost]]) -> None:
    """Adds what both arms took, and how they compare round by round."""
    for arm, found in costs.items():
        figures.add(f"{arm}: processor time of a step", [cost.cpu_s for cost in found], "s")
        figures.add(f"{arm}: wall time of a step", [cost.wall_s for cost in found], "s")
        figures.add(f"{arm}: imports", [cost.imports_mib for cost in found], "MiB")
        figures.add(f"{arm}: peak memory above them", [cost.peak_mib for cost in found], "MiB")
    both = list(zip(*(costs[arm] for arm in ARMS), strict=True))
    figures.add("published / ours, time", [one.cpu_s / two.cpu_s for one, two in both], "1", "at least 1.4")
    ratios = [two.peak_mib / one.peak_mib for one, two in both]
    figures.add("ours / published, peak memory", ratios, "1", "at most 0.7")


def compare(width: float, rounds: int, steps: int) -> Figures:
    """Compares the arms, in turn."""
    figures = Figures()
    figures.add_check(in_fresh_process("check", width, steps), AGREEMENT)
    costs: dict[str, list[Cost]] = {arm: [] for arm in ARMS}
    for number in range(rounds):
        for arm in ARMS:
            cost = Cost(**in_fresh_process(arm, width, steps))
            costs[arm].append(cost)
            told = f"{cost.cpu_s:.3f} s of processor, {cost.wall_s:.3f} s, {cost.peak_mib:,.0f} MiB"
            print(f"round {number + 1}: {arm}: {told}", file=sys.stderr)
    add_costs(figures, costs)
    return figures


def main() -> None:
    """Measures both arms and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"networks of {QUICK_WIDTH:g} of the channels, one round; goals hold for whole ones",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1, help="of each round, after a first one")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--width", type=float, default=1.0, help="factor on the channels")
    args = parser.parse_args()
    if args.arm:
        print("\n" + json.dumps(in_this_process(args.arm, args.width, args.steps)), flush=True)
        return
    if args.quick:
        args.width, args.rounds = QUICK_WIDTH, 1
    figures = compare(args.width, args.rounds, args.steps)
    tell(figures.rows, args.json)


if __name__ == "__main__":
    main()
