"""Lists of studies, the best trial, and what to type next."""

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from kept import evaluated
from rich.console import Console

from thalweg.analysis import studies
from thalweg.errors import StudyError
from thalweg.search.ledger import Ledger, Proposal
from thalweg.search.records import EvaluationRecord, StudyRecord, TrialRecord
from thalweg.search.run import Options
from thalweg.search.space import load_space
from thalweg.study_folder import checkpoint_name

Page = Callable[..., tuple[Console, StringIO]]
Record = Callable[..., StudyRecord]
Make = Callable[..., TrialRecord]


@pytest.fixture
def run_study() -> Callable[..., None]:
    """Leaves a study of ``spaces.toys`` with some complete trials in a folder."""

    def run(output: Path, name: str, values: list[float], **settings: Any) -> None:
        space = load_space("spaces.toys").with_settings(first_trials=(), **settings)
        ledger = Ledger.open(output / name, name, space)
        for value in values:
            proposal = ledger.ask()
            assert isinstance(proposal, Proposal)
            metrics = {"mse": value, "mse_first": value, "loss": 9.0}
            evaluation = evaluated(samples=256, value=value, metrics=metrics, final=True)
            ledger.report(proposal.number, evaluation)
            ledger.complete(proposal.number)
        ledger.close()

    return run


def listed(output: Path, page: Page) -> str:
    console, text = page(100)
    console.print(studies.listing(output))
    return text.getvalue()


def test_a_study_is_listed_with_its_state_and_best(
    tmp_path: Path, page: Page, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "short", [0.5, 0.25], num_trials=2)
    run_study(tmp_path, "long", [0.5], num_trials=9)
    cells = {line.split()[0]: line.split() for line in listed(tmp_path, page).splitlines()}
    assert cells["short"][1:8] == ["complete", "2/2", "2", "0", "0", "mse", "0.2500"]
    assert cells["long"][1:3] == ["stopped", "1/9"]


def test_a_study_that_is_being_driven_is_running(
    tmp_path: Path, page: Page, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "busy", [0.5], num_trials=2)
    ledger = Ledger.open(tmp_path / "busy", "busy", load_space("spaces.toys").with_settings(first_trials=()))
    try:
        assert "running" in listed(tmp_path, page)
    finally:
        ledger.close()
    assert "running" not in listed(tmp_path, page)


def test_a_broken_study_is_listed_with_the_reason_beside_the_others(
    tmp_path: Path, page: Page, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "good", [0.5])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "journal.log").write_text("not a journal\n")
    text = listed(tmp_path, page)
    assert "unreadable" in text
    assert "0.5000" in text


def test_an_empty_folder_says_how_to_begin(tmp_path: Path, page: Page) -> None:
    assert "thalweg search quickstart" in listed(tmp_path / "nowhere", page)


def test_an_unknown_study_is_refused_with_those_that_there_are(
    tmp_path: Path, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "rivers", [0.5])
    with pytest.raises(StudyError, match=r"no study 'lakes'.*found: rivers"):
        studies.find(tmp_path, "lakes")


def test_a_study_without_a_complete_trial_has_no_best(make_record: Record, make_trial: Make) -> None:
    record = make_record(make_trial(0, status="pruned"), make_trial(1, status="failed"))
    with pytest.raises(StudyError, match="1 pruned, 1 failed"):
        studies.best_trial(record)


def test_the_best_trial_is_shown_with_comparable_metrics_configuration_and_command(
    tmp_path: Path, page: Page, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "rivers", [0.5, 0.25])
    console, text = page()
    record = studies.find(tmp_path, "rivers")
    studies.show_best(record, tmp_path / "rivers", console)
    shown = text.getvalue()
    lr = record.trials[1].params["lr"]
    assert "rivers, trial 1  mse 0.2500" in shown
    assert f"--param lr={lr}" in shown
    assert f"optimization.lr {lr}" in " ".join(shown.split())
    above, below = shown.split("not comparable between trials")
    assert "9.0" not in above  # the loss means something else in every trial
    assert re.search(r"loss +9\.0", below)


