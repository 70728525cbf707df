"""`thalweg check` on a family outside the repository: each fault that is planted is named, and nothing else."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

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


def test_a_space_and_an_unknown_preset_are_refused(pond: Path, run: Run) -> None:
    result = run("check", "quickstart")
    assert result.exit_code == 2 and "that is a search space" in result.stderr
    result = run("check", "bog.pond", "--preset", "tinny")
    assert result.exit_code == 2 and "did you mean 'tiny'" in result.stderr
