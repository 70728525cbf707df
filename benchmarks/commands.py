"""What commands that only look cost, beside the build of an earlier commit, in one run and one environment.

The earlier build is checked out into a temporary folder. Both builds then run each command on the same study, in turn,
round after round; first their outputs must be equal. Processor time of the child (user + system) is what the goals are
about, for it is hardly changed by what else the machine does; wall time is told beside it. The interpreter with torch
imported is a build of its own.

`describe` builds a model to count its weights, which imports torch, and remembers them: the goal is about a description
that finds them, "first description" is one with an empty memory.

A second part lists a study of many trials with both builds, and reads its journal with Optuna's replay and without in
one process: the records must agree.

Run:  python benchmarks/commands.py [--quick] [--rounds N] [--commit COMMIT] [--json FILE]
"""

import argparse
import gc
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.figures import tell

ROOT = Path(__file__).resolve().parent.parent
COMMIT = "1fe89fc"
STUDY = "quickstart"
FAMILY = "water_mae"
FIRST = "first description"
COMMANDS = {
    "--help": ["--help"],
    "spaces": ["spaces"],
    "families": ["families"],
    "studies": ["studies"],
    "show": ["show", STUDY],
    "best": ["best", STUDY],
    "data list": ["data", "list"],
    "describe": ["describe", FAMILY],
    FIRST: ["describe", FAMILY],
}
GOAL = {name: 1 / 3 for name in ("studies", "show", "best", "data list", "describe")}
EQUAL = ("studies", "data list")
SAME_NUMBERS = (
    "show",
    "best",
    "describe",
)  # their tables are laid out otherwise, without other numbers in them
NUMBER = re.compile(r"\d+\.\d+|\d[\d,]*,\d{3}")
SPEEDUP = 5.0
WORKER = "9f0c7c1e-3a5b-4c58-8d8e-0f2f5c1f6a77-140245"
LONG_STUDY = {"space": "search_spaces.s", "mode": "min", "metric": "loss", "study": {"num_trials": 1}}
LONG_TRIAL = {
    "params": {"lr": 0.5, "width": 0.5, "depth": 0.5, "dropout": 0.5},
    "config": {"model": {"width": 8, "depth": 2}},
    "curve": [(step, 1 / step) for step in range(1, 9)],
    "metrics": {"loss": 0.125},
    "state": 1,
}


@dataclass(frozen=True)
class Cost:
    """Seconds of one run of a command.

    Attributes:
        cpu: Of the processor, in the process and its children.
        wall: Of the clock.
    """

    cpu: float
    wall: float


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Yields a folder with the files of a commit; takes it away afterwards."""
    with tempfile.TemporaryDirectory(prefix="thalweg-") as folder:
        target = Path(folder) / "build"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(target), commit], check=True)
        try:
            yield target
        finally:
            subprocess.run([*git, "remove", "--force", str(target)], check=True)


def journal(
    name: str, definition: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Returns Optuna's operations that make a study of trials, each with params, config, curve, metrics and state.

    They are as Optuna writes them, with times in UTC; a trial begins every 90 seconds and takes a minute.
    """
    asked = json.dumps(
        {"name": "FloatDistribution", "attributes": {"step": None, "low": 0.0, "high": 1.0, "log": False}}
    )
    logs: list[dict[str, Any]] = [
        {"op_code": 0, "study_name": name, "directions": [1]},
        {"op_code": 2, "study_id": 0, "user_attr": {"thalweg": definition}},
    ]
    for number, trial in enumerate(trials):
        of = {"trial_id": number}
        began = datetime(2026, 1, 1, tzinfo=UTC) + number * timedelta(seconds=90.000001)
        logs.append({"op_code": 4, "study_id": 0, "datetime_start": began.isoformat(timespec="microseconds")})
        for param, value in trial["params"].items():
            answer = {"param_name": param, "param_value_internal": value, "distribution": asked}
            logs.append({"op_code": 5} | of | answer)
        logs.append({"op_code": 8} | of | {"user_attr": {"config": trial["config"]}})
        for step, value in trial["curve"]:
            logs.append({"op_code": 7} | of | {"step": step, "intermediate_value": value})
        outcome = {
            "samples": trial["curve"][-1][0],
            "metrics": trial["metrics"],
            "seconds": 60.0,
            "reason": "",
        }
        logs.append({"op_code": 8} | of | {"user_attr": {"outcome": outcome}})
        ended = (began + timedelta(minutes=1)).isoformat(timespec="microseconds")
        end = {"state": trial["state"], "values": [0.5], "datetime_complete": ended}
        logs.append({"op_code": 6} | of | end)
    return logs


