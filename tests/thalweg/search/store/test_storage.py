"""Writers and readers share a journal; one process at a time drives a study."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import optuna
import pytest

from thalweg.errors import OutputError, StudyError
from thalweg.search.store.storage import Claim, open_storage

JOURNAL = "journal.log"

WRITER = """
import sys, optuna
from pathlib import Path
from thalweg.search.store.storage import open_storage
study = optuna.load_study(study_name="s", storage=open_storage(Path(sys.argv[1]), None))
for _ in range(40):
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    study.tell(trial, 1.0)
"""


@pytest.mark.slow
def test_two_processes_that_write_lose_nothing(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="s", storage=open_storage(tmp_path, None))
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)]) for _ in range(2)]
    while any(writer.poll() is None for writer in writers):
        study.get_trials(deepcopy=False)  # a reader never sees half a line
    assert [writer.returncode for writer in writers] == [0, 0]
    trials = study.get_trials()
    assert [trial.number for trial in trials] == list(range(80))
    assert all(trial.state.name == "COMPLETE" and len(trial.params) == 1 for trial in trials)
    assert all(json.loads(line) for line in (tmp_path / JOURNAL).read_text().splitlines())


def test_threads_of_one_process_share_a_journal(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="s", storage=open_storage(tmp_path, None))
    threads = [threading.Thread(target=lambda: [study.ask() for _ in range(20)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(study.get_trials()) == 60


def test_nothing_but_the_journal_is_left_in_the_folder(tmp_path: Path) -> None:
    optuna.create_study(study_name="s", storage=open_storage(tmp_path, None)).ask()
    assert os.listdir(tmp_path) == [JOURNAL]


def test_a_journal_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text("samples,loss\n1,2\n")
    with pytest.raises(StudyError, match="one JSON document per line"):
        open_storage(tmp_path, None)


def test_a_second_driver_is_refused_and_told_who_drives(tmp_path: Path) -> None:
    first = Claim(tmp_path)
    with pytest.raises(StudyError, match=rf"which process {os.getpid()} on .* drives; stop that one first"):
        Claim(tmp_path)
    first.release()
    Claim(tmp_path).release()


def test_a_killed_driver_keeps_no_claim(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal; from pathlib import Path; from thalweg.search.store.storage import Claim;"
        "claim = Claim(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    claim = Claim(tmp_path)
    assert claim.last_died
    claim.excuse()
    claim.release()
    claim = Claim(tmp_path)
    assert not claim.last_died
    claim.release()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"must be writable, got .*file/study"):
        Claim(tmp_path / "file" / "study")


def test_a_database_that_does_not_answer_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"that answers, got nosuch://me:\*\*\*@host/db") as caught:
        open_storage(tmp_path, "nosuch://me:secret@host/db")
    assert "secret" not in str(caught.value)


def test_a_database_is_taken_in_place_of_the_journal(tmp_path: Path) -> None:
    storage = open_storage(tmp_path, f"sqlite:///{tmp_path}/team.db")
    optuna.create_study(study_name="s", storage=storage)
    assert (tmp_path / "team.db").exists()
    assert not (tmp_path / JOURNAL).exists()
