"""Six pairs of one's own, written once, and copies of them to change."""

import shutil
from pathlib import Path

import pytest

from tests.trainables.sentinel_supcon.importing.own_pairs import write_maps, write_pair, write_table


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs and a table, whose bands are described; VH is first."""
    folder = tmp_path_factory.mktemp("pairs") / "mine"
    for number in range(6):
        write_pair(folder, number)
    write_table(folder)
    return folder


@pytest.fixture(scope="session")
def mapped_pairs(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pairs, with maps of classes; to be read alone."""
    folder = Path(shutil.copytree(pairs, tmp_path_factory.mktemp("mapped") / "mine"))
    write_maps(folder)
    return folder


@pytest.fixture
def folder(pairs: Path, tmp_path: Path) -> Path:
    """A copy of the pairs and their table."""
    return Path(shutil.copytree(pairs, tmp_path / "mine"))
