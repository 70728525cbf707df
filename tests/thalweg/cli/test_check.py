"""`thalweg check` on a family outside the repository: each planted fault is named, and nothing else; and on spaces."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

import search_spaces
from thalweg.errors import StudyError
from thalweg.scaffold.new_family import write_family

Run = Callable[..., Result]


@pytest.fixture
def pond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new family ``bog.pond`` in the working directory; its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    write_family("pond", "bog")
    yield tmp_path / "bog" / "pond"
    for module in [name for name in sys.modules if name.partition(".")[0] == "bog"]:
        del sys.modules[module]


FAULTS = {
    "a mean in place of a sum in a loss": (
        "task.py",
        ".square().sum()}",
        ".square().mean()}",
        "losses are the same however a batch is cut",
        "must be a sum over samples, got a mean, ",
    ),
    "counts with other keys": (
        "task.py",
        '"mse": float(len',
        '"rmse": float(len',
        "losses are the same however a batch is cut",
        "the same names, got parts mse, counts rmse, weights mse in stage 'train'",
    ),
    "a constant data_key": (
        "task.py",
        "return self.config.dataset\n",
        'return "pond"\n',
        "data are known by key and fingerprint",
        "data_key must name everything that open depends on, got 'pond' for two data sets",
    ),
    "float32 sums in a measure": (
        "task.py",
        ".double()",
        "",
        "measures are the same however a split is cut",
        "in float64, got one in single precision in bog/pond/task.py:",
    ),
    "a declared metric that summarize leaves out": (
        "task.py",
        '"rmse": float(',
        '"error": float(',
        "every declared metric is given",
        "must give every metric that it declares, got no rmse",
    ),
    "torch imported in config.py": (
        "config.py",
        "from typing import Literal\n",
        "from typing import Literal\n\nimport torch\n",
        "listing imports nothing heavy",
        "bog.pond.config must import nothing heavy, got torch in bog/pond/config.py:5",
    ),
    "a missing fingerprint": (
        "task.py",
        "self.fingerprint = ",
        "found = ",
        "data are known by key and fingerprint",
        "opened data must have fingerprint, a hash of their content, got none in bog.pond.task.PondData",
    ),
    "an error in its code": (
        "task.py",
        "nn.Linear(5, width)",
        "nn.Linear(4, width)",
        "stages train what the model has",
        "the code of bog.pond must run, got RuntimeError: ",
    ),
    "data that do not open": (
        "datasets.py",
        "{split}.npz",
        "{split}.npy",
        "the data set opens",
        "a data set must hold train.npz, got none in ",
    ),
}


@pytest.mark.slow
def test_a_new_family_passes(pond: Path, run: Run) -> None:
    result = run("check", "bog.pond")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("family bog.pond, preset tiny, data set tiny\n")
    assert result.output.endswith("12 checks passed\n")
    assert not Path("data").exists()


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_and_not_traced(fault: str, pond: Path, run: Run) -> None:
    name, right, wrong, check, sentence = FAULTS[fault]
    text = (pond / name).read_text()
    assert right in text
    (pond / name).write_text(text.replace(right, wrong, 1))
    result = run("check", "bog.pond")
    assert result.exit_code == 1, result.output
    lines = [line.strip() for line in result.output.splitlines()]
    place = next(place for place, line in enumerate(lines) if line.startswith(f"FAIL  {check}"))
    told = " ".join(lines[place + 1 :])
    assert sentence.replace(" ", "") in told.replace(" ", ""), (
        result.output
    )  # lines of the terminal break names
    assert "Traceback" not in result.output + result.stderr


def test_an_unknown_preset_and_options_of_the_other_kind_are_refused(pond: Path, run: Run) -> None:
    result = run("check", "quickstart", "--preset", "tiny")
    assert result.exit_code == 2 and "--preset goes with the check of a family, got it for" in result.stderr
    result = run("check", "bog.pond", "--seconds", "5")
    assert result.exit_code == 2 and "--seconds goes with the check of a search space, got" in result.stderr
    result = run("check", "bog.pond", "--preset", "tinny")
    assert result.exit_code == 2 and "did you mean 'tiny'" in result.stderr


@pytest.mark.slow
def test_a_space_with_faults_is_told_in_80_columns_and_fails(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = run("check", "spaces.knots", "--seconds", "1")
    assert result.exit_code == 1, result.output
    lines = result.output.splitlines()
    assert lines[0] == "space spaces.knots  mse (min), 8 trials of 512 samples"
    assert max(map(len, lines)) <= 80
    assert [line.split()[:2] for line in lines[1:-2] if line.startswith("  ") and line[2] != " "][:3] == [
        ["FAIL", "valid"],
        ["warn", "start"],
        ["pass", "data"],
    ]
    told = " ".join(result.output.split())
    assert "got forgotten, overwritten, rounded, clipped, which leave it the same" in told
    assert "skipped for time" in told or "not tried in time" in told
    assert not (tmp_path / "thalweg_runs").exists()


@pytest.mark.slow
def test_verdicts_on_a_space_are_json_for_programs(run: Run) -> None:
    result = run("check", "spaces.toys", "--seconds", "3", "--json")
    found = json.loads(result.stdout)
    assert found["space"] == "spaces.toys"
    assert found["passed"] == (result.exit_code == 0)
    checks = {each["check"]: each for each in found["checks"]}
    assert list(checks) == [
        "valid",
        "start",
        "data",
        "baselines",
        "comparable",
        "splits",
        "cost",
        "dead knobs",
    ]
    assert checks["valid"]["verdict"] == "passed" and checks["valid"]["numbers"] == {
        "drawn": 256,
        "refused": 0,
    }
    assert checks["data"]["numbers"]["samples"] == {"train": 96, "val": 21, "test": 3}
    assert checks["baselines"]["numbers"]["metric"] == "mse"


def test_a_name_of_a_family_and_a_space_asks_which_is_meant(
    pond: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_spaces, "__path__", [*search_spaces.__path__])  # as it was, for other tests
    folder = Path("search_spaces")
    folder.mkdir()
    (folder / "water_mae.py").write_text("from search_spaces.quickstart import space, study\n")
    result = run("check", "water_mae")
    assert result.exit_code == 2
    assert (
        "got 'water_mae', which is a family and a search space; add --as family or --as space"
        in result.stderr
    )
    result = run("check", "water_mae", "--as", "space", "--preset", "tiny")
    assert "--preset goes with the check of a family, got it for a search space, water_mae" in result.stderr


def test_an_unknown_name_is_answered_as_a_search_would(run: Run) -> None:
    result = run("check", "search_spaces/quickstart.py")
    assert result.exit_code == 2 and "try 'quickstart'" in result.stderr
    result = run("check", "quickstrat")
    assert result.exit_code == 2 and "did you mean" in result.stderr


@pytest.mark.slow
def test_a_search_refuses_a_parameter_that_is_not_used_unless_told_otherwise(
    run: Run, untracked: None
) -> None:
    result = run("search", "spaces.knots", "--trials", "1")
    assert result.exit_code == 2
    assert "got forgotten, overwritten, rounded, clipped, which" in result.stderr
    assert "--no-check searches the space as it is" in result.stderr
    assert not Path("thalweg_runs").exists()


def test_a_search_without_checks_takes_the_space_as_it_is(
    run: Run, untracked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(*_: object, **__: object) -> None:
        raise StudyError("the search begins")

    monkeypatch.setattr("thalweg.search.run.search", reached)
    result = run("search", "spaces.knots", "--trials", "1", "--plain", "--no-check")
    assert result.exit_code == 2 and "the search begins" in result.stderr
