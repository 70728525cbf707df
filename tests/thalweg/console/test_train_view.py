"""A single training as it is shown: its end in a table beside the best baselines."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

from rich.console import Console

from families.toy.config import Toy
from thalweg.console.train_view import CurveView
from thalweg.search.train_one import Single
from thalweg.training import baselines
from thalweg.training.messages import Report, TrialOrder


def test_metrics_stand_beside_the_best_baseline_within_the_width(
    tmp_path: Path, page: Callable[..., tuple[Console, StringIO]]
) -> None:
    known = {
        name: {"mse": value}
        for name, value in (("a_long_name_of_a_baseline", 0.25), ("persistence", 0.5), ("climatology", 0.75))
    }
    baselines.write_once(tmp_path, known)
    order = TrialOrder(
        trial="trial",
        family="families.toy",
        config={},
        metric="mse",
        evaluations=(8,),
        data_root="",
        directory=str(tmp_path),
    )
    console, text = page(80)
    view = CurveView(Single(order=order, params={}, config=Toy()), console)
    view.close(
        Report(samples=8, samples_seen=8, value=0.5, metrics={"mse": 0.5, "loss": 9.0}, checkpoint="place")
    )
    shown = text.getvalue()
    (row,) = (line.split() for line in shown.splitlines() if line.startswith("mse"))
    assert row == ["mse", "0.5000", "-", "0.2500", "a_long_name_of_a_baseline"]
    assert max(map(len, shown.splitlines())) <= 80
    above, below = shown.split("not comparable between trials")
    assert "9.0" not in above and "9.0" in below
    assert "baselines by mse: a_long_name_of_a_baseline 0.2500, persistence 0.5000, " in shown
