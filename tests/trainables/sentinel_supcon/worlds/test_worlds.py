import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression

from thalweg.contract import Batch, SplitName
from thalweg.errors import ConfigError
from trainables.sentinel_supcon.baselines.band_statistics import statistics
from trainables.sentinel_supcon.data.batches import evaluation_batch
from trainables.sentinel_supcon.data.labels import DFC2020, DFC2020_CODES, METERML
from trainables.sentinel_supcon.data.scenes import PatchData, find_contents, open_patches
from trainables.sentinel_supcon.datasets import WORLDS
from trainables.sentinel_supcon.knobs import DataKnobs
from trainables.sentinel_supcon.worlds import dfc2020, meterml

pytestmark = pytest.mark.slow  # of worlds that are large enough to be judged

FACILITIES = DataKnobs(classes=METERML, optical="rgbn", size=16, ignored=("Negative",))
LAND = DataKnobs(size=16)


@pytest.fixture(scope="module")
def facilities(tmp_path_factory: pytest.TempPathFactory) -> PatchData:
    root = tmp_path_factory.mktemp("worlds")
    (root / "facilities").mkdir()
    meterml.make(root / "facilities", meterml.Recipe(num_scenes=600, side=16, seed=1))
    return open_patches(root, "facilities", FACILITIES)


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> PatchData:
    root = tmp_path_factory.mktemp("worlds")
    (root / "land").mkdir()
    dfc2020.make(root / "land", dfc2020.Recipe(num_scenes=300, side=16, seed=3))
    return open_patches(root, "land", LAND)


Members = Callable[[Batch, tuple[str, ...]], np.ndarray]


def means(batch: Batch, sensors: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([batch[sensor][:, 0].mean((2, 3)).numpy() for sensor in sensors], 1)


def band_statistics(batch: Batch, sensors: tuple[str, ...]) -> np.ndarray:
    return statistics(batch, sensors).numpy()


def with_directions(batch: Batch, sensors: tuple[str, ...]) -> np.ndarray:
    """Returns the statistics, and how much the steps of each band have one direction (coherence of gradients)."""
    found = [band_statistics(batch, sensors)]
    for sensor in sensors:
        images = gaussian_filter(batch[sensor][:, 0].numpy(), (0, 0, 0.5, 0.5))[:, :, 2:-2, 2:-2]
        down, across = np.gradient(images, axis=(2, 3))
        squares = [
            (one * other).mean((2, 3)) for one, other in ((down, down), (down, across), (across, across))
        ]
        found.append(np.hypot(squares[0] - squares[2], 2 * squares[1]) / (squares[0] + squares[2]))
    return np.concatenate(found, 1)


def macro_recall(
    data: PatchData, knobs: DataKnobs, sensors: tuple[str, ...], members: Members = means
) -> float:
    """Returns how well a linear model tells the classes of all scenes that it was not fitted to."""

    def of(split: SplitName) -> tuple[np.ndarray, np.ndarray]:
        batch = evaluation_batch(data, split, np.arange(data.num_samples(split)), knobs)
        return members(batch, sensors), batch["label"].numpy()

    fitted, labels = of("train")
    others, truth = (np.concatenate(parts) for parts in zip(of("val"), of("test"), strict=True))
    centre, scale = fitted.mean(0), fitted.std(0)
    model = LogisticRegression(C=10, max_iter=2000, class_weight="balanced")
    model.fit(((fitted - centre) / scale)[labels >= 0], labels[labels >= 0])
    right = model.predict((others - centre) / scale) == truth
    return float(np.mean([right[truth == label].mean() for label in np.unique(truth[truth >= 0])]))


@pytest.mark.parametrize("world", ["facilities", "land"])
def test_both_sensors_together_beat_each_alone(request: pytest.FixtureRequest, world: str) -> None:
    data: PatchData = request.getfixturevalue(world)
    knobs = FACILITIES if world == "facilities" else LAND
    radar, optical, both = (macro_recall(data, knobs, each) for each in (("s1",), ("s2",), ("s1", "s2")))
    assert 0.2 < radar < 0.6 and 0.2 < optical < 0.7
    assert both > max(radar, optical) + 0.12
    assert both < 0.92


def test_arrangement_tells_facilities_that_statistics_of_bands_do_not(facilities: PatchData) -> None:
    sensors = ("s1", "s2")
    plain = macro_recall(facilities, FACILITIES, sensors, band_statistics)
    arranged = macro_recall(facilities, FACILITIES, sensors, with_directions)
    assert 0.4 < plain < 0.6
    assert plain + 0.12 < arranged < 0.95


def test_stripes_and_chequers_cover_as_much_and_have_as_long_an_edge() -> None:
    rng = np.random.default_rng(0)
    patterns = np.stack([meterml.facility(rng, 48) for _ in range(300)])
    cover = patterns.mean((0, 2, 3))
    edge = sum(np.abs(np.diff(patterns, axis=axis)).mean((0, 2, 3)) for axis in (2, 3))
    assert cover[0] == pytest.approx(cover[1], rel=0.03)
    assert edge[0] == pytest.approx(edge[1], rel=0.06)


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        (dict(meterml.KINDS), set(METERML) - {"Negative"}),
        (
            {DFC2020[number]: dfc2020.KINDS[code] for code, number in DFC2020_CODES.items()},
            set(DFC2020),
        ),
    ],
)
def test_each_sensor_confuses_classes_that_the_other_tells(
    kinds: dict[str, tuple[int, int]], names: set[str]
) -> None:
    assert set(kinds) == names
    assert len(set(kinds.values())) == len(kinds)
    for part in (0, 1):
        assert len({each[part] for each in kinds.values()}) < len(kinds)


