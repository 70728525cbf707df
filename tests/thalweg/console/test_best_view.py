"""The best trial of a study as it is shown."""

import re
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from thalweg.analysis.studies import find
from thalweg.console.best_view import show_best, show_held_out
from thalweg.search.store.records import EvaluationRecord
from thalweg.study_folder import checkpoint_name
from thalweg.training.hold_out import HeldOut

Page = Callable[..., tuple[Console, StringIO]]


def test_the_best_trial_is_shown_with_comparable_metrics_configuration_and_command(
    tmp_path: Path, page: Page, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "rivers", [0.5, 0.25])
    console, text = page()
    record = find(tmp_path, "rivers")
    show_best(record, tmp_path / "rivers", console)
    shown = text.getvalue()
    lr = record.trials[1].params["lr"]
    assert "rivers, trial 1  mse 0.2500" in shown
    assert f"--param lr={lr}" in shown
    assert f"optimization.lr {lr:.6g}" in " ".join(shown.split())
    above, below = shown.split("not comparable between trials")
    assert "9.0" not in above  # the loss means something else in every trial
    assert re.search(r"loss +9\.0", below)


def test_a_better_evaluation_than_the_last_is_named_with_its_checkpoint(
    tmp_path: Path, page: Page, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "rivers", [0.5])
    record = find(tmp_path, "rivers")
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
        show_best(record, tmp_path / "rivers", console)
        assert f"best evaluation  mse 0.2500 after 128 samples\n  {shown}\n" in text.getvalue()
    rising = replace(trial, curve=((128, 0.75), (256, 0.5)))
    console, text = page(200)
    show_best(replace(record, trials=(rising,)), tmp_path / "rivers", console)
    assert "best evaluation" not in text.getvalue()


def test_what_a_trial_was_at_the_end_of_a_stage_stands_beside_what_it_became(
    tmp_path: Path, page: Page, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "rivers", [0.5])
    record = find(tmp_path, "rivers")
    before = {"after_fit/mse": 0.75, "after_fit/loss": 9.5}
    trial = replace(record.trials[0], metrics={**record.trials[0].metrics, **before})
    record = replace(record, trials=(trial,))
    console, text = page(120)
    show_best(record, tmp_path / "rivers", console)
    shown = text.getvalue()
    assert re.search(r"metrics +after fit +trial 0", shown)
    assert re.search(r"mse +0\.7500 +0\.5000", shown)
    assert re.search(r"loss +9\.5000 +9\.0000", shown)
    found = HeldOut(
        samples=64,
        val={"mse": 0.3, "loss": 2.0},
        test={"mse": 0.4, "loss": 3.0},
        baselines={"zero": {"mse": 0.8}},
        test_stages={"fit": {"mse": 0.6}},
    )
    console, text = page(80)
    show_held_out(record, found, console)
    shown = text.getvalue()
    assert re.search(r"test after +\n *trial 0 after 64 samples +val +fit +test +best baseline", shown)
    assert re.search(r"mse +0\.3000 +0\.6000 +0\.4000 \+ +0\.8000 zero", shown)
    assert re.search(r"not comparable between trials\s+loss +2\.0000 +- +3\.0000", shown)
    assert max(map(len, shown.splitlines())) <= 80
