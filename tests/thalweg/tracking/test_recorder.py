"""The recorder with its delivering process, on real databases and real servers."""

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from waiting import until

from thalweg.events import Event, StudyEnded, TrialStarted
from thalweg.tracking import recorder as recorder_module
from thalweg.tracking.delivery import Delivery
from thalweg.tracking.recorder import MLflowRecorder
from thalweg.tracking.runs import StudyRuns
from thalweg.tracking.spool import Moment, Spool

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = [pytest.mark.integration, pytest.mark.slow]

Recorded = Callable[[], dict[str, "Run"]]


def record(uri: str, *told: Event, tell: Callable[[str], None] | None = None) -> MLflowRecorder:
    recorder = MLflowRecorder(uri, tell=tell)
    for event in told:
        recorder.handle(event)
    recorder.close(timeout=300.0)
    return recorder


def deliveries(folder: Path) -> list[int]:
    """Numbers of the processes that deliver a study's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"thalweg.tracking.delivery" in words and str(folder).encode() in words:
                found.append(int(process.name))
    return found


def test_a_study_is_delivered_whole_and_handing_over_an_event_takes_microseconds(
    uri: str, make: Any, recorded: Recorded
) -> None:
    said: list[str] = []
    recorder = MLflowRecorder(uri, tell=said.append)
    for event in [make.started(), make.trial(0)]:
        recorder.handle(event)
    times = []
    for number in range(1, 201):
        began = time.perf_counter()
        recorder.handle(make.progress(0, number, 0.5))
        times.append(time.perf_counter() - began)
    for event in [make.ended(0, 0.5), StudyEnded(end="finished")]:
        recorder.handle(event)
    recorder.close(timeout=300.0)
    assert sorted(times)[100] < 200e-6
    assert recorded()["trial 000"].data.metrics["objective"] == 0.5
    assert recorded()["trial 000"].data.metrics["time/train_s"] == 400.0
    assert (recorder.num_undelivered, said) == (0, [])
    assert (make.folder / "mlflow.log").read_text() == ""


def test_the_driver_never_imports_mlflow(uri: str, make: Any, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from thalweg.tracking import address, recorder, ui\n"
        "recorder.MLflowRecorder().close()\n"
        f"address.check_tracking({uri!r})\n"
        "assert 'mlflow' not in sys.modules\n"
        "assert 'sqlalchemy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_recorder_that_hears_nothing_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    MLflowRecorder().close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_reaches_the_terminal(uri: str, make: Any, tmp_path: Path) -> None:
    code = (
        "from thalweg.events import StudyStarted, StudyEnded\n"
        "from thalweg.tracking.recorder import MLflowRecorder\n"
        f"recorder = MLflowRecorder('sqlite:///{tmp_path}/new.db', tell=print)\n"
        f"recorder.handle(StudyStarted(study='quiet', space='s', family='f', metric='m', mode='min',"
        f" num_trials=1, samples=1, num_lanes=1, num_workers=1, directory={str(tmp_path / 'study')!r}))\n"
        "recorder.handle(StudyEnded(end='finished'))\n"
        "recorder.close(timeout=300.0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert (tmp_path / "new.db").stat().st_size > 0


def test_a_new_study_in_the_folder_of_another_leaves_the_runs_of_that_alone(
    uri: str, client: "MlflowClient", make: Any, study: str
) -> None:
    said: list[str] = []
    for identity, value in (("first", 0.5), ("second", 0.25)):
        started = make.started(identity=identity, is_new=not said)
        record(uri, started, *make.whole(0, value), StudyEnded(end="finished"), tell=said.append)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time"])
    trials = [run for run in runs if run.info.run_name == "trial 000"]
    assert [run.data.metrics["objective"] for run in trials] == [0.5, 0.25]
    assert [run.data.tags["thalweg.identity"] for run in trials] == ["first", "second"]
    assert len({run.data.tags["mlflow.parentRunId"] for run in trials}) == 2
    (told,) = said
    (aside,) = make.folder.glob("mlflow_of_*")
    assert told == f"the MLflow record of another study in {make.folder} is set aside in {aside.name}"
    assert len(list(aside.glob("mlflow_spool.*.jsonl"))) == 1
    assert json.loads((aside / "mlflow.json").read_text())["identity"] == "first"


def test_an_event_that_mlflow_refuses_is_kept_and_the_others_arrive(
    uri: str, make: Any, recorded: Recorded
) -> None:
    said: list[str] = []
    refused = TrialStarted(number=1, params={}, config={"x": 1}, documents={"../outside.json": "{}"})
    record(uri, make.started(), *make.whole(0, 0.5), refused, *make.whole(2, 0.6), tell=said.append)
    assert {"trial 000", "trial 002"} <= set(recorded())
    assert "outside.json" in (make.folder / "mlflow_refused.jsonl").read_text()
    assert len(said) == 1
    assert "refuses an event" in said[0]


@pytest.mark.parametrize("words", ["database or disk is full", "readonly database", ""])
def test_an_event_outlives_a_database_that_cannot_be_written(
    words: str,
    uri: str,
    make: Any,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spool = Spool.begin(make.folder, 1)
    spool.append(
        [Moment(number, event).line() for number, event in enumerate([make.started(), *make.whole(0, 0.5)])]
    )
    delivery = Delivery(spool, uri)
    apply = StudyRuns.apply

    def fail(runs: StudyRuns, moments: Any) -> None:
        try:  # as MLflow's store does
            raise (
                sqlite3.OperationalError(words) if words else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            )
        except (sqlite3.OperationalError, OSError) as error:
            raise RuntimeError(f"raised as a result of autoflush\n{error}") from error

    with monkeypatch.context() as patched:
        patched.setattr(StudyRuns, "apply", fail)
        assert not delivery._deliver()
    assert f"does not answer ({words or 'No space left on device'})" in capsys.readouterr().out
    assert spool.num_waiting() == 4
    assert not spool.names.mlflow_refused.exists()
    monkeypatch.setattr(StudyRuns, "apply", apply)
    assert delivery._deliver()
    assert recorded()["trial 000"].data.metrics["objective"] == 0.5


def test_a_folder_that_cannot_be_written_does_not_disturb_the_study(
    uri: str, make: Any, tmp_path: Path
) -> None:
    make.folder.write_text("a file where the folder should be")
    said: list[str] = []
    recorder = record(uri, make.started(), make.trial(0), tell=said.append)
    assert recorder.num_undelivered == 2
    assert "must be writable" in said[0]


DRIVER = """
import sys, time
from thalweg.events import StudyStarted, TrialStarted
from thalweg.tracking import recorder as recorder_module
recorder_module._HEAD_START_S = 0.0
recorder = recorder_module.MLflowRecorder(sys.argv[1])
recorder.handle(StudyStarted(study=sys.argv[2], space="s", family="f", metric="skill", mode="max",
    num_trials=1, samples=1, num_lanes=1, num_workers=1, directory=sys.argv[3]))
