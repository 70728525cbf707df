"""Search spaces with a fault in their file: told in one line, before anything starts."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from refused import refusal
from typer.testing import Result

BROKEN_SPACES = {
    "raises": ("raise RuntimeError('boom')", "boom"),
    "no_study": ("def space(trial): ...", "must define study"),
    "wrong_type": (
        """
from families.toy.config import Toy
from thalweg.study import Study
study = Study(metric="mse", mode="min", samples=64)
def space(trial) -> Toy:
    return {"width": 3}
""",
        "must return Toy, got dict",
    ),
    "wrong_knob": (
        """
from families.toy.config import Toy
from thalweg.study import Study
study = Study(metric="mse", mode="min", samples=64)
def space(trial) -> Toy:
    return Toy(depth=3)
""",
        "depth",
    ),
    "unnamed_knob": (
        """
from families.toy.config import PRESETS, Toy
from thalweg.study import Study
study = Study(metric="mse", mode="min", samples=64)
def space(trial) -> Toy:
    return PRESETS["default"].vary(loss_weights={1: 2.0})
""",
        "unnamed_knob.py:6: the names of knobs must be text, got 1 in loss_weights; write loss_weights={'NAME': 2.0}",
    ),
    "half_a_seed": (
        """
from thalweg.study import grid
GRID = grid(seeds=1.5)
""",
        "half_a_seed.py:3: seeds must be a whole number of at least 1, got 1.5; try seeds=3",
    ),
    "no_preset": (
        """
from families.toy.config import PRESETS, Toy
BASE = PRESETS["defualt"]
""",
        "no_preset.py:3: no preset 'defualt' in PRESETS; did you mean 'default'? (found: default, wide)",
    ),
    "no_return": (
        """
from families.toy.config import PRESETS, Toy
from thalweg.study import Study
study = Study(metric="mse", mode="min", samples=64)
def space(trial) -> Toy:
    if trial.suggest_categorical("kind", ["wide", "narrow"]) == "wide":
        return PRESETS["wide"]
""",
        "no_return.py:5: space must return Toy, got NoneType; end each of its branches with return Toy(...), or a "
        "preset's vary(...); it was asked with kind='narrow'",
    ),
    "beyond_a_bound": (
        """
from families.toy.config import PRESETS, Toy
from thalweg.study import Study
study = Study(metric="mse", mode="min", samples=64)
def space(trial) -> Toy:
    return PRESETS["wide"].vary(optimization={"lr": trial.suggest_float("rate", 1e-4, 1e9, log=True)})
""",
        "got rate in [0.0001, 1e+09] on a log scale, of which",
    ),
}


Search = Callable[..., Result]


@pytest.fixture
def search_of(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Search]:
    """Searches the space that a text defines, under the name ``broken.NAME``."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken").mkdir()

    def search_of(name: str, text: str, *words: str) -> Result:
        (tmp_path / "broken" / f"{name}.py").write_text(text)
        return run("search", f"broken.{name}", *words)

    yield search_of
    for module in [module for module in sys.modules if module.partition(".")[0] == "broken"]:
        del sys.modules[module]


@pytest.mark.parametrize("name", BROKEN_SPACES)
def test_a_broken_space_starts_nothing(search_of: Search, tmp_path: Path, name: str) -> None:
    text, law = BROKEN_SPACES[name]
    assert law in refusal(search_of(name, text))
    assert not (tmp_path / "thalweg_runs").exists()


WRONG_METRIC = """
from families.toy.config import Toy
from thalweg.study import Study
study = Study(metric="loss", mode="min", samples=64)
def space(trial) -> Toy:
    return Toy()
"""


def test_what_only_the_family_can_refuse_leaves_no_study_and_no_ray(
    search_of: Search, tmp_path: Path
) -> None:
    before = ray.is_initialized()
    result = search_of("metric", WRONG_METRIC)
    assert result.exit_code == 2
    assert "must mean the same in every trial" in result.stderr and "Traceback" not in result.stderr
    assert result.stdout in ("", "starting Ray on this machine\n")
    assert not (tmp_path / "thalweg_runs").exists()
    assert ray.is_initialized() == before


IMPOSSIBLE_PAIRS = """
from families.toy.config import PRESETS, Toy
from thalweg.study import Study
study = Study(metric="mse", mode="min", samples=64)
def space(trial) -> Toy:
    width = trial.suggest_int("width", 1, 12)
    return PRESETS["wide"].vary(width=width, optimization={"lr": width * trial.suggest_float("rate", 0.05, 0.1)})
"""


@pytest.mark.usefixtures("untracked")
def test_combinations_that_are_refused_are_told_before_a_search_starts(search_of: Search) -> None:
    result = search_of("pairs", IMPOSSIBLE_PAIRS, "--no-check", "--address", "127.0.0.1:1")
    assert result.exit_code == 2 and "a Ray cluster must answer" in result.stderr
    told = (
        r"\d+ of 32 random configurations .* are refused, and such trials fail, the first with width=1[12], "
    )
    assert re.search(
        told + r"rate=0\.\d+: .*pairs\.py:7: optimization\.lr: input should be less", result.stdout
    )
