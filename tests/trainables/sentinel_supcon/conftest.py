"""Small data sets of each layout, written once, and copies of them to damage."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.sentinel_supcon.data.scenes import PatchData, open_patches
from trainables.sentinel_supcon.knobs import DataKnobs
from trainables.sentinel_supcon.worlds import dfc2020, meterml

FACILITIES = DataKnobs(optical="rgbn", size=16)
LAND = DataKnobs(optical="l1c", size=16)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The family's data folder, which holds ``facilities`` (METER-ML) and ``land`` (DFC2020), 100 small scenes each."""
    folder = tmp_path_factory.mktemp("sentinel_supcon")
    for name in ("facilities", "land"):
        (folder / name).mkdir()
    meterml.make(folder / "facilities", meterml.Recipe(num_scenes=100, side=16, seed=4))
    dfc2020.make(folder / "land", dfc2020.Recipe(num_scenes=100, side=20, seed=5))
    return folder


@pytest.fixture(scope="session")
def facilities(root: Path) -> PatchData:
    """The opened METER-ML world."""
    return open_patches(root, "facilities", FACILITIES)


@pytest.fixture(scope="session")
def land(root: Path) -> PatchData:
    """The opened DFC2020 world; scenes are larger than what a model sees."""
    return open_patches(root, "land", LAND)


@pytest.fixture
def copied(root: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copies a data set without its store."""

    def copy(name: str) -> Path:
        target = tmp_path / name
        shutil.copytree(root / name, target, ignore=shutil.ignore_patterns(".store"))
        return target

    return copy
