"""A small family and its search space, as files that a test imports by their dotted names."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thalweg.search.space import Space, load_space
from thalweg.search.store.optuna_study import Ledger

CONFIG = """
    from thalweg.config import FamilyConfig

    class Toy(FamilyConfig):
        x: float = 0.0
        width: int = 1
        kind: str = "plain"
        bend: float = 0.0

    PRESETS = {"tiny": Toy(dataset="none")}
"""

SPACE = '''
    """A module docstring."""

    from lab.config import Toy
    from thalweg.study import Study, Trial

    study = Study(metric="loss", mode="min", samples=800, num_trials=30)


    def space(trial: Trial) -> Toy:
        """Looks for the bottom of a valley.

        Only a bent valley has a bend.
        """
        x = trial.suggest_float("x", -1, 1)
        width = trial.suggest_int("width", 1, 64, log=True)
        kind = trial.suggest_categorical("kind", ("plain", "bent"))
        bend = trial.suggest_float("bend", 0.1, 10.0, log=True) if kind == "bent" else 0.0
        return Toy(dataset="none", x=x, width=width, kind=kind, bend=bend)
'''


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """A package ``lab`` with a configuration and the space ``lab.toy``; call it to write another module."""
    folder = tmp_path / "code" / "lab"
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(folder.parent))

    def write(name: str, text: str) -> Path:
        file = folder / f"{name}.py"
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    write("__init__", "")
    write("config", CONFIG)
    write("toy", SPACE)
    yield write
    for module in [name for name in sys.modules if name.partition(".")[0] == "lab"]:
        del sys.modules[module]


@pytest.fixture
def make_space(lab: Callable[[str, str], Path]) -> Callable[..., Space]:
    """Loads ``lab.toy`` with some of the study's settings changed."""

    def make(**changes: Any) -> Space:
        space = load_space("lab.toy")
        settings = {**space.study.model_dump(exclude_unset=True), **changes}
        return replace(space, study=type(space.study)(**settings))

    return make


@pytest.fixture
def open_ledger(tmp_path: Path) -> Iterator[Callable[..., Ledger]]:
    """Opens the study ``s`` in a folder of the test; what is still open at its end is closed."""
    opened: list[Ledger] = []

    def open_it(space: Space, folder: str = "study", **options: Any) -> Ledger:
        opened.append(Ledger.open(tmp_path / folder, "s", space, **options))
        return opened[-1]

    yield open_it
    for ledger in opened:
        ledger.close()
