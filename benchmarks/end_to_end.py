"""One question from command to answer: Ray's stock stack as its documentation shows it, and ``thalweg search``.

The question is the quickstart's: its space, 18 trials of 4,096 samples, two at a time, on this machine. Both arms train
the same model on the same data with the same loop and measure the same skill; that is checked, for a trial of each arm
must give its numbers again in a plain process. They differ in the platform alone:

  stock    Tune's `Tuner`, one TorchTrainer with DeepSpeed per trial, OptunaSearch, ASHAScheduler, MLflowLoggerCallback,
           as `benchmarks/stock_stack.py` says
  thalweg  `thalweg search` with its defaults: check of the space, baselines, leaderboard, pictures and all

For each of three seeds of the search, the arms take turns in fresh processes, with data made, and bytecode compiled,
before. Times are from the command to the end of its process. Equal quality: besides the time of the whole answer, told
is the time after which an arm had reached the best skill that both reach with that seed. A trial is lost if it neither
spent its budget nor was stopped early by the scheduler.

Processor time and memory (PSS, read every few seconds) are those of all processes of an arm. An arm that takes longer
than its limit is ended and counts with the limit, and the trials that it owes as lost. With ``--runs FILE`` what was
measured is kept there, and the same command goes on where it was interrupted:
    python -m benchmarks.end_to_end [--quick] [--runs FILE] [--json FILE]
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.arms import ROOT, environment, running
from benchmarks.figures import Figures, tell
from benchmarks.process_tree import Watch
from benchmarks.recorded_runs import RecordedSearch, read

ARMS = ("stock", "thalweg")
SPACE, STUDY = "benchmarks._end_to_end_space", "quickstart"
PARAMS = (
    "image_mask_ratio",
    "vector_mask_ratio",
    *(f"weight_{name}" for name in ("precipitation", "soil_moisture", "temperature", "evaporation")),
    "lr",
    "batch_size",
)
SPEEDUP = 10.0
POLLS_S, LOOKS_S, WEIGHS_S = 0.1, 1.0, 10.0
AGREEMENT = 1e-4
"""How far the objectives of equal trials may lie apart: rounding."""


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        trials: Number of trials.
        samples: Budget of a trial.
        lanes: Trials at a time.
        limit_s: Seconds after which an arm is ended.
    """

    trials: int
    samples: int
    lanes: int
    limit_s: float


@dataclass
class Answer:
    """What an arm took to answer, and what it found.

    Attributes:
        arm: Name of the arm.
        seed: Seed of the search.
        question: What was asked.
        ended: Whether it came to its end within the limit.
        wall_s: Seconds from the command to its end, or the limit.
        cpu_s: Processor seconds of all its processes.
        train_s: Seconds of training steps, of all its trials.
        peak_mib: Largest PSS of all its processes at one time.
        processes: Number of its processes.
        runs: MLflow's runs.
        values: Values of metrics in MLflow; Thalweg has more, in tables of its runs.
        lost: Trials that neither spent their budget nor were stopped early.
        reached: Seconds from the command, and best skill since then, ascending.
        trial: Parameters of its best trial, and that trial's skill at its first evaluation.
    """

    arm: str
    seed: int
    question: dict[str, Any]
    ended: bool
    wall_s: float
    cpu_s: float
    train_s: float
    peak_mib: float
    processes: int
    runs: int
    values: int
    lost: int
    reached: list[tuple[float, float]] = field(default_factory=list)
    trial: dict[str, Any] = field(default_factory=dict)

    @property
    def platform_s(self) -> float:
        """Seconds that a lane did not spend in training steps."""
        return self.wall_s - self.train_s / float(self.question["lanes"])

    @property
    def best(self) -> float:
        """The best skill."""
        return self.reached[-1][1] if self.reached else -math.inf

    def seconds_to(self, skill: float) -> float:
        """Returns the seconds after which it had reached a skill; infinity if it never did."""
        return next((seconds for seconds, best in self.reached if best >= skill), math.inf)


def command_of(arm: str, question: Question, folder: Path) -> list[str]:
    """Returns the command of an arm."""
    size = [
        "--trials",
        str(question.trials),
        "--samples",
        str(question.samples),
        "--lanes",
        str(question.lanes),
    ]
    if arm == "stock":
        return [sys.executable, "-m", "benchmarks.stock_stack", *size, "--folder", str(folder)]
    places = ["--output", str(folder), "--tracking-uri", f"sqlite:///{folder}/mlflow.db"]
    return [sys.executable, "-m", "thalweg", "search", SPACE, "--study", STUDY, *size, *places]


