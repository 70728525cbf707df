"""Trials that are stopped and promoted later, as a user sees them: they end as if they had never been stopped."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from local_lanes import local_lanes
from typer.testing import Result

from thalweg.search.store.records import StudyRecord, read_study

SPACE = '''
"""A study that promotes."""
from families.toy.config import Toy
from thalweg.config import Optimization
from thalweg.study import Study, Trial

study = Study(
    metric="mse", mode="min", samples=256, num_trials=4, num_evaluations=4, reduction_factor=2, sampler="random",
    scheduler="SCHEDULER", num_lanes=1, first_trials=tuple({"lr": lr} for lr in (1e-2, 1e-4, 1e-5, 1e-6)),
)

def space(trial: Trial) -> Toy:
    """Which rate is best?"""
    return Toy(optimization=Optimization(lr=trial.suggest_float("lr", 1e-6, 1e-2, log=True), batch_size=16))
'''


@pytest.mark.slow
def test_a_promoted_trial_goes_on_from_its_checkpoint_bit_for_bit(
    run: Callable[..., Result], untracked: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lab").mkdir()

    def search(name: str, scheduler: str) -> tuple[str, StudyRecord]:
        (tmp_path / "lab" / f"{name}.py").write_text(SPACE.replace("SCHEDULER", scheduler))
        with local_lanes():
            result = run("search", f"lab.{name}", "--no-check", "--no-pictures", "--plain")
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split()), read_study(
            tmp_path / "thalweg_runs" / f"lab.{name}", f"lab.{name}"
        )

    try:
        told, record = search("promoted", "promotion")
        _, never = search("unstopped", "none")
    finally:
        for name in ("lab.promoted", "lab.unstopped", "lab"):
            sys.modules.pop(name, None)
    assert "trial 4 goes on from trial 0, which was stopped after 64 samples" in told
    best = record.best()
    assert best is not None
    assert best.params == {"lr": 1e-2}
    same = next(trial for trial in never.trials if trial.params == best.params)
    assert (best.curve, best.metrics["mse"]) == (same.curve, same.metrics["mse"])
    assert [trial.promoted for trial in record.trials] == [True, True, False, False, True, False, False]
    assert (best.switch_s or 0.0) > 0.0
    assert sum(trial.is_over for trial in record.trials) == 4
    shown = " ".join(run("show", "lab.promoted").output.split())
    assert "4 trials: 1 complete, 3 pruned, 0 failed" in shown
    assert "promoted from trial 4 trial 1 - -" in shown
    assert "3 promotions; to take a trial up cost " in shown