def test_classes_are_unequal_and_all_in_every_split(facilities: PatchData, land: PatchData) -> None:
    for data in (facilities, land):
        for split in data.rows:
            shares = data.class_shares(split)
            assert all(share > 0 for share in shares.values()), split
        shares = data.class_shares("train")
        assert max(shares.values()) > 1.5 * min(shares.values())


def test_irregularities_are_those_of_the_real_sets(facilities: PatchData, land: PatchData) -> None:
    for data, missing in ((facilities, "sentinel-1.npy is missing"), (land, "its s2 file is missing")):
        reasons = set(data.left_out.values())
        assert missing in reasons and any("radar pixels have no data" in why for why in reasons)
        assert len(data.left_out) < 0.1 * len(data.names)
        assert any("pixels without data" in note for note in data.notes)
    assert (facilities.multi.sum(1) > 1).any()
    assert (land.maps == 255).any() and (land.labels == -1).any()


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_worlds_are_deterministic_and_take_options(name: str, tmp_path: Path) -> None:
    def digest(folder: Path, **options: str) -> dict[str, str]:
        folder.mkdir()
        WORLDS[name].make(folder, num_scenes="60", **options)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
        }

    first = digest(tmp_path / "a")
    assert digest(tmp_path / "b") == first
    other = digest(tmp_path / "c", seed="77")
    assert not set(other.values()) & set(first.values())
    contents = find_contents(tmp_path / "a")
    assert len(contents.scenes) + len(contents.left_out) == 60


def test_the_layout_is_that_of_meterml(tmp_path: Path) -> None:
    meterml.make(tmp_path, meterml.Recipe(num_scenes=60, side=12, seed=1))
    features = json.loads((tmp_path / "val_dataset.geojson").read_text())["features"]
    home = tmp_path / "val_images" / features[0]["properties"]["Image_Folder"]
    assert np.load(home / "sentinel-1.npy").shape == (12, 12, 2)
    assert np.load(home / "sentinel-2-10m.npy").shape == (12, 12, 4)


@pytest.mark.parametrize(("name", "value"), [("num_scenes", "59"), ("num_scenes", "many"), ("seed", "-1")])
def test_an_option_out_of_its_bounds_is_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a whole number from .* got '{value}'"):
        WORLDS["tiny"].make(tmp_path, **{name: value})
