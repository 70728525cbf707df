"""`thalweg reproduce`: trials of every end, trained again from their records alone, on lanes in this process."""

import json
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from local_lanes import local_lanes
from typer.testing import CliRunner, Result

from families.toy.task import Net, SquaredErrors, Waves
from thalweg.cli.app import app
from thalweg.events import Event, TrialProgress
from thalweg.search.preflight import prepare
from thalweg.search.run import search
from thalweg.search.space import load_space
from thalweg.search.starting.run_options import Options
from thalweg.search.store.records import read_study

pytestmark = pytest.mark.slow

SPACE = '''
"""Whatever may happen to a trial."""

from families.toy.config import Toy
from thalweg.config import Optimization
from thalweg.study import Study, Trial

ENDS = ("complete", "diverged", "halved", "continued")
study = Study(
    metric="mse", mode="min", samples=128, num_evaluations=4, num_trials=5, num_lanes=1, sampler="random",
    scheduler="none", first_trials=tuple({"end": end, "size": 0} for end in ENDS),
)


def space(trial: Trial) -> Toy:
    end = trial.suggest_categorical("end", ENDS)
    if trial.suggest_float("size", 0, 1) not in (0, 0.5, 1):  # what was sampled
        raise ValueError("no such size")
    return Toy(
        width=8,
        dropout=0.2,
        stages="two",
        seed=ENDS.index(end),
        breaks_at=64 if end == "diverged" else -1,
        fits=4 if end == "halved" else -1,
        trouble_at=64,
        optimization=Optimization(lr=1e-2, batch_size=8),
    )
'''


class Stopping:
    """Stops a search once: at the first evaluation of a trial."""

    def __init__(self, number: int | None = None) -> None:
        self._number = number

    def handle(self, event: Event) -> None:
        """Sends what Ctrl-C sends, twice."""
        if isinstance(event, TrialProgress) and event.number == self._number:
            self._number = None
            signal.raise_signal(signal.SIGINT)

    def close(self) -> None:
        """Nothing to deliver."""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a study whose space is gone. Trial 3 was stopped, and trial 4 continues it."""
    folder = tmp_path_factory.mktemp("reproduce")
    code, runs = folder / "code", folder / "runs"
    (code / "passing").mkdir(parents=True)
    (code / "passing/__init__.py").touch()
    (code / "passing/ends.py").write_text(SPACE, encoding="utf-8")
    with local_lanes(), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(code))
        space = load_space("passing.ends")
        for number in (3, None):
            options = Options(name="ends", output=runs)
            search(prepare(space, folder / "data"), options, [Stopping(number)])
        for module in [name for name in sys.modules if name.partition(".")[0] == "passing"]:
            del sys.modules[module]
    shutil.rmtree(code)
    yield runs


@pytest.fixture
def again(output: Path) -> Callable[..., Result]:
    """Reproduces a trial of the study."""

    def run(*words: str, output: Path = output) -> Result:
        folders = ["--output", str(output), "--data", str(output.parent / "data")]
        return CliRunner().invoke(app, ["reproduce", "ends", *words, *folders])

    return run


def _said(result: Result) -> str:
    return " ".join(result.output.split())


def test_a_complete_trial_is_equal_bit_for_bit(again: Callable[..., Result], output: Path) -> None:
    result = again()
    assert result.exit_code == 0, result.output
    record = read_study(output / "ends", "ends")
    best = record.best()
    assert best is not None
    told = _said(result)
    assert f"trial {best.number} of ends, mse (min), seed" in told
    for samples, value in best.curve:
        assert f"{samples} {value!r} {value!r} =" in told
    assert re.search(r"equal bit for bit: 4 evaluations and \d+ metrics of the last one", told)
    assert not (output / "reproduce").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--trial", "0", "--samples", "70"), "equal bit for bit: 2 evaluations; 2 later ones not compared"),
        (("--trial", "1"), "2 evaluations; it fails again as diverged: the loss must stay finite"),
        (("--trial", "2"), "micro-batches of 8, then of 4, 4 evaluations of 4, ended as complete"),
        (("--trial", "4"), "1 worker, 4 evaluations of 4, ended as complete"),
    ],
)
def test_every_end_is_reproduced(
    again: Callable[..., Result], output: Path, words: tuple[str, ...], told: str
) -> None:
    result = again(*words)
    assert result.exit_code == 0, result.output
    assert told in _said(result) and "nothing that is recorded differs here: expect equal" in result.output


def test_what_cannot_be_reproduced_is_refused(again: Callable[..., Result]) -> None:
    for words, told in (
        (("--trial", "3"), "which trial 4 continues; add --trial 4"),
        (("--trial", "5"), "was refused before it began: a search space must return a configuration"),
        (("--samples", "5"), "must reach the first evaluation of trial"),
    ):
        result = again(*words)
        assert result.exit_code == 2 and told in _said(result), result.output


def test_what_differs_is_said_before_and_where_they_part_after(
    again: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Net.forward
    monkeypatch.setattr(Net, "forward", lambda net, inputs: forward(net, inputs) * 1.5)
    monkeypatch.setattr(Waves, "fingerprint", "waves-2")
    result = again("--trial", "0", "--samples", "64")
    assert result.exit_code == 1, result.output
    told = _said(result)
    assert told.index("data: recorded waves-1, here waves-2; expect other numbers") < told.index("samples")
    assert "not equal: they part at the evaluation at 32 samples" in told
    assert "differs from the record: data (other numbers)" in told


def test_a_trial_that_no_longer_fails_is_not_equal(
    again: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = SquaredErrors.parts

    def unbroken(loss: SquaredErrors, *given: Any) -> Any:
        mended = loss._config.model_copy(update={"breaks_at": -1})
        return parts(SquaredErrors(mended), *given)

    monkeypatch.setattr(SquaredErrors, "parts", unbroken)
    result = again("--trial", "1")
    assert result.exit_code == 1, result.output
    assert "it does not fail here, where it ended as diverged" in _said(result)


def test_a_record_of_an_earlier_version_opens_and_says_what_it_lacks(
    again: Callable[..., Result], output: Path, tmp_path: Path
) -> None:
    (tmp_path / "ends").mkdir()
    lines = (output / "ends/journal.log").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not {"trained", "code"} & set(json.loads(line).get("user_attr", {}))]
    assert len(kept) < len(lines)
    (tmp_path / "ends/journal.log").write_text("".join(kept))
    result = again("--trial", "0", "--samples", "32", output=tmp_path)
    assert result.exit_code == 0, result.output
    assert "not recorded, so that it may differ: device, number of workers" in _said(result)
