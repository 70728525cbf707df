"""From a command to the first training step of the quickstart: Thalweg, an earlier build of it, and Ray's patterns.

  thalweg  ``thalweg search`` of this checkout, with two lanes; it checks the space
  again    the same, of a space that was checked before and has not changed
  before   the same command of another checkout (``--before FOLDER``), in the same environment
  nested   Ray's documented pattern: a Tune function that starts one TorchTrainer per trial
  reused   Tune with ``reuse_actors`` and no Ray Train: a class that trains in its own process

All arms train the same two trials on the same prepared data, two at a time. Those of this checkout must find the same
objective at the first evaluation; an earlier build may measure it otherwise. They take turns, round after round, each
in fresh processes with a fresh Ray; bytecode is compiled and data are made before. Told are medians of wall time and of
processor time of the whole tree of processes, which other work on the machine does not disturb:
    python -m benchmarks.start_up --before FOLDER [--quick] [--json FILE]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import psutil

from benchmarks.arms import ROOT, environment, running
from benchmarks.figures import Figures, tell
from benchmarks.process_tree import cpu_s

SAMPLES = 512
LIMIT_S = 900.0


@dataclass
class Start:
    """What one start took.

    Attributes:
        step_s: Wall seconds from the command to the end of the first optimizer step.
        step_cpu_s: Processor seconds of all processes until then.
        evaluation_s: Wall seconds until the first evaluation is recorded.
        values: Objective of the two trials at the first evaluation.
    """

    step_s: float
    step_cpu_s: float
    evaluation_s: float
    values: tuple[float, ...]


def command_of(arm: str, folder: Path) -> list[str]:
    """Returns the command of an arm."""
    if arm in ("nested", "reused"):
        return [sys.executable, "-m", "benchmarks.start_up", "--arm", arm, "--folder", str(folder)]
    words = [
        "-m",
        "thalweg",
        "search",
        "benchmarks._start_space",
        "--study",
        "start",
        "--plain",
        "--lanes",
        "2",
        "--trials",
        "2",
    ]
    return [
        sys.executable,
        *words,
        "--output",
        str(folder),
        "--tracking-uri",
        f"sqlite:///{folder}/mlflow.db",
    ]


def environment_of(arm: str, checkout: Path, folder: Path, data: Path) -> dict[str, str]:
    """Returns the variables with which an arm runs the code of a checkout, and is watched."""
    watch = ROOT / "benchmarks" / "first_step"
    places = [watch, checkout / "platform", checkout]
    if checkout != ROOT:  # this file's space, for a checkout that does not have it
        own = folder / "spaces"
        (own / "benchmarks").mkdir(parents=True)
        shutil.copy(ROOT / "benchmarks" / "_start_space.py", own / "benchmarks")
        places = [watch, own, *places[1:]]
    return environment(
        places,
        FIRST_STEP=str(folder / "first_step"),
        THALWEG_DATA=str(data),
        THALWEG_CACHE=str(data / "cache") if arm == "again" else os.devnull,
    )


def start(arm: str, checkout: Path, data: Path) -> Start:
    """Starts an arm in fresh processes, waits for the first evaluation of both trials, and ends it."""
    with tempfile.TemporaryDirectory(prefix="tws", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder, began = Path(name), time.time()
        variables = environment_of(arm, checkout, folder, data)
        with running(command_of(arm, folder), folder, variables, cwd=data) as child:
            process = psutil.Process(child.pid)
            _wait(process, folder, lambda: bool(_stepped(folder)))
            used = cpu_s(process)
            step_s = float(_stepped(folder)[0]) - began
            values = _Values(arm, folder)
            _wait(process, folder, lambda: values.count() > 0)
            evaluation_s = time.time() - began
            _wait(process, folder, lambda: values.count() == 2)
            return Start(
                step_s, used, evaluation_s, tuple(found for _, found in sorted(values.found.items()))
            )


class _Values:
    """Objectives at the first evaluation; kept, for a trial's next checkpoint takes the place of the first."""

    def __init__(self, arm: str, folder: Path) -> None:
        self._arm = arm
        self._folder = folder
        self.found: dict[str, float] = {}

    def count(self) -> int:
        """Looks for more, and counts all."""
        self.found |= values_of(self._arm, self._folder)
        return len(self.found)


def _stepped(folder: Path) -> list[str]:
    """Returns when steps ended; nothing while the first is being written down."""
    file = folder / "first_step"
    return file.read_text().split() if file.exists() else []


def _wait(process: psutil.Process, folder: Path, condition: Any) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if (
            not process.is_running()
            or process.status() == psutil.STATUS_ZOMBIE
            or time.monotonic() > deadline
        ):
            sys.exit(f"no step or evaluation came:\n{(folder / 'output.txt').read_text()[-4000:]}")
        time.sleep(0.05)


def values_of(arm: str, folder: Path) -> dict[str, float]:
    """Returns the objectives at the first evaluation that an arm has on the disk, by trial."""
    if arm in ("nested", "reused"):
        return {file.name: float(file.read_text()) for file in folder.glob("value-?")}
    first: dict[str, float] = {}
    for state in folder.glob(f"start/checkpoints/trial-*/samples-*{SAMPLES}/**/*.json"):
        with suppress(ValueError, OSError):  # is being written
            value = _value_in(json.loads(state.read_text()))
            if value is not None:
                first[state.relative_to(folder).parts[2]] = value
    return first


def _value_in(state: Any) -> float | None:
    report = state.get("report") if isinstance(state, dict) else None
    return float(report["value"]) if isinstance(report, dict) and "value" in report else None


