"""The synthetic world `tiny`, written once, and copies of it to damage."""

import os
import shutil
from pathlib import Path

import pytest

from trainables.water_mae.config import DataKnobs
from trainables.water_mae.data import WaterData, open_data
from trainables.water_mae.datasets import WORLDS

TINY_KNOBS = DataKnobs(vector_patch_size=4)


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The family's data folder, which holds the data set ``tiny``."""
    root = tmp_path_factory.mktemp("water_mae")
    WORLDS["tiny"].make(root / "tiny")
    return root


@pytest.fixture(scope="session")
def tiny(tiny_root: Path) -> WaterData:
    """The opened world."""
    return open_data(tiny_root, "tiny", TINY_KNOBS)


@pytest.fixture
def tiny_copy(tiny_root: Path, tmp_path: Path) -> Path:
    """A data set folder of hard links to the world, without its store; replace files, never write into them."""
    target = tmp_path / "copy"
    shutil.copytree(
        tiny_root / "tiny", target, copy_function=os.link, ignore=shutil.ignore_patterns(".store")
    )
    return target
