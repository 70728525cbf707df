from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thalweg.errors import ConfigError, DataError
from trainables.sentinel_supcon.data import kept
from trainables.sentinel_supcon.data.contents import Contents, Scene
from trainables.sentinel_supcon.data.labels import METERML
from trainables.sentinel_supcon.data.reading import Images, read_scene
from trainables.sentinel_supcon.data.scenes import (
    PatchData,
    data_key,
    find_contents,
    open_patches,
    require_size,
)
from trainables.sentinel_supcon.knobs import DataKnobs

Copied = Callable[[str], Path]


def test_statistics_come_from_the_training_split_alone(land: PatchData) -> None:
    rows = land.rows["train"]
    s1, s2 = (np.asarray(images[rows], np.float64) for images in (land.s1, land.s2 / 10_000))
    for images, part in ((s1, slice(0, 2)), (s2, slice(2, None))):
        np.testing.assert_allclose(land.mean[part], images.mean((0, 2, 3)), rtol=1e-9)
        np.testing.assert_allclose(land.std[part], images.std((0, 2, 3)), rtol=1e-9)


@pytest.mark.parametrize(
    ("optical", "columns"), [("rgbn", [3, 2, 1, 7]), ("l2a", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12])]
)
def test_bands_are_chosen_by_name(root: Path, land: PatchData, optical: str, columns: list[int]) -> None:
    data = open_patches(root, "land", DataKnobs.model_validate({"optical": optical}))
    assert data.columns.tolist() == columns
    assert [land.bands[column] for column in columns] == list(data.bands)
    np.testing.assert_array_equal(data.mean, land.mean[[0, 1, *np.add(columns, 2)]])


def test_a_data_set_that_lacks_a_band_is_refused(root: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"facilities must hold the bands of data.optical 'l1c', got no B01, .*; take 'rgbn'",
    ):
        open_patches(root, "facilities", DataKnobs())


def test_ignored_classes_lose_labels_but_no_other_class_its_number(root: Path, facilities: PatchData) -> None:
    data = open_patches(root, "facilities", DataKnobs(classes=METERML, optical="rgbn", ignored=("Negative",)))
    negative = facilities.labels == 3
    assert negative.sum() > 20
    np.testing.assert_array_equal(data.labels, np.where(negative, -1, facilities.labels))
    assert not data.multi[:, 3].any()
    assert data.valid_classes == (True, True, True, False, True, True, True)
    assert data.classes == facilities.classes
    assert data.rows["val"].tolist() == facilities.rows["val"].tolist()
    assert "Negative" not in data.class_shares("train")
    assert sum(data.class_shares("train").values()) == pytest.approx(1)


def test_an_unknown_ignored_class_is_refused(root: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"must name classes of facilities, CAFOs, .*, got 'Farms'; .* vary\(data=\{\"classes\": \('CAFOs',",
    ):
        open_patches(
            root, "facilities", DataKnobs(classes=("Farms", *METERML), optical="rgbn", ignored=("Farms",))
        )


def test_shares_and_balance_change_the_training_split_alone(root: Path, facilities: PatchData) -> None:
    knobs = DataKnobs(optical="rgbn", data_ratio=0.5)
    half = open_patches(root, "facilities", knobs)
    even = open_patches(root, "facilities", knobs.vary(balanced=True))
    assert half.fingerprint == even.fingerprint == facilities.fingerprint
    np.testing.assert_array_equal(half.mean, facilities.mean)
    for split in ("val", "test"):
        assert half.rows[split].tolist() == even.rows[split].tolist() == facilities.rows[split].tolist()
    assert set(even.rows["train"]) == set(half.rows["train"]) < set(facilities.rows["train"])
    counts = np.bincount(even.labels[even.rows["train"]])
    assert len(set(counts)) == 1 and even.num_samples("train") == counts.sum()


def test_the_key_of_data_names_what_changes_them() -> None:
    knobs = DataKnobs()
    changed = [{"optical": "l2a"}, {"ignored": ("Water",)}, {"data_ratio": 0.5}, {"balanced": True}]
    keys = {data_key("set", knobs.vary(**change)) for change in changed}  # type: ignore[arg-type]
    assert len(keys | {data_key("set", knobs), data_key("other", knobs)}) == 6
    assert data_key("set", knobs.vary(size=64, scaling="image_max", target="multi")) == data_key("set", knobs)


def test_a_copy_has_the_same_fingerprint_and_a_change_another(copied: Copied, facilities: PatchData) -> None:
    knobs = DataKnobs(optical="rgbn")
    folder = copied("facilities")
    assert open_patches(folder.parent, folder.name, knobs).fingerprint == facilities.fingerprint
    path = next(folder.glob("*/*/sentinel-1.npy"))
    np.save(path, np.load(path) + 1)
    assert open_patches(folder.parent, folder.name, knobs).fingerprint != facilities.fingerprint


@pytest.mark.slow
def test_a_killed_preparation_goes_on_where_it_stopped(
    copied: Copied, land: PatchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied("land")
    reads: list[str] = []
    original = read_scene

    def read_or_die(contents: Contents, scene: Scene) -> Images:
        if len(reads) == 50:
            raise KeyboardInterrupt
        reads.append(scene.name)
        return original(contents, scene)

    monkeypatch.setattr(kept, "STEP", 20)
    monkeypatch.setattr(kept, "read_scene", read_or_die)
    with pytest.raises(KeyboardInterrupt):
        open_patches(folder.parent, folder.name, DataKnobs())
    reads[:] = ["another one"] * 51
    data = open_patches(folder.parent, folder.name, DataKnobs())
    assert reads[51] == find_contents(folder).scenes[40].name
    assert data.names == land.names and data.left_out == land.left_out and data.notes == land.notes
    for name in ("s1", "s2", "maps", "labels", "mean", "footprints"):
        np.testing.assert_array_equal(getattr(data, name), getattr(land, name))


def test_a_size_beyond_the_scenes_is_refused(land: PatchData) -> None:
    require_size(land, 20)
    with pytest.raises(
        ConfigError, match=r"data.size must be at most the side of the scenes of land, 20, got 21"
    ):
        require_size(land, 21)


def test_a_missing_data_set_names_the_layouts_and_commands(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"scenes.csv .*geojson.*ROIs.*`thalweg data make sentinel_supcon`"):
        open_patches(tmp_path, "nope", DataKnobs())
