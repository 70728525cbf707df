"""What a trial costs besides its training: Ray's documented pattern, two plainer ones, and Thalweg, side by side.

Every arm trains the same short trials (the toy family of the tests, on DeepSpeed) and must find the same numbers, which
is checked before any time is read. The arms take turns, round after round, each in a fresh process with a fresh Ray:

  nested      Ray's documented pattern: a Tune function that starts one TorchTrainer per trial
  reused      Tune with ``reuse_actors`` and no Ray Train: a class that trains in its own process
  subprocess  one Python process per trial
  thalweg     a study: our searcher, scheduler and warm lane, Optuna's journal, checkpoints
  control     no framework at all: the same trials in a loop of one warm process, which is the limit

The marginal cost of a trial is the slope between the end of trial N and the end of trial 4N; the session's start is
told beside it. How much of a study's wall time is spent in steps is measured on trials whose steps take 5 s, by the
time of a step in the control; told is the least share of all rounds.

Run alone on the machine:  python benchmarks/trial_overhead.py [--quick] [--rounds N] [--json FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import psutil

from benchmarks.figures import tell

ROOT = Path(__file__).resolve().parent.parent
EVALUATIONS = (16, 32)
BATCH = 8
TRIALS = {"nested": 1, "reused": 10, "subprocess": 2, "thalweg": 10, "control": 10}  # N; each arm runs 4N
ARMS = tuple(TRIALS)
LONG_S = 5.0
SETTLED, TIMED = 256, 2048
"""Samples before a step is timed, and samples over which it is."""


@dataclass
class Timing:
    """What one session of an arm took.

    Attributes:
        start_s: From the start of the process to the end of the first trial.
        trial_s: Marginal seconds per trial.
        cpu_s: Processor seconds per trial, of the whole machine.
        processes: New processes per trial.
        values: Objective of each trial, in order.
        training_share: Share of the steady wall time spent in training steps; only where asked for.
        lane_s: From a running Ray to a warm lane.
        step_s: Seconds of a training step; only of the control.
    """

    start_s: float
    trial_s: float
    cpu_s: float
    processes: float
    values: list[float]
    training_share: float = 0.0
    lane_s: float = 0.0
    step_s: float = 0.0


class Meter:
    """Notes when trials end, and meanwhile which processes exist and how much processor time goes by."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float, int]] = []
        self._seen: set[int] = set()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        me = psutil.Process()
        while True:
            self._seen |= {child.pid for child in me.children(recursive=True)}
            time.sleep(0.05)

    def trial_ended(self) -> None:
        """Notes the end of a trial."""
        times = psutil.cpu_times()
        self.ends.append((time.time(), times.user + times.system, len(self._seen)))

    def timing(self, num_trials: int, values: list[float]) -> Timing:
        """Returns the slopes between trial N and trial 4N."""
        (t0, c0, p0), (t1, c1, p1) = self.ends[num_trials - 1], self.ends[4 * num_trials - 1]
        span = 3 * num_trials
        born = psutil.Process().create_time()
        return Timing(self.ends[0][0] - born, (t1 - t0) / span, (c1 - c0) / span, (p1 - p0) / span, values)


def order(number: int, folder: str, evaluations: tuple[int, ...] = EVALUATIONS) -> Any:
    """Returns the trial with this number."""
    from thalweg.training.messages import TrialOrder

    return TrialOrder(
        trial=f"trial-{number}",
        family="families.toy",
        config=config(number),
        metric="mse",
        evaluations=evaluations,
        data_root=folder,
        directory=folder,
    )


def config(number: int) -> dict[str, Any]:
    """Returns the configuration of a trial: the learning rate tells trials apart."""
    return {"optimization": {"lr": 1e-3 * (1 + number % 100), "batch_size": BATCH, "warmup_ratio": 0.1}}


def train(number: int, folder: str, world: Any, cache: Any) -> float:
    """Trains a trial in this process and returns its objective."""
    from thalweg.training.session import Session

    session = Session(order(number, folder), world, cache)
    report = session.advance(0)
    while not report.done:
        report = session.advance(report.samples)
    session.close()
    return float(report.value)


def control(num_trials: int, folder: str) -> Timing:
    """Trains in a loop of one process."""
    from thalweg.training.engine import engine
    from thalweg.training.process_group import join
    from thalweg.training.session import DataCache

    meter, world, cache, values = Meter(), join(), DataCache(), []
    engine.warm_up()
    for number in range(4 * num_trials):
        values.append(train(number, folder, world, cache))
        meter.trial_ended()
    timing = meter.timing(num_trials, values)
    timing.step_s = step_seconds(folder, world, cache)
    return timing


def step_seconds(folder: str, world: Any, cache: Any) -> float:
    """Returns the seconds of a training step between evaluations; a short trial's are mostly those of other work."""
    from thalweg.training.session import Session

    session = Session(order(4 * TRIALS["control"], folder, (SETTLED, SETTLED + TIMED)), world, cache)
    timings = session.advance(session.advance(0).samples).timings
    session.close()
    return float(timings["train_s"]) * BATCH / TIMED