recorder.handle(TrialStarted(number=0, params={"lr": 0.1}, config={}))
time.sleep(600)
"""


def test_a_killed_driver_leaves_nothing_running(
    uri: str, make: Any, study: str, recorded: Recorded, client: "MlflowClient"
) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, uri, study, str(make.folder)])
    try:
        until(lambda: client.get_experiment_by_name(study) and "trial 000" in recorded())
    finally:
        driver.kill()
        driver.wait()
    until(lambda: {run.info.status for run in recorded().values()} == {"KILLED"})
    assert "ended before the trial did" in recorded()["trial 000"].data.tags["reason"]


def test_a_delivering_process_that_dies_is_replaced(uri: str, make: Any, recorded: Recorded) -> None:
    recorder = MLflowRecorder(uri)
    recorder.handle(make.started())
    until(lambda: deliveries(make.folder))
    os.kill(deliveries(make.folder)[0], signal.SIGKILL)
    until(lambda: not deliveries(make.folder))
    for event in [*make.whole(0, 0.5), StudyEnded(end="finished")]:
        recorder.handle(event)
    recorder.close(timeout=300.0)
    assert recorder.num_undelivered == 0
    assert recorded()["trial 000"].info.status == "FINISHED"


def test_one_that_dies_with_the_last_words_is_replaced_too(uri: str, make: Any, recorded: Recorded) -> None:
    recorder = MLflowRecorder(uri)
    recorder.handle(make.started())
    until(lambda: deliveries(make.folder))
    (process,) = deliveries(make.folder)
    os.kill(process, signal.SIGSTOP)
    for event in [*make.whole(0, 0.5), StudyEnded(end="finished")]:
        recorder.handle(event)
    closing = threading.Thread(target=recorder.close, args=(300.0,))
    closing.start()
    courier = recorder._courier
    assert courier is not None and courier._process is not None and courier._process.stdin is not None
    until(lambda stdin=courier._process.stdin: stdin.closed)  # type: ignore[misc]
    os.kill(process, signal.SIGKILL)
    closing.join()
    assert recorder.num_undelivered == 0
    assert recorded()["trial 000"].info.status == "FINISHED"


def test_runs_that_are_deleted_while_the_study_runs_do_not_turn_its_trials_into_interrupted_ones(
    uri: str, make: Any, recorded: Recorded, client: "MlflowClient", study: str
) -> None:
    said: list[str] = []
    recorder = MLflowRecorder(uri, tell=said.append)
    for event in [make.started(), make.trial(0), make.progress(0, 256, 0.4), make.trial(1)]:
        recorder.handle(event)
    until(lambda: recorder.num_undelivered == 0)
    for run in recorded().values():
        client.delete_run(run.info.run_id)
    rest = [make.progress(0, 512, 0.5), make.ended(0, 0.5), make.progress(1, 512, 0.6), make.ended(1, 0.6)]
    kept = [make.kept(0, ((256, 0.4), (512, 0.5))), make.kept(1, ((512, 0.6),))]
    for event in [*rest, *kept, StudyEnded(end="finished")]:
        recorder.handle(event)
    recorder.close(timeout=300.0)
    assert (recorder.num_undelivered, said) == (0, [])
    assert {run.info.status for run in recorded().values()} == {"FINISHED"}
    assert set(recorded()) == {"trial 000", "trial 001", f"study {study}"}


def test_a_database_that_is_deleted_while_the_study_runs_is_filled_anew(
    whole: Path, tmp_path: Path, make: Any
) -> None:
    database = tmp_path / "new.db"
    shutil.copy(whole, database)
    recorder = MLflowRecorder(f"sqlite:///{database}")
    for event in [make.started(), *make.whole(0, 0.5), make.trial(1), make.progress(1, 256, 0.4)]:
        recorder.handle(event)
    until(lambda: recorder.num_undelivered == 0)
    database.unlink()
    for event in [make.progress(1, 512, 0.6), make.ended(1, 0.6), StudyEnded(end="finished")]:
        recorder.handle(event)
    recorder.close(timeout=300.0)
    with closing(sqlite3.connect(database)) as held:
        assert held.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)] * 3
        points = held.execute("SELECT step, value FROM metrics WHERE key = 'skill_rain' ORDER BY value")
        assert points.fetchall() == [(256, 0.2), (512, 0.25), (512, 0.3)]


def test_a_process_that_is_still_delivering_when_the_driver_ends_is_left_to_finish(
    tmp_path: Path, make: Any
) -> None:
    said: list[str] = []
    database = tmp_path / "new.db"
    recorder = MLflowRecorder(f"sqlite:///{database}", tell=said.append)
    for event in [make.started(), *make.whole(0, 0.5), StudyEnded(end="finished")]:
        recorder.handle(event)
    until(lambda: deliveries(make.folder))
    recorder.close(timeout=0.0)
    assert "still being delivered" in said[-1]
    recorder.close(timeout=300.0)
    assert recorder.num_undelivered == 0
    with closing(sqlite3.connect(database)) as held:
        assert held.execute("SELECT count(*) FROM runs WHERE status = 'FINISHED'").fetchone() == (2,)


def test_a_delivering_process_that_starts_slowly_does_not_hold_up_the_spool(
    uri: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = threading.Event()
    start = subprocess.Popen

    def start_late(*args: Any, **options: Any) -> Any:
        assert ready.wait(300.0)
        return start(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", start_late)
    recorder = MLflowRecorder(uri)
    recorder.handle(make.started())
    try:
        until(lambda: list(make.folder.glob("*.jsonl")))
        for event in make.whole(0, 0.5):
            recorder.handle(event)
        until(lambda: "TrialEnded" in next(make.folder.glob("*.jsonl")).read_text(), seconds=20.0)
    finally:
        ready.set()
    recorder.close(timeout=300.0)
    assert recorder.num_undelivered == 0


def test_delivery_starts_with_the_first_evaluation_so_that_lanes_have_the_cores_first(
    uri: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "_HEAD_START_S", 600.0)
    recorder = MLflowRecorder(uri)
    for event in (make.started(), make.trial(0)):
        recorder.handle(event)
    until(lambda: recorder.num_undelivered == 2 and list(make.folder.glob("*.jsonl")))
    assert not deliveries(make.folder)
    recorder.handle(make.progress(0, 1, 0.5))
    until(lambda: deliveries(make.folder))
    recorder.close(timeout=300.0)
    assert recorder.num_undelivered == 0


def test_delivery_does_not_wait_for_an_evaluation_that_is_long_in_coming(
    uri: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "_HEAD_START_S", 0.5)
    recorder = MLflowRecorder(uri)
    recorder.handle(make.started())
    until(lambda: not recorder.num_undelivered)
    recorder.close(timeout=300.0)
