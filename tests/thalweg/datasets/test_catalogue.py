"""The list of data sets."""

from pathlib import Path

import pytest

from thalweg.datasets.catalogue import data_sets
from thalweg.datasets.making import make

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