def write(folder: Path, logs: Iterable[Mapping[str, Any]]) -> None:
    """Adds operations to the journal in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "journal.log").open("a", encoding="utf-8") as file:
        for log in logs:
            whole = {"op_code": log["op_code"], "worker_id": WORKER, **log}
            file.write(json.dumps(whole, separators=(",", ":")) + "\n")


def write_study(folder: Path, num_trials: int) -> None:
    """Leaves a study with baselines in a folder that both builds can read, as a search would; nothing is trained."""
    from thalweg.analysis.declared import metrics_of
    from thalweg.search.store.records import read_study

    definition = {
        "space": f"search_spaces.{STUDY}", "family": f"trainables.{FAMILY}", "metric": "skill", "mode": "max",
        "samples": 4096, "num_evaluations": 8, "fingerprint": "", "study": {"num_trials": num_trials},
    }  # fmt: skip
    write(folder, journal(STUDY, definition, [])[:2])
    metrics = metrics_of(read_study(folder, STUDY))
    draw = random.Random(0)
    trials = []
    for number in range(num_trials):
        values = {metric.name: round(draw.uniform(0.1, 0.9), 4) for metric in metrics}
        lr = draw.uniform(0.0001, 0.01)
        trials.append(
            {
                "params": {"lr": lr, "image_mask_ratio": draw.uniform(0.1, 0.9)},
                "config": {"dataset": "tiny", "optimization": {"lr": lr}},
                "curve": [(512 * n, values["skill"]) for n in range(1, 3 if number % 3 else 9)],
                "metrics": values,
                "state": 2 if number % 3 else 1,
            }
        )
    write(folder, journal(STUDY, definition, trials)[2:])
    declared = [asdict(metric) for metric in metrics]
    write(folder, [{"op_code": 2, "study_id": 0, "user_attr": {"metrics": declared}}])
    known = {name: {metric.name: draw.uniform(0.1, 0.9) for metric in metrics} for name in ("ridge", "mean")}
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "baselines.json").write_text(json.dumps(known))


def run(words: Sequence[str], root: Path, folder: Path, memory: Path | None = None) -> tuple[str, Cost]:
    """Runs Python with a build on its path; returns what it printed, and its cost.

    Args:
        words: Arguments of Python.
        root: The build.
        folder: Where it runs.
        memory: Where it looks for descriptions; None takes a folder of this benchmark.
    """
    path = os.pathsep.join(map(str, (root / "platform", root)))
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    environment["THALWEG_CACHE"] = str(memory or folder / "memory")
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as printed:
        child = subprocess.Popen([sys.executable, *words], cwd=folder, env=environment, stdout=printed)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{' '.join(words)} of {root} ended with code {child.returncode}")
        printed.seek(0)
        return printed.read(), Cost(used.ru_utime + used.ru_stime, wall)


def check_equal(builds: Mapping[str, Path], folder: Path) -> None:
    """Ends the benchmark if two builds print something else."""
    for name in (*EQUAL, *SAME_NUMBERS):
        words = ["-m", "thalweg", *COMMANDS[name]]
        before, now = (run(words, builds[build], folder)[0] for build in ("before", "now"))
        new = set(NUMBER.findall(now)) - set(NUMBER.findall(before))
        if new or (name in EQUAL and before != now):
            raise SystemExit(f"{name} prints something else ({', '.join(new)}):\n{before}\n{now}")


def measure(builds: Mapping[str, Path], folder: Path, rounds: int) -> dict[tuple[str, str], list[Cost]]:
    """Runs every command of every build in turn."""
    costs: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    for _ in range(rounds):
        for name, words in COMMANDS.items():
            for build, root in builds.items():
                with tempfile.TemporaryDirectory() as empty:
                    memory = Path(empty) if name == FIRST else None
                    costs[build, name].append(run(["-m", "thalweg", *words], root, folder, memory)[1])
        costs["torch", "import"].append(run(["-c", "import torch"], ROOT, folder)[1])
    return costs


def read_long(folder: Path, rounds: int) -> tuple[float, float]:
    """Returns the processor seconds of reading a long journal with and without Optuna."""
    import optuna

    from thalweg.search.store.records import read, read_study
    from thalweg.search.store.storage import open_storage

    theirs: list[float] = []
    ours: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        expected = read(optuna.load_study(study_name="s", storage=open_storage(folder, None)), folder)
        theirs.append(time.process_time() - began)
        gc.disable()  # as `thalweg.cli.app` does for the commands that read
        began = time.process_time()
        found = read_study(folder, "s")
        ours.append(time.process_time() - began)
        gc.enable()
        if found != expected:
            raise SystemExit("the records of a long journal differ")
        del found, expected  # what they take to be freed is no reading
    return statistics.median(theirs), statistics.median(ours)


def measure_long(builds: Mapping[str, Path], folder: Path, rounds: int) -> dict[str, float]:
    """Returns the processor seconds in which each build lists a study of many trials."""
    costs: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for build, root in builds.items():
            costs[build].append(run(["-m", "thalweg", *COMMANDS["studies"]], root, folder)[1].cpu)
    return {build: statistics.median(found) for build, found in costs.items()}


def figures(
    costs: Mapping[tuple[str, str], list[Cost]],
    listed: Mapping[str, float],
    replay: tuple[float, float],
    trials: int,
) -> list[dict[str, Any]]:
    """Returns the figures, those with a goal first."""
    cpu = {key: statistics.median(cost.cpu for cost in found) for key, found in costs.items()}
    wall = {key: statistics.median(cost.wall for cost in found) for key, found in costs.items()}
    rows: list[dict[str, Any]] = []

    def row(name: str, value: float, unit: str, goal: str | None = None, met: bool | None = None) -> None:
        rows.append({"name": name, "value": round(value, 4), "unit": unit, "goal": goal, "met": met})

    for name in COMMANDS:
        share = cpu["now", name] / cpu["before", name]
        met = share <= GOAL[name] if name in GOAL else None
        goal = f"<= {GOAL[name]:.3f}" if name in GOAL else None
        row(f"{name}: processor time, share of {COMMIT}'s", share, "1", goal, met)
    before, now = (listed[build] - cpu[build, "studies"] for build in ("before", "now"))
    speedup = before / now
    row(
        f"{trials:,} trials: time to read of {COMMIT} over ours",
        speedup,
        "1",
        f">= {SPEEDUP:g}",
        speedup >= SPEEDUP,
    )
    row(f"{trials:,} trials: Optuna's replay of our journal over ours", replay[0] / replay[1], "1")
    row(f"{trials:,} trials, Optuna's replay: processor", replay[0], "s")
    row(f"{trials:,} trials, ours: processor", replay[1], "s")
    torch = cpu["torch", "import"] / cpu["before", "describe"]
    row(f"describe: import of torch alone, share of {COMMIT}'s", torch, "1")
    for name in COMMANDS:
        for build in ("before", "now"):
            row(f"{name}, {build}: processor", cpu[build, name], "s")
            row(f"{name}, {build}: wall", wall[build, name], "s")
    return rows


def main() -> None:
    """Measures both builds in turn and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round, a short study")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--commit", default=COMMIT, help="the earlier build")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    rounds, trials, long_trials = (1, 12, 1000) if args.quick else (args.rounds, 60, 10_000)
    with checked_out(args.commit) as before, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_study(folder / "thalweg_runs" / STUDY, trials)
        builds = {"before": before, "now": ROOT}
        check_equal(builds, folder)
        costs = measure(builds, folder, rounds)
        long = folder / "long" / "thalweg_runs" / "s"
        write(long, journal("s", LONG_STUDY, [LONG_TRIAL] * long_trials))
        listed = measure_long(builds, folder / "long", min(rounds, 3))
        rows = figures(costs, listed, read_long(long, min(rounds, 3)), long_trials)
    tell(rows, args.json)


if __name__ == "__main__":
    main()
