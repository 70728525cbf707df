"""`thalweg register`, with a real registry, and a process that loads the model without any code of ours."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from local_lanes import local_lanes
from typer.testing import CliRunner, Result

from families.knots.task import KnotsTask
from thalweg import inference
from thalweg.analysis.keeping.registration import choose
from thalweg.cli.app import app
from thalweg.errors import StudyError
from thalweg.inference import load
from thalweg.search.preflight import prepare
from thalweg.search.run import search
from thalweg.search.space import load_space
from thalweg.search.starting.run_options import Options
from thalweg.search.store.records import StudyRecord, read_study
from thalweg.tracking.history import History
from thalweg.tracking.runs import StudyRuns
from thalweg.tracking.spool import DeliveryState, Moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow import MlflowClient

    from thalweg.events import Event

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # by MLflow

README = (Path(__file__).resolve().parents[4] / "README.md").read_text(encoding="utf-8")
(SHOWN,) = re.findall(r"^```python\n(import mlflow\n.*?)^```", README, re.MULTILINE | re.DOTALL)
LOAD = f"""
import json, sys
import numpy as np, xarray as xr
places = np.load(sys.argv[1])
inputs = {{"place": places}}
{SHOWN.replace("NAME", "waves")}
plain = predicted["height"]
named = model.predict(xr.Dataset({{"place": (("sample", "axis"), places)}}))["height"]
import thalweg, families.toy.task as task
print(json.dumps([plain.tolist(), named.tolist(), thalweg.__file__, task.__file__, model.metadata.metadata]))
"""


class Recording:
    """Keeps all events, for MLflow."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def handle(self, event: Event) -> None:
        """Keeps an event."""
        self.moments.append(Moment(1_000 + len(self.moments), event))

    def close(self) -> None:
        """Nothing to deliver."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, client: MlflowClient) -> Path:
    """The folder of a study that MLflow knows too."""
    output, heard = tmp_path_factory.mktemp("registered"), Recording()
    settings: dict[str, Any] = {"num_trials": 2, "samples": 32, "num_evaluations": 1, "num_lanes": 1}
    first = tuple({"trouble": "none", "lr": lr, "width": 8} for lr in (1e-2, 2e-4))
    space = load_space("spaces.toys").with_settings(**settings, scheduler="none", first_trials=first)
    with local_lanes():
        search(prepare(space, output / "data"), Options(name="waves", output=output), [heard])
    StudyRuns(client, DeliveryState(), output / "mlartifacts", History(tuple)).apply(heard.moments)
    return output


@pytest.fixture
def register(runs: Path, uri: str) -> Callable[..., Result]:
    """Registers a model of the study."""

    def run(*words: str, study: str = "waves", tracking_uri: str = uri) -> Result:
        folders = ["--output", str(runs), "--data", str(runs / "data"), "--tracking-uri", tracking_uri]
        return CliRunner().invoke(app, ["register", study, *words, *folders])

    return run


def _study(runs: Path) -> StudyRecord:
    return read_study(runs / "waves", "waves")


def test_a_registered_model_predicts_where_nothing_of_ours_can_be_imported(
    register: Callable[..., Result], runs: Path, uri: str, client: MlflowClient, tmp_path: Path
) -> None:
    result = register()
    assert result.exit_code == 0, result.output
    assert "takes  place (sample, axis 4) in m" in result.output
    found = client.get_model_version("waves", "1")
    best = _study(runs).best()
    assert best is not None
    expected = {"study": "waves", "trial": str(best.number), "chosen": "best of the search", "metric": "mse"}
    expected |= {"verdict": "not confirmed", "value": repr(best.value), "data_fingerprint": "waves-1"}
    expected |= {"protocol_hash": str(best.protocol), "normalization": '{"place": {"mean": 0.0, "std": 1.0}}'}
    assert found.tags.items() >= expected.items()
    assert json.loads(found.tags["units"]) == {"place": "m", "height": "m"} and found.tags["code_hash"]
    run = client.get_run(str(found.run_id))
    assert (
        run.info.run_name == f"trial {best.number:03d}"
        and run.data.tags["code_hash"] == found.tags["code_hash"]
    )

    inputs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.save(tmp_path / "inputs.npy", inputs)
    command = [sys.executable, "-I", "-c", LOAD, str(tmp_path / "inputs.npy")]
    told = subprocess.run(
        command, cwd=tmp_path, env={"MLFLOW_TRACKING_URI": uri, "PATH": ""}, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    plain, named, *files, metadata = json.loads(told.stdout.splitlines()[-1])
    assert all("/registered/" in file for file in files)
    assert metadata["outputs"]["height"]["unit"] == "m"
    result = CliRunner().invoke(
        app,
        [
            "best",
            "waves",
            "--output",
            str(runs),
            "--data",
            str(runs / "data"),
            "--export",
            str(tmp_path / "best.pt"),
        ],
    )
    assert result.exit_code == 0, result.output
    heights = load(tmp_path / "best.pt").predict({"place": inputs})["height"]
    assert plain == named == heights.tolist()


def test_a_confirmed_study_gives_the_recommended_model(
    register: Callable[..., Result], runs: Path, uri: str, client: MlflowClient
) -> None:
    folders = ["--output", str(runs), "--data", str(runs / "data"), "--tracking-uri", uri]
    with local_lanes():
        words = ["confirm", "waves", "--yes", "--plain", "--seeds", "3", "--lanes", "1", "--matters", "9"]
        confirmed = CliRunner().invoke(app, [*words, *folders])
    assert confirmed.exit_code == 0, confirmed.output
    verdict = json.loads((runs / "waves.confirm/verdict/verdict.json").read_text())
    result = register("--name", "confirmed")
    checkpoints = runs / "waves/checkpoints"
    checkpoints.rename(runs / "aside")
    gone = " ".join(register("--name", "confirmed").output.split())
    (runs / "aside").rename(checkpoints)
    own = read_study(runs / "waves.confirm", "waves.confirm")
    best_run = next(
        t for t in own.ranking() if t.params["configuration"] == verdict["recommendation"]["name"]
    )
    taken = register("--trial", str(best_run.number), "--name", "run", study="waves.confirm")
    searched = _study(runs)
    anew = replace(
        searched, trials=tuple(replace(t, config={**t.config, "width": 9}) for t in searched.trials)
    )
    assert choose(anew, runs / "waves", None).why == "best of the search"  # another study had its name
    shutil.rmtree(runs / "waves.confirm")
    assert f"; thalweg register waves.confirm --trial {best_run.number} --output {runs} takes" in gone
    assert taken.exit_code == 0, taken.output
    assert result.exit_code == 0, result.output
    told, best = verdict["recommendation"], _study(runs).best()
    assert best is not None and verdict["champion"] == f"trial {best.number}"
    assert f"{told['name']} of waves, recommended: {told['reason']}" in " ".join(result.output.split())
    tags = client.get_model_version("confirmed", "1").tags
    assert f"trial {tags['trial']}" == told["name"] and tags["chosen"] == f"recommended: {told['reason']}"
    said = [f"{verdict['champion']} {one['word']} {one['rival']}" for one in verdict["verdicts"]]
    assert said[0] == f"trial {best.number} same trial {1 - best.number}"  # no difference matters
    assert tags["verdict"] == "; ".join([*said, f"recommended: {told['name']}, {told['reason']}"])


def test_a_verdict_recommends_another_trial_than_the_best(runs: Path, tmp_path: Path) -> None:
    other = _study(runs).ranking()[1].number
    told = {"name": f"trial {other}", "reason": "the cheaper one"}
    folder = tmp_path / "waves.confirm/verdict"
    folder.mkdir(parents=True)
    verdict = {"champion": "trial 0", "open": False, "verdicts": [], "recommendation": told}
    (folder / "verdict.json").write_text(json.dumps(verdict))
    chosen = choose(_study(runs), tmp_path / "waves", None)
    assert (chosen.trial.number, chosen.why) == (other, "recommended: the cheaper one")


def test_what_cannot_be_registered_says_why(
    register: Callable[..., Result], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*words: str, **options: str) -> str:
        result = register(*words, **options)
        assert result.exit_code == 2, result.output
        return " ".join(result.output.split())

    assert "must take the name of a model, got 'a/b'" in refused("--name", "a/b")
    assert "no complete trial 7 in waves (found:" in refused("--trial", "7")
    assert "must answer within 5 s" in refused(tracking_uri="http://127.0.0.1:9")
    elsewhere = f"sqlite:///{runs / 'elsewhere.db'}"
    assert "must be in MLflow to be registered, got trial" in refused(tracking_uri=elsewhere)
    checkpoints = runs / "waves/checkpoints"
    checkpoints.rename(runs / "aside")
    assert "is gone:" in refused()
    (runs / "aside").rename(checkpoints)
    monkeypatch.setattr(inference, "PredictsQuantities", KnotsTask)
    assert "task has quantities and predict_quantities, got ToyTask without" in refused()


def test_a_damaged_verdict_is_not_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "waves.confirm" / "verdict"
    folder.mkdir(parents=True)
    (folder / "verdict.json").write_text('{"champion": ')
    with pytest.raises(StudyError, match=r"a verdict must be whole to be read, got .*verdict\.json"):
        choose(StudyRecord(name="waves"), tmp_path / "waves", None)