def variables_of(seed: int, data: Path) -> dict[str, str]:
    """Returns the variables of all arms."""
    return environment([ROOT / "platform", ROOT], SEARCH_SEED=str(seed), THALWEG_DATA=str(data))


def answer(arm: str, seed: int, question: Question, data: Path) -> Answer:
    """Runs an arm in fresh processes to its end or limit."""
    with tempfile.TemporaryDirectory(prefix="twe", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder, began = Path(name), time.time()
        with running(command_of(arm, question, folder), folder, variables_of(seed, data)) as process:
            watch = Watch(psutil.Process(process.pid))
            ended = _follow(process, watch, began + question.limit_s)
            wall_s = time.time() - began
        watch.end_rest()
        if ended and process.returncode:
            sys.exit(f"{arm} failed:\n{(folder / 'output.txt').read_text()[-4000:]}")
        found = read(folder / "mlflow.db", "skill", PARAMS)
        best = _best_trial(arm, folder, found)
    return Answer(
        arm=arm,
        seed=seed,
        question=asdict(question),
        ended=ended,
        wall_s=wall_s,
        cpu_s=watch.cpu_s,
        train_s=sum(trial.train_s for trial in found.trials),
        peak_mib=watch.peak_mib,
        processes=watch.num_processes,
        runs=found.num_runs,
        values=found.num_values,
        lost=question.trials - sum(trial.settled for trial in found.trials),
        reached=[(moment - began, best) for moment, best in found.best_since()],
        trial=best,
    )


def _follow(process: "subprocess.Popen[bytes]", watch: Watch, deadline: float) -> bool:
    """Watches a process; returns whether it ended before the deadline."""
    looks = weighs = 0.0
    while process.poll() is None:
        if time.time() > deadline:
            return False
        if time.monotonic() > looks:
            watch.look()
            looks = time.monotonic() + LOOKS_S
        if time.monotonic() > weighs:
            watch.weigh()
            weighs = time.monotonic() + WEIGHS_S
        time.sleep(POLLS_S)
    return True


def _best_trial(arm: str, folder: Path, found: RecordedSearch) -> dict[str, Any]:
    tried = [(trial.params, [value for _, value in trial.curve]) for trial in found.trials]
    if arm == "thalweg" and tried:  # its runs show parameters rounded, its journal does not
        from thalweg.search.store.records import read_study

        records = read_study(folder / STUDY, STUDY).trials
        tried = [(dict(record.params), [value for _, value in record.curve]) for record in records]
    evaluated = [(params, values) for params, values in tried if values]
    if not evaluated:
        return {}
    params, values = max(evaluated, key=lambda each: max(each[1]))
    return {"params": params, "value": values[0]}


def control(folder: Path, question: Question, params: dict[str, Any]) -> float:
    """Trains a trial in this process to its first evaluation, and returns its skill."""
    from benchmarks.stock_stack import order_of
    from thalweg.training.process_group import join
    from thalweg.training.session import DataCache, Session

    order = order_of("control", params, question.samples, folder)
    return float(Session(order, join(), DataCache()).advance(0).value)


def controlled(data: Path, question: Question, params: dict[str, Any]) -> float:
    """Trains a trial in a fresh process to its first evaluation, and returns its skill."""
    with tempfile.TemporaryDirectory(prefix="twe", dir="/tmp") as folder:
        words = ["-m", "benchmarks.end_to_end", "--control", json.dumps(params), "--folder", folder]
        done = subprocess.run(
            [sys.executable, *words, "--samples", str(question.samples)],
            env=variables_of(1, data),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"a trial failed in a process of its own:\n{done.stderr[-4000:]}")
        return float(done.stdout.splitlines()[-1])


def check_equal(answers: Sequence[Answer], data: Path) -> None:
    """Stops unless a trial of each arm gives its skill again in a plain process."""
    for arm in ARMS:
        one = next((each for each in answers if each.arm == arm and each.trial), None)
        if one is None:
            sys.exit(f"{arm} evaluated no trial within its limit")
        alone = controlled(data, Question(**one.question), one.trial["params"])
        if abs(alone - one.trial["value"]) > AGREEMENT:
            sys.exit(f"{arm} found {one.trial['value']} for {one.trial['params']}, a plain process {alone}")


def figures(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Returns medians over seeds, and of ratios within seeds, with their goals."""
    found = Figures()
    by_arm = {arm: sorted((a for a in answers if a.arm == arm), key=lambda a: a.seed) for arm in ARMS}
    for arm, of in by_arm.items():
        found.add(f"{arm}: wall time", [each.wall_s for each in of], "s")
        found.add(f"{arm}: processor time", [each.cpu_s for each in of], "s")
        found.add(f"{arm}: wall time beside training steps", [each.platform_s for each in of], "s")
        found.add(f"{arm}: peak memory", [each.peak_mib for each in of], "MiB")
        found.add(f"{arm}: processes", [each.processes for each in of], "1")
        found.add(f"{arm}: runs in MLflow", [each.runs for each in of], "1")
        found.add(f"{arm}: values of metrics in MLflow", [each.values for each in of], "1")
        lost = sum(each.lost for each in of)
        found.add(f"{arm}: trials lost, of all seeds", [lost], "1", "at most 0" if arm == "thalweg" else "")
        for each in of:
            found.add(f"{arm}: best skill, seed {each.seed}", [each.best], "1")
    pairs = list(zip(by_arm["stock"], by_arm["thalweg"], strict=True))
    found.add("thalweg - stock: best skill", [b.best - a.best for a, b in pairs], "1", "at least 0")
    found.add(
        "stock / thalweg: wall time", [a.wall_s / b.wall_s for a, b in pairs], "1", f"at least {SPEEDUP:g}"
    )
    found.add(
        "stock / thalweg: wall time beside training steps",
        [a.platform_s / b.platform_s for a, b in pairs],
        "1",
    )
    found.add("stock / thalweg: processor time", [a.cpu_s / b.cpu_s for a, b in pairs], "1")
    found.add("stock / thalweg: peak memory", [a.peak_mib / b.peak_mib for a, b in pairs], "1")
    for arm, of in by_arm.items():
        seconds = [each.seconds_to(min(a.best, b.best)) for each, (a, b) in zip(of, pairs, strict=True)]
        found.add(f"{arm}: wall time to the skill that both reach", seconds, "s")
    ratios = [a.seconds_to(low) / b.seconds_to(low) for a, b in pairs for low in [min(a.best, b.best)]]
    found.add("stock / thalweg: wall time to that skill", ratios, "1")
    return found.rows


def measure(seeds: Sequence[int], question: Question, runs: Path | None, data: Path) -> list[Answer]:
    """Runs the arms in turn, those runs aside that a file holds, to which the others are added."""
    lines = runs.read_text().splitlines() if runs and runs.exists() else []
    kept = [Answer(**json.loads(line)) for line in lines]
    answers = []
    for seed in seeds:
        for arm in ARMS:
            known = [a for a in kept if (a.arm, a.seed, a.question) == (arm, seed, asdict(question))]
            answers.append(known[-1] if known else answer(arm, seed, question, data))
            if runs and not known:
                with runs.open("a") as file:
                    file.write(json.dumps(asdict(answers[-1])) + "\n")
            told = f"{answers[-1].wall_s:.0f} s, best {answers[-1].best:.4f}, {answers[-1].lost} lost"
            print(f"seed {seed} {arm}: {told}{' (kept)' if known else ''}", file=sys.stderr, flush=True)
    return answers


def main() -> None:
    """Measures both arms in turn and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="4 trials, one seed")
    parser.add_argument("--trials", type=int, default=18)
    parser.add_argument("--samples", type=int, default=4096, help="budget of a trial")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds of the search")
    parser.add_argument("--limit-minutes", type=float, default=40.0, help="of one arm with one seed")
    parser.add_argument("--runs", type=Path, help="keep what is measured here, and go on from it")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--control", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.trials, given.seeds = 4, 1
    question = Question(given.trials, given.samples, 2, 60 * given.limit_minutes)
    if given.control:
        print(control(given.folder, question, json.loads(given.control)))
        return
    with tempfile.TemporaryDirectory(prefix="twd", dir="/tmp") as name:
        data = Path(name)
        make = [sys.executable, "-m", "thalweg", "data", "make", "water_mae", "tiny"]
        subprocess.run(make, env=variables_of(1, data), check=True, stdout=subprocess.DEVNULL)
        if not given.quick:
            for arm in ARMS:  # compiles bytecode
                answer(arm, 0, Question(2, 512, 2, question.limit_s), data)
        answers = measure(range(1, given.seeds + 1), question, given.runs, data)
        check_equal(answers, data)
    tell(figures(answers), given.json, answers=[asdict(each) for each in answers])


if __name__ == "__main__":
    main()