def subprocesses(num_trials: int, folder: str) -> Timing:
    """Starts a process per trial."""
    meter, values = Meter(), []
    for number in range(4 * num_trials):
        command = [sys.executable, __file__, "--arm", "one", "--trials", str(number), "--folder", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        values.append(json.loads(done.stdout.splitlines()[-1])["value"])
        meter.trial_ended()
    return meter.timing(num_trials, values)


def _tune(trainable: Any, num_trials: int, folder: str) -> Timing:
    """Runs trainables under Tune, one at a time, as its documentation does; only the loggers are switched off."""
    import ray
    from ray import tune

    meter, values = Meter(), {}

    class Watch(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            values[trial.config["number"]] = trial.last_result["value"]
            meter.trial_ended()

    ray.init(address="local", log_to_driver=False, include_dashboard=True, _temp_dir=folder)
    tuner = tune.Tuner(
        trainable,
        param_space={"number": tune.grid_search(list(range(4 * num_trials))), "folder": folder},
        tune_config=tune.TuneConfig(max_concurrent_trials=1, reuse_actors=True),
        run_config=tune.RunConfig(name="tune", storage_path=folder, verbose=0, callbacks=[Watch()]),
    )
    tuner.fit()
    ray.shutdown()
    return meter.timing(num_trials, [values[number] for number in sorted(values)])


def nested(num_trials: int, folder: str) -> Timing:
    """Starts one TorchTrainer per trial from a Tune function."""
    from ray import tune

    def trial(config: dict[str, Any]) -> None:
        from ray import train as ray_train
        from ray.train.torch import TorchTrainer
        from ray.tune.integration.ray_train import TuneReportCallback

        def work(config: dict[str, Any]) -> None:
            from ray import train as ray_train

            from thalweg.training.process_group import join
            from thalweg.training.session import DataCache

            value = _module().train(config["number"], config["folder"], join(), DataCache())
            ray_train.report({"value": value})

        trainer = TorchTrainer(
            work,
            train_loop_config=config,
            scaling_config=ray_train.ScalingConfig(num_workers=1),
            run_config=ray_train.RunConfig(
                name=f"train-{config['number']}",
                storage_path=config["folder"],
                callbacks=[cast(Any, TuneReportCallback)()],
            ),
        )
        trainer.fit()

    return _tune(tune.with_resources(trial, {"memory": 1}), num_trials, folder)


def reused(num_trials: int, folder: str) -> Timing:
    """Trains in a Tune class whose actor is reused."""
    from ray import tune

    class Trial(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            from thalweg.training.process_group import join
            from thalweg.training.session import DataCache

            self.world, self.cache = join(), DataCache()

        def step(self) -> dict[str, Any]:
            value = _module().train(self.config["number"], self.config["folder"], self.world, self.cache)
            return {"value": value, "done": True}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

        def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
            return {}

        def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
            """Nothing to load."""

    return _tune(tune.with_resources(Trial, {"cpu": 1}), num_trials, folder)


def _module() -> Any:
    """Returns this file as a module that a worker process can import."""
    import importlib

    return importlib.import_module("benchmarks.trial_overhead")


def thalweg(
    num_trials: int, folder: str, evaluations: int = len(EVALUATIONS), samples: int = EVALUATIONS[-1]
) -> Timing:
    """Runs a study."""
    from thalweg.events import Event, StudyStarted, TrialEnded, TrialProgress
    from thalweg.search.preflight import prepare
    from thalweg.search.run import search
    from thalweg.search.space import load_space
    from thalweg.search.starting.run_options import Options

    meter, trained = Meter(), list[float]()
    values: dict[int, float] = {}
    lane: list[float] = []

    class Watch:
        def handle(self, event: Event) -> None:
            if isinstance(event, StudyStarted):
                lane.append(-time.time())
            if isinstance(event, TrialProgress):
                if not trained:
                    lane.append(time.time() - sum(event.timings.values()))
                trained.append(event.timings["train_s"])
            if isinstance(event, TrialEnded):
                assert event.value is not None, event.reason
                values[event.number] = event.value
                meter.trial_ended()

        def close(self) -> None:
            """Nothing to deliver."""

    space = load_space("benchmarks._overhead_space")
    settings = {
        "num_trials": 4 * num_trials,
        "num_evaluations": evaluations,
        "samples": samples,
        "first_trials": tuple({"number": number} for number in range(4 * num_trials)),
    }
    study = space.study.model_copy(update=settings)
    space = type(space)(**{**vars(space), "study": study})
    search(prepare(space, Path(folder)), Options(name="study", output=Path(folder)), [Watch()])
    timing = meter.timing(num_trials, [values[number] for number in sorted(values)])
    timing.lane_s = sum(lane)
    steady = meter.ends[-1][0] - meter.ends[0][0]
    timing.training_share = sum(trained[evaluations:]) / steady
    return timing


def run_arm(arm: str, num_trials: int, folder: str) -> Mapping[str, Any]:
    """Runs one session in this process."""
    if arm == "one":
        from thalweg.training.process_group import join
        from thalweg.training.session import DataCache

        return {"value": train(num_trials, folder, join(), DataCache())}
    if arm == "long":  # so many samples in each trial
        return asdict(thalweg(1, folder, evaluations=4, samples=num_trials))
    arms: dict[str, Callable[[int, str], Timing]] = {
        "nested": nested,
        "reused": reused,
        "subprocess": subprocesses,
        "thalweg": thalweg,
        "control": control,
    }
    return asdict(arms[arm](num_trials, folder))


def session(arm: str, num_trials: int) -> Timing:
    """Runs one session of an arm in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="tw", dir="/tmp", ignore_cleanup_errors=True) as folder:
        paths = [str(ROOT), str(ROOT / "tests" / "plugins"), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
            "RAY_AIR_NEW_OUTPUT": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, __file__, "--arm", arm, "--trials", str(num_trials), "--folder", folder]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            sys.exit(f"{arm} failed:\n{done.stderr[-4000:]}")
        return Timing(**json.loads(done.stdout.splitlines()[-1]))


def check_equal(timings: Mapping[str, list[Timing]]) -> None:
    """Stops unless every arm found the same numbers for the same trials."""
    reference = timings["control"][0].values
    for arm, sessions in timings.items():
        for timing in sessions:
            count = min(len(reference), len(timing.values))
            if timing.values[:count] != reference[:count]:
                sys.exit(f"{arm} found {timing.values[:count]}, control found {reference[:count]}")


def figures(timings: Mapping[str, list[Timing]], long: list[Timing]) -> list[dict[str, Any]]:
    """Returns medians over rounds and their goals."""

    def median(arm: str, name: str) -> float:
        return float(statistics.median(getattr(timing, name) for timing in timings[arm]))

    rows: list[dict[str, Any]] = []

    def add(name: str, value: float, unit: str, goal: str = "", met: bool | None = None) -> None:
        rows.append({"name": name, "value": round(value, 4), "unit": unit, "goal": goal, "met": met})

    for arm in timings:
        add(f"{arm}: marginal cost of a trial", median(arm, "trial_s"), "s")
        add(f"{arm}: start of a session, first trial included", median(arm, "start_s"), "s")
        add(f"{arm}: processor time per trial", median(arm, "cpu_s"), "s")
        add(f"{arm}: new processes per trial", median(arm, "processes"), "1")
    ours, limit = median("thalweg", "trial_s"), median("control", "trial_s")
    add(
        "thalweg: marginal cost without the training itself",
        ours - limit,
        "s",
        "at most 0.1",
        ours - limit <= 0.1,
    )
    add("thalweg: marginal cost, training included", ours, "s", "at most 0.1", ours <= 0.1)
    ratio = median("nested", "trial_s") / ours
    add("nested / thalweg", ratio, "1", "at least 200", ratio >= 200)
    below = median("reused", "trial_s") / ours
    add("reused / thalweg", below, "1", "above 1", below > 1)
    lane = median("thalweg", "lane_s")
    add("thalweg: start of a lane, from a running Ray", lane, "s", "below 25", lane < 25)
    share = min(timing.training_share for timing in long)
    add("thalweg: wall time of a trial with 5 s of steps", statistics.median(t.trial_s for t in long), "s")
    add(
        "thalweg: share of it in training, the least of all rounds",
        share,
        "1",
        "at least 0.95",
        share >= 0.95,
    )
    return rows


def main() -> None:
    """Measures all arms in turn and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--trials", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arm:
        print("\n" + json.dumps(run_arm(args.arm, args.trials, args.folder)), flush=True)
        os._exit(0)  # what is measured is over; Ray would take seconds to say goodbye
    timings: dict[str, list[Timing]] = {arm: [] for arm in ARMS}
    long: list[Timing] = []
    for number in range(1 if args.quick else args.rounds):
        for arm in ARMS:
            timings[arm].append(session(arm, TRIALS[arm]))
            print(f"round {number + 1} {arm}: {timings[arm][-1].trial_s:.3f} s per trial", file=sys.stderr)
        num_steps = 8 * round(LONG_S / timings["control"][-1].step_s / 8)
        long.append(session("long", BATCH * num_steps))
        told = f"{long[-1].training_share:.3f} of {long[-1].trial_s:.1f} s"
        print(f"round {number + 1} thalweg: {told} in training", file=sys.stderr)
    check_equal(timings)
    rows = figures(timings, long)
    tell(rows, args.json)


if __name__ == "__main__":
    main()
