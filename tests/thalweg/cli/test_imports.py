"""What commands import: those that only look wait for no framework."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kept import evaluated

from families.toy.config import Toy
from families.toy.task import ToyTask
from thalweg import contract, discovery
from thalweg.search.space import load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal

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
    ["show", "toys", "--by", "width", "--metric", "mse"],
    ["show", "toys", "--relate", "mse", "train_mse"],
    ["best", "toys"],
    ["compare", "toys", "--trials", "0,1"],
    ["compare", "toys", "--by", "width"],
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


def ran(
    commands: list[list[str]], modules: tuple[str, ...], folder: Path
) -> tuple[dict[str, list[str]], str]:
    """Runs commands one after the other in a fresh process; returns which modules each leaves there, and the pages."""
    words = [sys.executable, "-c", _RUN, json.dumps(commands), json.dumps(modules)]
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found: dict[str, list[str]] = json.loads(result.stderr.splitlines()[-1])
    return found, result.stdout


@pytest.mark.slow
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
    found, _ = ran([*LIGHT], HEAVY, tmp_path)
    assert found == {" ".join(words): [] for words in LIGHT}


_BY_TIMM = (("sentinel_supcon", "dfc2020"), ("sentinel_supcon", "small"))
"""Presets with a network of timm, which imports torchvision, and this the compiler."""


def _by_timm(preset: tuple[str, str]) -> bool:
    """Sorts these presets behind all others."""
    return preset in _BY_TIMM


@pytest.mark.slow
def test_a_first_description_imports_torch_without_its_compiler_and_a_later_one_no_framework(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "cache"))
    presets = [
        (family, preset)
        for family in discovery.names("trainables")
        for preset in discovery.load_family(family).presets
    ]
    commands = [["describe", family, "--preset", preset] for family, preset in sorted(presets, key=_by_timm)]
    others = (*HEAVY[1:], "xarray", "scipy", "matplotlib", "pyarrow")
    nothing: dict[str, list[str]] = {" ".join(words): [] for words in commands}
    found, first = ran(commands, ("torch._dynamo", *others), tmp_path)
    compiler = {f"describe {family} --preset {preset}": ["torch._dynamo"] for family, preset in _BY_TIMM}
    assert found == nothing | compiler
    found, later = ran(commands, ("torch", *others), tmp_path)
    assert found == nothing
    assert later == first
    assert len(re.findall(r"^\s*total\s+[\d,]+\s*$", first, re.MULTILINE)) == len(commands)
