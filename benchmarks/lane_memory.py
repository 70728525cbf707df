"""What a further lane holds: PSS, USS and processes of the whole tree for 1, 2, 4 and 8 lanes.

  thalweg  ``thalweg search`` of this checkout
  before   the same command of another checkout (``--before FOLDER``), in the same environment
  nested   Ray's documented pattern: a Tune function that starts one TorchTrainer per trial, as many at a time

All train the same trials of the toy family of the tests. Memory is read once every trial has passed an evaluation. A
further lane is the difference between two numbers of lanes, per lane. Other work on the machine does not disturb it:
    python -m benchmarks.lane_memory --before FOLDER [--quick] [--json FILE]
"""

import argparse
import importlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.arms import ROOT, environment, running
from benchmarks.figures import Figures, tell
from benchmarks.process_tree import memory_mib, tree

LANES = (1, 2, 4, 8)
LIMIT_S = 1200.0
SETTLES_S = 2.0


def environment_of(checkout: Path, folder: Path) -> dict[str, str]:
    """Returns the variables with which the code of a checkout runs, with this one's toy space."""
    (folder / "measured").mkdir()
    shutil.copy(ROOT / "benchmarks" / "_lanes_space.py", folder / "measured" / "lanes_space.py")
    places = [folder, checkout / "platform", checkout, checkout / "tests" / "plugins"]
    return environment(places, THALWEG_DATA=str(folder))


def command_of(arm: str, lanes: int, folder: Path) -> list[str]:
    """Returns the command of an arm."""
    if arm == "nested":
        words = ["--arm", arm, "--lanes", str(lanes), "--folder", str(folder)]
        return [sys.executable, "-m", "benchmarks.lane_memory", *words]
    words = ["--plain", "--lanes", str(lanes), "--trials", str(lanes), "--output", str(folder)]
    command = [sys.executable, "-m", "thalweg", "search", "measured.lanes_space", "--study", "lanes", *words]
    return [*command, "--tracking-uri", f"sqlite:///{folder}/mlflow.db"]


def measure(arm: str, checkout: Path, lanes: int) -> tuple[float, float, int]:
    """Returns PSS and USS in MiB and the number of processes once all lanes have trained to an evaluation."""
    with tempfile.TemporaryDirectory(prefix="twm", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        command = command_of(arm, lanes, folder)
        with running(command, folder, environment_of(checkout, folder)) as process:
            _wait(process, folder, lanes)
            root = psutil.Process(process.pid)
            return *memory_mib(root), sum(not _idle(member) for member in tree(root))


def _wait(process: "subprocess.Popen[bytes]", folder: Path, lanes: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while len({file.parent.parent for file in folder.rglob("samples-*/state.json")}) < lanes:
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"not all lanes have trained:\n{(folder / 'output.txt').read_text()[-4000:]}")
        time.sleep(0.2)
    time.sleep(SETTLES_S)


def _idle(process: psutil.Process) -> bool:
    """Whether this is one of the processes that Ray starts ahead, one for each processor, and has not used."""
    try:
        return "ray::IDLE" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return True


def nested(lanes: int, folder: str) -> None:
    """Starts one TorchTrainer per trial from a Tune function."""
    import ray
    from ray import tune

    def trial(config: dict[str, Any]) -> None:
        from ray import train as ray_train
        from ray.train.torch import TorchTrainer

        TorchTrainer(
            importlib.import_module("benchmarks.lane_memory").work,
            train_loop_config=config,
            scaling_config=ray_train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 0.1}),
            run_config=ray_train.RunConfig(name=f"train-{config['number']}", storage_path=config["folder"]),
        ).fit()

    ray.init(address="local", log_to_driver=False, _temp_dir=folder)
    tune.Tuner(
        tune.with_resources(trial, {"memory": 1}),
        param_space={"number": tune.grid_search(list(range(lanes))), "folder": folder},
        tune_config=tune.TuneConfig(max_concurrent_trials=lanes),
        run_config=tune.RunConfig(name="tune", storage_path=folder, verbose=0),
    ).fit()


def work(config: dict[str, Any]) -> None:
    """Trains a trial in this process."""
    from thalweg.search.space import load_space
    from thalweg.training.messages import TrialOrder
    from thalweg.training.process_group import join
    from thalweg.training.session import DataCache, Session

    space = load_space("measured.lanes_space")
    order = TrialOrder(
        trial=f"trial-{config['number']}",
        family="families.toy",
        config=space.replay({})[0].model_dump(mode="json"),
        metric=space.study.metric,
        evaluations=space.study.evaluations,
        data_root=config["folder"],
        directory=config["folder"],
    )
    session = Session(order, join(), DataCache())
    report = session.advance(0)
    while not report.done:
        report = session.advance(report.samples)


def main() -> None:
    """Measures all arms and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="1 and 2 lanes")
    parser.add_argument("--max-lanes", type=int, default=LANES[-1], help="where memory ends sooner")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier build")
    parser.add_argument("--only", choices=("thalweg", "nested", "before"), help="one arm")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--arm", choices=("nested",), help=argparse.SUPPRESS)
    parser.add_argument("--lanes", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        nested(options.lanes, options.folder)
        return
    arms = {"thalweg": ROOT, "nested": ROOT}
    if options.before:
        arms["before"] = options.before.resolve()
    if options.only:
        arms = {options.only: arms[options.only]}
    numbers = LANES[:2] if options.quick else [lanes for lanes in LANES if lanes <= options.max_lanes]
    found = Figures()
    for arm, checkout in arms.items():
        sizes = {}
        for lanes in numbers:
            sizes[lanes] = measure(arm, checkout, lanes)
            told = "{:.0f} MiB PSS, {:.0f} MiB USS, {} processes".format(*sizes[lanes])
            print(f"{arm}, {lanes} lanes: {told}", file=sys.stderr, flush=True)
        for lanes, (pss, uss, count) in sizes.items():
            found.add(f"{arm}: PSS of all, {lanes} lanes", [pss], "MiB")
            found.add(f"{arm}: USS of all, {lanes} lanes", [uss], "MiB")
            found.add(f"{arm}: processes, {lanes} lanes", [count], "1")
        one, many = sizes[numbers[0]], sizes[numbers[-1]]
        further = [(last - first) / (numbers[-1] - numbers[0]) for first, last in zip(one, many, strict=True)]
        held = arm == "thalweg"
        found.add(f"{arm}: PSS of a further lane", [further[0]], "MiB", "at most 1024" if held else "")
        found.add(f"{arm}: USS of a further lane", [further[1]], "MiB")
        found.add(f"{arm}: processes of a further lane", [further[2]], "1", "at most 4" if held else "")
    tell(found.rows, options.json)


if __name__ == "__main__":
    main()
