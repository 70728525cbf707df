"""A world of small scenes, written once, and copies of it to damage."""

import shutil
from pathlib import Path

import pytest

from thalweg.training.process_group import ProcessGroup, join
from trainables.rgb_lidar.chain.knobs import ChainKnobs, ClassifierKnobs, EmbedderKnobs, ProjectorKnobs
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.data.scenes import RGBLidarData, open_data
from trainables.rgb_lidar.knobs import FusionKnobs
from trainables.rgb_lidar.worlds.synthetic import make, small_recipe


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The family's data folder, which holds the data set ``mini``: 40 scenes of each class, 16 x 16 pixels."""
    folder = tmp_path_factory.mktemp("rgb_lidar")
    (folder / "mini").mkdir()
    make(folder / "mini", small_recipe(40, side=16))
    return folder


@pytest.fixture(scope="session")
def data(root: Path) -> RGBLidarData:
    """The opened world."""
    return open_data(root, "mini", 1.0)


@pytest.fixture(scope="session")
def world() -> ProcessGroup:
    """This process alone, as a process group."""
    return join()


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A copy of the data set's folder, without its store."""
    target = tmp_path / "copy"
    shutil.copytree(root / "mini", target, ignore=shutil.ignore_patterns(".store"))
    return target


@pytest.fixture
def fusion_knobs() -> FusionKnobs:
    """Sizes for which a forward pass takes milliseconds."""
    return FusionKnobs(
        channels=4, max_channels=8, depth=2, hidden_dim=12, neck_dim=10, embedding_dim=6, head_dim=7
    )


@pytest.fixture
def config(fusion_knobs: FusionKnobs) -> RGBLidar:
    """A small fusion on the small world."""
    return RGBLidar(dataset="mini", model=fusion_knobs)


@pytest.fixture(scope="session")
def chain_knobs() -> ChainKnobs:
    """A chain of all stages, of the same sizes."""
    sizes = {"channels": 4, "max_channels": 8, "depth": 2, "hidden_dim": 12, "neck_dim": 10}
    return ChainKnobs(
        embedder=EmbedderKnobs.model_validate(sizes | {"embedding_dim": 6}),
        classifier=ClassifierKnobs.model_validate(sizes),
        projector=ProjectorKnobs(hidden_dim=8, depth=1),
    )


@pytest.fixture
def chain(chain_knobs: ChainKnobs) -> RGBLidar:
    """A small chain on the small world."""
    return RGBLidar(dataset="mini", model=chain_knobs)
