import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thalweg.errors import DataError
from trainables.rgb_lidar.data import RGBLidarData, open_data

UNPAIRED = tuple(f"spheres/lidar/{number:04d}.npy" for number in (40, 41, 42))


def test_scenes_are_what_the_files_hold(root: Path, data: RGBLidarData) -> None:
    for row, kind, number in ((3, "cubes", 3), (47, "spheres", 7)):
        folder = root / "mini" / kind
        assert data.labels[row] == ("cubes", "spheres").index(kind)
        assert data.numbers[row] == number
        np.testing.assert_array_equal(data.depth[row], np.load(folder / f"lidar/{number:04d}.npy"))
        pixels = np.asarray(Image.open(folder / f"rgb/{number:04d}.png"))
        np.testing.assert_array_equal(data.rgb[row].transpose(1, 2, 0), pixels)


def test_splits_hold_70_15_and_15_percent(data: RGBLidarData) -> None:
    assert [data.num_samples(split) for split in ("train", "val", "test")] == [56, 12, 12]
    assert data.class_shares("val") == (0.5, 0.5)


def test_unpaired_files_are_left_out_and_named(copy: Path) -> None:
    (copy / "cubes/lidar/0005.npy").unlink()
    data = open_data(copy.parent, copy.name, 1.0)
    assert data.unpaired == ("cubes/rgb/0005.png", *UNPAIRED)
    assert len(data.labels) == 79


def test_unpaired_files_are_known_when_the_store_is_reused(root: Path, data: RGBLidarData) -> None:
    assert data.unpaired == UNPAIRED
    assert open_data(root, "mini", 1.0).unpaired == UNPAIRED


def test_a_copy_has_the_same_fingerprint_and_a_change_another(copy: Path, data: RGBLidarData) -> None:
    assert open_data(copy.parent, copy.name, 1.0).fingerprint == data.fingerprint
    depth = np.load(copy / "cubes/lidar/0000.npy")
    np.save(copy / "cubes/lidar/0000.npy", depth * np.float32(0.99))
    assert open_data(copy.parent, copy.name, 1.0).fingerprint != data.fingerprint


def test_a_share_of_the_training_split_is_evaluated_on_the_same_data(root: Path, data: RGBLidarData) -> None:
    tenth = open_data(root, "mini", 0.1)
    assert tenth.fingerprint == data.fingerprint
    assert tenth.num_samples("train") == 6
    assert tenth.rows["val"].tolist() == data.rows["val"].tolist()


def test_scans_of_double_precision_are_read(copy: Path, data: RGBLidarData) -> None:
    path = copy / "cubes/lidar/0000.npy"
    np.save(path, np.load(path).astype(np.float64))
    np.testing.assert_array_equal(open_data(copy.parent, copy.name, 1.0).depth[0], data.depth[0])


def _unlink_images(folder: Path) -> None:
    shutil.rmtree(folder / "spheres/rgb")
    (folder / "spheres/rgb").mkdir()


def _nan(folder: Path) -> None:
    depth = np.load(folder / "cubes/lidar/0001.npy")
    depth[2, 2] = np.nan
    np.save(folder / "cubes/lidar/0001.npy", depth)


def _truncate(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])


def _keep(folder: Path, count: int) -> None:
    for path in folder.glob("*/*/*"):
        if int(path.stem) >= count:
            path.unlink()


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing paired": (_unlink_images, "spheres must hold a scene that is in both .* got 43 and 0 files"),
    "no folder": (lambda f: shutil.rmtree(f / "cubes/rgb"), "must hold the folder .*cubes/rgb, got none"),
    "no angles": (lambda f: (f / "cubes/zenith.npy").unlink(), "cubes/zenith.npy.* got none"),
    "other angles": (
        lambda f: np.save(f / "spheres/azimuth.npy", np.linspace(-1, 1, 16)),
        "the angles tell the class",
    ),
    "name": (
        lambda f: (f / "cubes/rgb/0001.png").rename(f / "cubes/rgb/one.png"),
        "must be numbered, got .*one.png",
    ),
    "not a number": (_nan, "distances must lie within 0 and 50 m.* got nan to nan in .*0001.npy"),
    "too far": (
        lambda f: np.save(f / "cubes/lidar/0002.npy", np.full((16, 16), 60.0)),
        "got 60 to 60 in .*0002.npy",
    ),
    "shape of a scan": (
        lambda f: np.save(f / "cubes/lidar/0002.npy", np.ones((8, 16))),
        r"0002.npy must hold floating-point numbers of shape \(16, 16\), got float64 of shape \(8, 16\)",
    ),
    "half a scan": (lambda f: _truncate(f, "cubes/lidar/0002.npy"), "0002.npy must be a complete npy file"),
    "half an image": (lambda f: _truncate(f, "cubes/rgb/0002.png"), "complete PNG file, got .*0002.png"),
    "text": (lambda f: (f / "cubes/rgb/0002.png").write_text("png"), "complete PNG file, got .*0002.png"),
    "without opacity": (
        lambda f: Image.new("RGB", (16, 16)).save(f / "cubes/rgb/0003.png"),
        "got RGB and 16 x 16 in .*0003.png",
    ),
    "size of an image": (
        lambda f: Image.new("RGBA", (8, 16)).save(f / "cubes/rgb/0003.png"),
        "16 x 16 pixels of the scans, got RGBA and 8 x 16",
    ),
    "too few": (lambda f: _keep(f, 1), "must hold a scene for each split, got none for"),
}


@pytest.mark.parametrize("case", sorted(BREAKS))
def test_broken_data_are_refused_by_name(copy: Path, case: str) -> None:
    damage, message = BREAKS[case]
    damage(copy)
    with pytest.raises(DataError, match=message):
        open_data(copy.parent, copy.name, 1.0)


def test_a_missing_data_set_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`thalweg data make rgb_lidar`"):
        open_data(tmp_path, "nope", 1.0)
