from pathlib import Path

import pytest

from tests.trainables.sentinel_supcon.importing.own_pairs import write_pair, write_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pairs and a table, whose bands are described; VH is first."""
    for number in range(6):
        write_pair(tmp_path / "mine", number)
    write_table(tmp_path / "mine")
    return tmp_path / "mine"
