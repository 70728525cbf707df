"""Lanes on real Ray Train workers with real DeepSpeed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray import tune
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from ray.util.state import list_actors

from thalweg.lanes import causes_of_death, stages
from thalweg.lanes.lane import Lane, LaneSettings
from thalweg.lanes.resources import Gang
from thalweg.lanes.trainable import LaneTrainable
from thalweg.search.tune_adapters import booking
from thalweg.study_folder import StudyFolder
from thalweg.training.messages import Refusal, Report, TrialOrder

# Ray warns of its own deprecations while it starts a trainer, which happens in this process here.
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:::ray")]

EVALUATIONS = (64, 128, 192, 256)

BROKEN = (
    r"the code of families\.toy must run, got RuntimeError: the toy is broken in \S*families/toy/task\.py:"
)


def _order(
    directory: Path,
    trial: str,
    *,
    opt: dict[str, Any] | None = None,
    evaluations: tuple[int, ...] = EVALUATIONS,
    **knobs: Any,
) -> TrialOrder:
    optimization = {"lr": 1e-2, "batch_size": 8, "warmup_ratio": 0.1} | (opt or {})
    return TrialOrder(
        trial=trial,
        family="families.toy",
        config={"optimization": optimization, **knobs},
        metric="mse",
        evaluations=evaluations,
        data_root=str(directory),
        directory=str(directory / "checkpoints"),
    )


def _train(lane: Lane, order: TrialOrder) -> list[Report]:
    reports: list[Report] = []
    while not reports or not reports[-1].done:
        answer = lane.advance(order, reports[-1].samples if reports else 0)
        assert isinstance(answer, Report), answer
        reports.append(answer)
    return reports


@pytest.mark.timeout(300)
def test_a_lane_that_is_late_says_why_ends_its_process_and_leaves_nothing_booked(
    ray_address: str, tmp_path: Path
) -> None:
    before = _booked()
    gang = Gang(1, 3, 0)  # two of them would not fit at a time
    trainable = tune.with_parameters(LaneTrainable, settings=_settings(gang, tmp_path, start_timeout_s=0.0))
    tuner = tune.Tuner(
        tune.with_resources(trainable, booking(gang)),
        param_space={"number": 0, "config": {}, "baselines": False},
        run_config=tune.RunConfig(
            name="late",
            storage_path=str(tmp_path),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=1),
        ),
    )
    results = tuner.fit()
    assert "workers must be up within 0 s" in str(results[0].error)
    _until(lambda: _booked() <= before)


@pytest.mark.timeout(300)
def test_a_lane_is_three_processes_of_which_only_the_worker_imports_torch(
    ray_address: str, tmp_path: Path
) -> None:
    before = _actors()
    gang = Gang(1, 1, 0)
    group = ray.util.placement_group([gang.bundle])
    placed = PlacementGroupSchedulingStrategy(group, 0, placement_group_capture_child_tasks=True)
    trainable = tune.with_parameters(LaneTrainable, settings=_settings(gang, tmp_path))
    order = _order(tmp_path, "")
    # Not forked from a process that has imported all, as on the other machines of a cluster.
    fresh = {"py_executable": f"{sys.executable} -X utf8"}
    lane: Any = ray.remote(num_cpus=0, scheduling_strategy=placed, runtime_env=fresh)(trainable).remote(
        config={"number": 0, "config": order.config, "baselines": True}
    )
    training, lanes, told = lane.train.remote(), StudyFolder(tmp_path).lanes, set()
    while not ray.wait([training], timeout=0.1)[0]:
        told |= {stage for stage, _ in stages.current(lanes, 0.0)}
    assert "answer" in ray.get(training)
    assert told >= {"starting its workers", "importing torch", "importing DeepSpeed"}
    assert stages.current(lanes, 0.0) == []
    started = {actor: kind for actor, kind in _actors().items() if actor not in before}
    assert sorted(started.values())[:2] == ["Channel", "RayTrainWorker"]
    assert len(started) == 3  # and the trainable, to whose class Tune gives another name
    channel = ray.get(lane.__ray_call__.remote(lambda self: self._lane._channel))
    (worker,) = map(ray.cloudpickle.loads, ray.get(channel.silence.remote()).workers)
    trainable, channel, worker = (
        set(ray.get(actor.__ray_call__.remote(lambda self: list(__import__("sys").modules))))
        for actor in (lane, channel, worker)
    )
    heavy = {"torch", "deepspeed", "mlflow", "optuna"}
    assert heavy & trainable == set()
    assert {*heavy, "pandas", "ray.train"} & channel == set()
    assert heavy & worker == {"torch", "deepspeed"}
    assert {"torch._dynamo", "sympy"} & worker == set()
    ray.util.remove_placement_group(group)  # as Tune does once a lane's process has ended
    _until(lambda: not (_actors().keys() & started.keys()))


def _settings(gang: Gang, directory: Path, **more: Any) -> LaneSettings:
    return LaneSettings(
        gang=gang,
        family="families.toy",
        metric="mse",
        evaluations=EVALUATIONS,
        data_root=str(directory),
        directory=str(directory),
        **more,
    )


def _booked() -> set[str]:
    """Returns the names of the groups of resources that are booked, by whom ever."""
    groups = ray.util.placement_group_table().values()
    return {group["name"] for group in groups if group["state"] != "REMOVED"}


def _actors() -> dict[str, str]:
    """Returns the names of the classes of all actors that are alive, by identity."""
    alive = list_actors(filters=[("state", "=", "ALIVE")], limit=1000, raise_on_missing_output=False)
    return {actor["actor_id"]: actor["class_name"] for actor in alive}


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def _lane(num_workers: int, directory: Path) -> Iterator[tuple[Lane, list[int]]]:
    settings = _settings(Gang(num_workers, 1, 0), directory, max_restarts=5)
    lane = Lane(settings, f"lane-{num_workers}")
    workers = lane.wait_until_ready()
    yield lane, [worker.process for worker in workers]
    lane.stop()


@pytest.fixture(scope="module")
def single(ray_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lane, list[int]]]:
    """A lane of one worker."""
    yield from _lane(1, tmp_path_factory.mktemp("single"))


@pytest.fixture(scope="module")
def double(ray_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lane, list[int]]]:
    """A lane of two workers."""
    yield from _lane(2, tmp_path_factory.mktemp("double"))


_FRESH = """
import json, sys
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import join
from thalweg.training.session import DataCache, Session
values = json.loads(sys.argv[1])
session = Session(TrialOrder(**values | {"evaluations": tuple(values["evaluations"])}), join(), DataCache())
reports, reached = [], 0
while not reports or not reports[-1].done:
    reports.append(session.advance(reached))
    reached = reports[-1].samples
