"""A folder of families that a test fills."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import trainables

CONFIG = """
    from thalweg.config import FamilyConfig

    class Buoys(FamilyConfig):
        pass
"""
DATASETS = """
    from thalweg.dataset_contract import PublicDataset, SyntheticDataset

    def make(folder, height="low"):
        (folder / "waves.txt").write_text(f"made {height}")

    def read(source, target, *, days="all"):
        target.mkdir()
        (target / "waves.txt").write_text((source / "raw.txt").read_text() + days)
        return "1 file"

    WORLDS = {
        "calm": SyntheticDataset(meaning="Still water.", make=make),
        "storm": SyntheticDataset(meaning="Waves.", make=make, options={"height": "of the waves"}),
    }
    def add(source, target):
        target.mkdir(exist_ok=True)
        with (target / "log.txt").open("a") as log:
            log.write("read ")
        return "updated"

    SOURCES = {
        "gauges": PublicDataset(meaning="Observed.", read=read, options={"days": "which"}),
        "radar-days": PublicDataset(meaning="Observed day by day.", read=add, updates=True),
    }
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of all families, empty; what is imported from it is forgotten after the test."""
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.setattr(trainables, "__path__", [str(folder)])
    monkeypatch.chdir(tmp_path)  # away from the families of the house
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("trainables."):
            del sys.modules[name]


@pytest.fixture
def buoys(code: Path) -> None:
    """Makes ``buoys`` the only family; its sets hold one file."""
    folder = code / "buoys"
    folder.mkdir()
    for name, text in (("__init__", ""), ("config", CONFIG), ("datasets", DATASETS)):
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