def test_a_better_evaluation_than_the_last_is_named_with_its_checkpoint(
    tmp_path: Path, page: Page, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "rivers", [0.5])
    record = studies.find(tmp_path, "rivers")
    last = tmp_path / "trial-00000" / checkpoint_name(256)
    best = tmp_path / "trial-00000" / checkpoint_name(128)
    trial = replace(record.trials[0], checkpoint=str(last), curve=((64, 0.9), (128, 0.25), (256, 0.5)))
    record = replace(record, trials=(trial,))
    assert record.evaluation(trial) == EvaluationRecord(samples=256, value=0.5, checkpoint=str(last))
    assert record.evaluation(trial, "best") == EvaluationRecord(samples=128, value=0.25, checkpoint=str(best))
    for folder, shown in ((None, f"gone: {best}"), (best, str(best))):
        if folder:
            folder.mkdir(parents=True)
        console, text = page(200)
        studies.show_best(record, tmp_path / "rivers", console)
        assert f"best evaluation  mse 0.2500 after 128 samples\n  {shown}\n" in text.getvalue()
    rising = replace(trial, curve=((128, 0.75), (256, 0.5)))
    console, text = page(200)
    studies.show_best(replace(record, trials=(rising,)), tmp_path / "rivers", console)
    assert "best evaluation" not in text.getvalue()


def test_the_weights_of_the_asked_evaluation_are_exported(
    make_record: Record, make_trial: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def export(folder: Path, data_root: Path, file: Path, part: str | None) -> dict[str, int]:
        asked.append((folder.name, part))
        return {"tensors": 1, "values": 2}

    monkeypatch.setattr("thalweg.training.export.export", export)
    curve = ((400, 0.8), (800, 0.5))
    record = make_record(make_trial(0, 0.5, checkpoint=str(tmp_path / checkpoint_name(800)), curve=curve))
    assert "skill 0.5000 after 800 samples" in studies.export_best(record, tmp_path / "x.pt")
    told = studies.export_best(record, tmp_path / "x.pt", at="best", part="encoders")
    assert "skill 0.8000 after 400 samples" in told
    assert asked == [(checkpoint_name(800), None), (checkpoint_name(400), "encoders")]


def test_the_command_survives_a_shell_and_gives_the_parameters_back() -> None:
    params = {"lr": 0.020722454850117554, "fusion": "late mean; rm -rf", "on": True}
    words = shlex.split(studies.train_command("my_lab.rivers", params).replace("\\\n", " "))
    assert words[:3] == ["thalweg", "train", "my_lab.rivers"]
    assert [word for word in words[3:] if word != "--param"] == [f"{k}={v}" for k, v in params.items()]


def test_the_next_commands_repeat_what_differs_from_the_defaults() -> None:
    options = Options(name="mine", output=Path("/runs here"))
    found = studies.next_commands(
        "rivers", options, 20, {"--data": None, "--tracking-uri": "http://host:5000"}
    )
    assert found == {
        "compare trials": "thalweg ui --tracking-uri http://host:5000",
        "use the best": "thalweg best mine --output '/runs here'",
        "carry on": "thalweg search rivers --trials 20 --study mine --output '/runs here' "
        "--tracking-uri http://host:5000",
    }


def test_the_next_commands_are_short_where_everything_is_as_usual() -> None:
    found = studies.next_commands("rivers", Options(name="rivers"), 20, {"--data": None})
    assert list(found.values()) == [
        "thalweg ui",
        "thalweg best rivers",
        "thalweg search rivers --trials 20",
    ]


def test_a_new_study_has_no_earlier_trials(tmp_path: Path) -> None:
    assert studies.earlier_trials(Options(name="new", output=tmp_path)) == ()
    assert not (tmp_path / "new").exists()
