"""What commands import: those that only look wait for no framework."""

import json
import subprocess
import sys
from pathlib import Path

from kept import evaluated

from families.toy.config import Toy
from families.toy.task import ToyTask
from thalweg import contract, discovery
from thalweg.search.space import load_space
from thalweg.search.store.optuna_study import Ledger, Proposal

HEAVY = ("torch", "ray", "optuna", "mlflow", "pandas", "deepspeed", "sqlalchemy")
LIGHT = (
    ["--help"],
    ["show", "--help"],
    ["spaces"],
    ["families"],
    ["data", "list"],
    ["studies"],
    ["show", "toys"],
    ["show", "toys", "--by", "width"],
    ["show", "toys", "--relate", "mse", "train_mse"],
    ["best", "toys"],
)
_RUN = """
import json, sys
from thalweg.cli.app import app
found = {}
for words in json.loads(sys.argv[1]):
    try:
        app(words)
    except SystemExit as end:
        assert not end.code, (words, end.code)
    found[" ".join(words)] = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
print(json.dumps(found), file=sys.stderr)
"""


def imported(commands: list[list[str]], modules: tuple[str, ...], folder: Path) -> dict[str, list[str]]:
    """Runs commands one after the other in a fresh process; returns which modules are there after each."""
    words = [sys.executable, "-c", _RUN, json.dumps(commands), json.dumps(modules)]
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found: dict[str, list[str]] = json.loads(result.stderr.splitlines()[-1])
    return found


def test_commands_that_only_look_import_no_framework(tmp_path: Path) -> None:
    count = 5  # that many settings may be related
    space = load_space("spaces.toys").with_settings(num_trials=count)
    ledger = Ledger.open(tmp_path / "thalweg_runs" / "toys", "toys", space)
    ledger.declare(contract.metrics_of(ToyTask(Toy())))
    for number in range(count):
        proposal = ledger.ask()
        assert isinstance(proposal, Proposal)
        metrics = {"mse": 0.125 * number, "train_mse": 0.1 * number}
        ledger.report(
            proposal.number, evaluated(samples=256, value=metrics["mse"], metrics=metrics, final=True)
        )
        ledger.complete(proposal.number)
    ledger.close()
    found = imported([*LIGHT], HEAVY, tmp_path)
    assert found == {" ".join(words): [] for words in LIGHT}


def test_a_description_imports_torch_without_its_compiler(tmp_path: Path) -> None:
    commands = [
        ["describe", family, "--preset", preset]
        for family in discovery.names("trainables")
        for preset in discovery.load_family(family).presets
    ]
    modules = ("torch._dynamo", *HEAVY[1:], "xarray", "scipy", "matplotlib", "pyarrow")
    found = imported(commands, modules, tmp_path)
    assert found == {" ".join(words): [] for words in commands}