def train(number: int, folder: Path, world: Any, cache: Any) -> None:
    """Trains a trial in this process to its first evaluation, and writes down the objective."""
    from search_spaces import quickstart
    from thalweg.search.space import load_space
    from thalweg.training.messages import TrialOrder
    from thalweg.training.session import Session

    space = load_space("benchmarks._start_space")
    config, _ = space.replay(space.study.first_trials[number])
    order = TrialOrder(
        trial=f"trial-{number}",
        family="trainables.water_mae",
        config=config.model_dump(mode="json"),
        metric=quickstart.study.metric,
        evaluations=space.study.evaluations,
        data_root=str(Path(os.environ["THALWEG_DATA"]) / "water_mae"),
        directory=str(folder),
        baselines=number == 0,  # a search has one trial measure them before its first step
    )
    report = Session(order, world, cache).advance(0)
    (folder / f"value-{number}.part").write_text(repr(report.value))
    (folder / f"value-{number}.part").rename(folder / f"value-{number}")


def _peer(trainable: Any, folder: str) -> None:
    """Runs two trainables under Tune as its documentation does."""
    import ray
    from ray import tune

    ray.init(address="local", log_to_driver=False, _temp_dir=folder)
    tune.Tuner(
        trainable,
        param_space={"number": tune.grid_search([0, 1]), "folder": folder},
        tune_config=tune.TuneConfig(max_concurrent_trials=2, reuse_actors=True),
        run_config=tune.RunConfig(name="tune", storage_path=folder, verbose=0),
    ).fit()


def _work(config: dict[str, Any]) -> None:
    from thalweg.training.process_group import join
    from thalweg.training.session import DataCache

    train(config["number"], Path(config["folder"]), join(), DataCache())


def nested(folder: str) -> None:
    """Starts one TorchTrainer per trial from a Tune function."""
    from ray import tune

    def trial(config: dict[str, Any]) -> None:
        from ray import train as ray_train
        from ray.train.torch import TorchTrainer

        TorchTrainer(
            _module()._work,
            train_loop_config=config,
            scaling_config=ray_train.ScalingConfig(num_workers=1),
            run_config=ray_train.RunConfig(name=f"train-{config['number']}", storage_path=config["folder"]),
        ).fit()

    _peer(tune.with_resources(trial, {"memory": 1}), folder)


def reused(folder: str) -> None:
    """Trains in a Tune class whose actor is reused."""
    from ray import tune

    class Trial(tune.Trainable):
        def step(self) -> dict[str, Any]:
            _module()._work(self.config)
            return {"done": True}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

    _peer(tune.with_resources(Trial, {"cpu": 1}), folder)


def _module() -> Any:
    """Returns this file as a module that a worker process can import."""
    import importlib

    return importlib.import_module("benchmarks.start_up")


def figures(starts: Mapping[str, list[Start]]) -> list[dict[str, Any]]:
    """Returns medians over rounds, and of ratios within rounds, with their goals."""
    found = Figures()
    for arm, rounds in starts.items():
        found.add(f"{arm}: command to first step", [each.step_s for each in rounds], "s")
        found.add(f"{arm}: processor time to first step", [each.step_cpu_s for each in rounds], "s")
        found.add(f"{arm}: command to first evaluation", [each.evaluation_s for each in rounds], "s")
    goals = {"before": "at most 0.333", "reused": "at most 1", "nested": ""}
    for ours, other in product(("thalweg", "again"), goals):
        if other in starts:
            pairs = list(zip(starts[ours], starts[other], strict=True))
            steps = [one.step_s / another.step_s for one, another in pairs]
            found.add(f"{ours} / {other}: to first step", steps, "1", goals[other])
            cpu = [one.step_cpu_s / another.step_cpu_s for one, another in pairs]
            found.add(f"{ours} / {other}: processor time", cpu, "1", goals[other])
    return found.rows


def check_equal(starts: Mapping[str, list[Start]]) -> None:
    """Stops unless all arms of this checkout found the same objectives, to rounding."""
    reference = starts["thalweg"][0].values
    for arm, rounds in starts.items():
        for each in rounds:
            if arm != "before" and any(
                abs(a - b) > 1e-4 for a, b in zip(reference, each.values, strict=True)
            ):
                sys.exit(f"{arm} found {each.values}, thalweg found {reference}")


def main() -> None:
    """Measures all arms in turn and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round, with bytecode as it is")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="a checkout of an earlier build")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--arm", choices=("nested", "reused"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        {"nested": nested, "reused": reused}[options.arm](options.folder)
        return
    arms = {"thalweg": ROOT, "again": ROOT, "reused": ROOT, "nested": ROOT}
    if options.before:
        arms["before"] = options.before.resolve()
    starts: dict[str, list[Start]] = {arm: [] for arm in arms}
    with tempfile.TemporaryDirectory(prefix="twd", dir="/tmp") as name:
        data = Path(name)
        make = [sys.executable, "-m", "thalweg", "data", "make", "water_mae", "tiny"]
        subprocess.run(
            make, env=os.environ | {"THALWEG_DATA": str(data)}, check=True, stdout=subprocess.DEVNULL
        )
        for arm, checkout in arms.items():  # compiles bytecode, and checks the space for `again`
            if arm == "again" or not options.quick:
                start(arm, checkout, data)
        for _ in range(1 if options.quick else options.rounds):
            for arm, checkout in arms.items():
                starts[arm].append(start(arm, checkout, data))
                print(arm, vars(starts[arm][-1]), file=sys.stderr, flush=True)
    check_equal(starts)
    tell(
        figures(starts),
        options.json,
        rounds={arm: [vars(each) for each in found] for arm, found in starts.items()},
    )


if __name__ == "__main__":
    main()
