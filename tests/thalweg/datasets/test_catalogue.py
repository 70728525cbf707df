"""The list of data sets."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from thalweg import discovery
from thalweg.datasets.catalogue import data_root, data_sets, family_of_source
from thalweg.datasets.making import existing, make
from thalweg.discovery import load_family
from thalweg.errors import ConfigError, DataError, DiscoveryError

pytestmark = pytest.mark.usefixtures("buoys")


def test_the_list_holds_what_exists_and_what_could(tmp_path: Path) -> None:
    make("buoys", "storm", tmp_path)
    (tmp_path / "buoys" / "own").mkdir()
    (tmp_path / "buoys" / "weights").mkdir()  # published ones, no data set
    (tmp_path / "buoys" / ".calm.123").mkdir()  # left by a process that died
    found = [(item.name, item.origin, item.num_bytes) for item in data_sets(tmp_path)]
    assert found == [
        ("calm", "make", None),
        ("storm", "make", 8),
        ("gauges", "import", None),
        ("radar-days", "import", None),
        ("own", "own", 0),
    ]


@pytest.fixture
def fen(code: Path, tmp_path: Path, buoys: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A copy of the family as ``loch.buoys`` in the working directory."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    shutil.copytree(code / "buoys", tmp_path / "loch/buoys", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "loch/buoys/task.py").touch()
    yield "loch.buoys"
    for name in [name for name in sys.modules if name.partition(".")[0] == "loch"]:
        del sys.modules[name]


def test_families_of_one_last_name_have_folders_of_their_own(fen: str, tmp_path: Path) -> None:
    assert data_root(load_family("buoys"), tmp_path).name == "buoys"
    assert data_root(load_family("trainables.buoys"), tmp_path).name == "buoys"
    assert data_root(load_family(fen), tmp_path).name == "loch.buoys"
    make(fen, "storm", tmp_path)
    assert [item.family for item in data_sets(tmp_path) if item.num_bytes] == ["loch.buoys"]
    assert {item.family for item in data_sets(tmp_path)} == {"buoys", "loch.buoys"}
    assert {item.family for item in data_sets(tmp_path, fen)} == {"loch.buoys"}


def test_data_that_lie_where_they_did_are_told_to_be_moved(fen: str, tmp_path: Path) -> None:
    (tmp_path / "data/buoys/mine").mkdir(parents=True)
    move = r"got data/buoys/mine; if they are its own, mkdir -p data/loch.buoys && mv data/buoys/mine data/loch.buoys"
    with pytest.raises(DataError, match=move):
        existing(load_family(fen), "mine")
    assert existing(load_family("buoys"), "mine") == tmp_path / "data/buoys/mine"


def test_a_source_of_two_families_needs_one_of_them(fen: str) -> None:
    with pytest.raises(
        ConfigError, match=r"into one family, got buoys, loch.buoys for 'gauges'; add --family"
    ):
        family_of_source("gauges")
    assert family_of_source("gauges", fen).name == fen
    with pytest.raises(
        DiscoveryError, match="no public data set 'gauge' in any family; did you mean 'gauges'"
    ):
        family_of_source("gauge")


def test_a_package_of_somebody_else_that_looks_like_a_family_stops_nobody(fen: str, tmp_path: Path) -> None:
    other = tmp_path / "detector"
    other.mkdir()
    for part in ("config", "task", "datasets"):
        (other / f"{part}.py").write_text("LEARNING_RATE = 1e-3\n")
    assert {item.family for item in data_sets(tmp_path)} == {"buoys", fen}
    assert family_of_source("radar-days", "buoys").name == "buoys"
    with pytest.raises(DiscoveryError, match="detector cannot be loaded, see `thalweg families`"):
        family_of_source("sonar")


def test_folders_and_files_that_may_not_be_read_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fen").mkdir()
    (tmp_path / "fen/depth.py").write_text("study: Study = Study(metric='x')\n")
    assert discovery.own_spaces() == ("fen.depth",)

    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert discovery.own_spaces() == ()
    monkeypatch.setattr(os, "scandir", refuse)
    assert discovery.own_families() == ()