print(json.dumps([[report.metrics, report.curve] for report in reports]))
"""


@pytest.mark.timeout(300)
def test_a_warm_trial_equals_the_same_trial_in_a_fresh_process_bit_for_bit(
    single: tuple[Lane, list[int]], tmp_path: Path
) -> None:
    lane, _ = single
    _train(lane, _order(tmp_path, "other", width=32, dropout=0.5, opt={"precision": "bf16"}))
    warm = _train(lane, _order(tmp_path, "warm", dropout=0.2, seed=3))
    order = _order(tmp_path, "fresh", dropout=0.2, seed=3)
    values = json.dumps({name: getattr(order, name) for name in order.__dataclass_fields__})
    done = subprocess.run([sys.executable, "-c", _FRESH, values], capture_output=True, text=True, check=True)
    fresh = json.loads(done.stdout.splitlines()[-1])
    assert [report.metrics for report in warm] == [metrics for metrics, _ in fresh]
    assert json.loads(json.dumps([report.curve for report in warm])) == [curve for _, curve in fresh]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_two_workers_equal_one_to_rounding(
    zero_stage: int, single: tuple[Lane, list[int]], double: tuple[Lane, list[int]], tmp_path: Path
) -> None:
    one = _train(single[0], _order(tmp_path, "one", opt={"zero_stage": zero_stage}))
    two = _train(double[0], _order(tmp_path, "two", opt={"zero_stage": zero_stage}))
    for report, other in zip(one, two, strict=True):
        assert other.metrics == pytest.approx(report.metrics, rel=1e-5)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("zero_stage", [1, 3])
def test_two_workers_join_samples_like_one(
    zero_stage: int, single: tuple[Lane, list[int]], double: tuple[Lane, list[int]], tmp_path: Path
) -> None:
    def order(trial: str, micro: int) -> TrialOrder:
        opt = {"zero_stage": zero_stage, "batch_size": 16, "micro_batch_size": micro}
        return _order(tmp_path, trial, stages="joint", opt=opt)

    one, two = _train(single[0], order("one", 16)), _train(double[0], order("two", 2))
    for report, other in zip(one, two, strict=True):
        assert other.metrics == pytest.approx(report.metrics, rel=1e-4)


@pytest.mark.timeout(300)
def test_a_trial_that_fails_leaves_the_lane_warm(single: tuple[Lane, list[int]], tmp_path: Path) -> None:
    lane, processes = single
    nan = _refusal(lane, _order(tmp_path, "nan", breaks_at=70))
    bug = _refusal(lane, _order(tmp_path, "bug", fails_at=0))
    knob = _refusal(lane, _order(tmp_path, "knob", widht=1))
    assert "loss must stay finite" in nan.reason
    assert nan.samples == 64
    assert re.match(BROKEN, bug.reason)
    assert "in_loss" in bug.details
    assert "widht" in knob.reason
    assert [one.ended_as for one in (nan, bug, knob)] == ["diverged", "infeasible", "infeasible"]
    assert _train(lane, _order(tmp_path, "good"))[-1].done
    assert psutil.pid_exists(processes[0])


def _refusal(lane: Lane, order: TrialOrder) -> Refusal:
    reached = 0
    while True:
        answer = lane.advance(order, reached)
        if isinstance(answer, Refusal):
            return answer
        reached = answer.samples


@pytest.mark.timeout(300)
def test_fifty_trials_do_not_grow_the_worker(single: tuple[Lane, list[int]], tmp_path: Path) -> None:
    lane, _ = single
    process = psutil.Process(_worker_of(lane, tmp_path))
    sizes = []
    for number in range(60):
        _train(lane, _order(tmp_path, f"t{number}", width=64 + number % 3, evaluations=(32, 64)))
        if number % 10 == 9:
            sizes.append(process.memory_info().rss / 2**20)
    assert sizes[-1] - sizes[0] < 8, sizes


def _worker_of(lane: Lane, directory: Path) -> int:
    """Asks the lane which process trains now, for a restarted group has another one."""
    report = _train(lane, _order(directory, f"who-{time.monotonic_ns()}"))[-1]
    return int(report.provenance["process"])


@pytest.mark.timeout(300)
def test_a_killed_worker_loses_nothing(single: tuple[Lane, list[int]], tmp_path: Path) -> None:
    lane, _ = single
    whole = _train(lane, _order(tmp_path, "whole", dropout=0.1))
    order = _order(tmp_path, "killed", dropout=0.1)
    first = lane.advance(order, 0)
    assert isinstance(first, Report)
    os.kill(int(first.provenance["process"]), signal.SIGKILL)
    rest = _go_on(lane, order, first)
    assert [report.metrics for report in rest] == [report.metrics for report in whole]


def _go_on(lane: Lane, order: TrialOrder, *reports: Report) -> list[Report]:
    """Returns all reports of a trial of which some are there."""
    found = list(reports)
    while not found[-1].done:
        answer = lane.advance(order, found[-1].samples)
        assert isinstance(answer, Report), answer
        found.append(answer)
    return found


@pytest.mark.timeout(300)
def test_one_of_two_workers_that_dies_in_the_middle_of_a_step_is_told_and_the_trial_can_go_on(
    double: tuple[Lane, list[int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lane, _ = double
    whole = _train(lane, _order(tmp_path, "whole", dropout=0.1))
    trouble: dict[str, Any] = {
        "signal": int(signal.SIGSEGV),
        "trouble_at": 70,
        "once": str(tmp_path / "once"),
    }
    order = _order(tmp_path, "dies", dropout=0.1, **trouble)
    first = lane.advance(order, 0)
    assert isinstance(first, Report)
    with monkeypatch.context() as patched:
        patched.setattr(lane, "_settings", replace(lane._settings, max_restarts=0))
        refusal = lane.advance(order, first.samples)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "its workers were lost after 64 samples: it was ended by signal 11 (SIGSEGV)"
    assert "in_loss" in refusal.details
    rest = _go_on(lane, order, first)
    assert [report.metrics for report in rest] == [report.metrics for report in whole]


@pytest.mark.timeout(300)
def test_a_bug_on_two_workers_is_the_trials_answer_and_the_group_is_replaced(
    double: tuple[Lane, list[int]], tmp_path: Path
) -> None:
    lane, _ = double
    before = _worker_of(lane, tmp_path)
    refusal = _refusal(lane, _order(tmp_path, "bug", fails_at=0))
    assert re.match(BROKEN, refusal.reason)
    assert _worker_of(lane, tmp_path) != before


@pytest.mark.timeout(300)
def test_memory_that_one_of_two_workers_lacks_halves_the_micro_batches_of_both(
    double: tuple[Lane, list[int]], tmp_path: Path
) -> None:
    lane, _ = double
    halved = _train(lane, _order(tmp_path, "halved", opt={"batch_size": 9}, fits=4))  # shares of 5 and 4
    small = _train(lane, _order(tmp_path, "small", opt={"batch_size": 9, "micro_batch_size": 2}))
    assert halved[0].provenance["micro_batch_size"] == 2
    assert [report.curve for report in halved] == [report.curve for report in small]
    for report, other in zip(halved, small, strict=True):  # which is evaluated in larger pieces
        assert report.metrics == pytest.approx(other.metrics, rel=1e-5)


@pytest.mark.timeout(300)
def test_a_worker_that_the_kernel_ended_for_memory_is_not_given_the_same_again(
    single: tuple[Lane, list[int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lane, _ = single
    monkeypatch.setattr(causes_of_death, "explain", lambda *_: causes_of_death.NO_MEMORY)
    trouble: dict[str, Any] = {"signal": int(signal.SIGKILL), "once": str(tmp_path / "once")}
    order = _order(tmp_path, "killed", opt={"batch_size": 8}, **trouble)
    report = lane.advance(order, 0)
    assert isinstance(report, Report)
    assert report.provenance["micro_batch_size"] == 4
    assert lane.deaths == [causes_of_death.NO_MEMORY]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_worker_that_hangs_while_the_other_waits_for_it_ends_both_and_the_trial_goes_on(
    double: tuple[Lane, list[int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lane, _ = double
    whole = _train(lane, _order(tmp_path, "whole", dropout=0.1))
    monkeypatch.setattr(lane, "_settings", replace(lane._settings, max_silence_s=5.0))
    order = _order(
        tmp_path, "hangs", dropout=0.1, stuck="last_rank", once=str(tmp_path / "once"), trouble_at=70
    )
    reports: list[Report] = []
    counted = []
    while not reports or not reports[-1].done:
        answer = lane.advance(order, reports[-1].samples if reports else 0)
        assert isinstance(answer, Report), answer
        reports.append(answer)
        counted.append(len(lane.deaths))
    assert [report.metrics for report in reports] == [report.metrics for report in whole]
    assert counted == [0, 1, 0, 0]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_trial_that_always_hangs_is_given_up_and_says_so(
    single: tuple[Lane, list[int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lane, _ = single
    monkeypatch.setattr(lane, "_settings", replace(lane._settings, max_silence_s=5.0, max_restarts=0))
    refusal = _refusal(lane, _order(tmp_path, "stuck", stuck="data"))
    assert refusal.reason.startswith("its workers were lost after 0 samples: there was no news of them for ")
    assert "raise max_silence_s" in refusal.reason
    assert "memory" not in refusal.reason
    assert _train(lane, _order(tmp_path, "after"))[-1].done


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_trial_that_is_killed_without_a_trace_is_given_up_and_says_so(
    single: tuple[Lane, list[int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lane, _ = single
    monkeypatch.setattr(lane, "_settings", replace(lane._settings, max_restarts=0))
    refusal = _refusal(lane, _order(tmp_path, "dies", signal=int(signal.SIGKILL), trouble_at=70))
    said = "it was killed without a trace, as by signal 9 (SIGKILL)"
    assert refusal.reason == f"its workers were lost after 64 samples: {said}"
    assert refusal.ended_as == "infrastructure"
    assert refusal.details == ""
