import shutil
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from thalweg.data.store import Store, open_store
from thalweg.errors import ConfigError, DataError
from trainables.rgb_lidar.chain.knobs import ChainKnobs
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.data import scenes as data_module
from trainables.rgb_lidar.data.layout import read_depth, read_rgb
from trainables.rgb_lidar.data.scenes import RGBLidarData, open_data
from trainables.rgb_lidar.task import task_for

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


def test_a_number_pairs_files_however_they_are_padded(copy: Path, data: RGBLidarData) -> None:
    for path in (copy / "cubes/rgb").iterdir():
        path.rename(path.with_name(f"{int(path.stem)}.png"))
    for path in (copy / "spheres/lidar").iterdir():
        path.rename(path.with_name(f"{int(path.stem):02d}.npy"))
    padded = open_data(copy.parent, copy.name, 1.0)
    for name in ("rgb", "depth", "labels", "numbers"):
        np.testing.assert_array_equal(getattr(padded, name), getattr(data, name))
    for split in ("train", "val", "test"):
        assert padded.rows[split].tolist() == data.rows[split].tolist()
    assert padded.unpaired == tuple(f"spheres/lidar/{number}.npy" for number in (40, 41, 42))


@pytest.mark.parametrize("kind", ["lidar", "rgb"])
def test_one_number_under_two_spellings_is_refused(copy: Path, kind: str) -> None:
    suffix = {"lidar": ".npy", "rgb": ".png"}[kind]
    for number in (3, 7):
        folder = copy / "cubes" / kind
        shutil.copy(folder / f"{number:04d}{suffix}", folder / f"{number:02d}{suffix}")
    with pytest.raises(
        DataError, match=rf"for 2 scenes: 0003\{suffix} and 03\{suffix}; 0007\{suffix} and 07"
    ):
        open_data(copy.parent, copy.name, 1.0)


@pytest.mark.parametrize("mark", [0.0, np.inf])
def test_zero_and_infinity_are_rays_that_did_not_come_back(
    copy: Path, data: RGBLidarData, config: RGBLidar, mark: float
) -> None:
    num_rays = 0
    for number in (1, 5):
        path = copy / f"cubes/lidar/{number:04d}.npy"
        depth = np.load(path)
        num_rays += int((depth == 50).sum())
        np.save(path, np.where(depth == 50, np.float32(mark), depth))
    marked = open_data(copy.parent, copy.name, 1.0)
    np.testing.assert_array_equal(marked.depth, data.depth)
    told = [note for note in marked.notes if "0 m" in note]
    expected = f"{num_rays:,} rays of 2 scans of {copy.name} are written as 0 m and read as rays that did not come back"
    assert num_rays > 0
    assert told == ([expected] if mark == 0 else [])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG"])
def test_images_without_opacity_are_opaque_and_told_once(
    copy: Path, data: RGBLidarData, config: RGBLidar, suffix: str
) -> None:
    for path in [*copy.glob("*/rgb/*.png")]:
        Image.open(path).convert("RGB").save(path.with_suffix(suffix), quality=95, subsampling=0)
        if suffix != ".png":
            path.unlink()
    found = open_data(copy.parent, copy.name, 1.0)
    assert (found.rgb[:, 3] == 255).all()
    difference = np.abs(found.rgb[:, :3].astype(int) - data.rgb[:, :3])
    assert difference.mean() < (1e-9 if suffix == ".png" else 8)  # JPEG loses a little
    told = [note for note in found.notes if "opacity" in note]
    assert told == [
        f"80 of 80 images of {copy.name} have no opacity and count as opaque (255), for models that read three channels"
    ]
    assert found.numbers.tolist() == data.numbers.tolist()
    three = config.vary(data={"rgb_channels": 3})
    assert task_for(three).facts(found) == task_for(three).facts(data)
    with pytest.raises(
        ConfigError, match=r"data.rgb_channels must be 3 .* got 4 .* 80 of 80 have none; set it to 3"
    ):
        task_for(config).facts(found)
    without_images = RGBLidar(model=ChainKnobs(stages=("classifier",)))
    assert task_for(without_images).facts(found)["side"] == 16


def test_a_split_with_one_class_is_told(copy: Path, data: RGBLidarData) -> None:
    held_out = {int(number) for number in data.numbers[data.rows["val"]]}
    for number in held_out:
        for path in copy.glob(f"spheres/*/{number:04d}.*"):
            path.unlink()
    found = open_data(copy.parent, copy.name, 1.0)
    assert found.lacking == (
        f"val of {copy.name} has scenes of cubes only; about 40 of each class are enough",
    )
    assert set(found.lacking) < set(found.notes)
    assert data.lacking == ()


def test_other_files_are_left_out_and_ten_of_them_named(copy: Path, data: RGBLidarData) -> None:
    for number in range(12):
        (copy / f"cubes/rgb/{number:04d}.tif").write_text("x")
    (copy / "spheres/lidar/notes.txt").write_text("x")
    (copy / "spheres/rgb/.DS_Store").write_text("x")
    (copy / "spheres/rgb/._0001.png").write_text("x")
    found = open_data(copy.parent, copy.name, 1.0)
    assert found.fingerprint == data.fingerprint
    (note,) = [note for note in found.notes if "neither" in note]
    law = f"13 files of {copy.name} are neither scan nor image (.npy, .png, .jpg, .jpeg) and are left out: "
    assert note.startswith(law + "cubes/rgb/0000.tif, cubes/rgb/0001.tif")
    assert note.endswith("cubes/rgb/0009.tif and 3 more")


def test_a_number_under_two_suffixes_is_refused(copy: Path) -> None:
    Image.new("RGB", (16, 16)).save(copy / "cubes/rgb/0003.jpg")
    with pytest.raises(DataError, match=r"got several for 1 scenes: 0003.jpg and 0003.png"):
        open_data(copy.parent, copy.name, 1.0)


def test_a_store_of_an_earlier_version_holds_images_with_opacity(
    root: Path, data: RGBLidarData, monkeypatch: pytest.MonkeyPatch
) -> None:

    def earlier(*arguments: Any) -> Store:
        store = open_store(*arguments)
        return Store(
            store.arrays, {name: value for name, value in store.metadata.items() if name != "opaque"}
        )

    monkeypatch.setattr(data_module, "open_store", earlier)
    assert open_data(root, "mini", 1.0).opaque == 0


def _grey_ones(folder: Path) -> None:
    for number in range(13):
        Image.new("L", (16, 16)).save(folder / f"cubes/rgb/{number:04d}.png")


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


def _overwrite(folder: Path, name: str, at: int, content: bytes) -> None:
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(before[:at] + content + before[at + len(content) :])


def _replace_by_folder(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()


def _replace_by_link(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("elsewhere")


def _change_angles(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for kind in ("cubes", "spheres"):
        angles = np.load(folder / kind / "zenith.npy")
        np.save(folder / kind / "zenith.npy", change(angles))


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
    "angles of two axes": (
        lambda f: _change_angles(f, lambda angles: angles[None]),
        r"cubes/zenith.npy must be one list of angles, got an array of shape \(1, 16\)",
    ),
    "angles that are no numbers": (
        lambda f: _change_angles(f, lambda angles: np.where(angles == angles[3], np.nan, angles)),
        "angles must be finite, got nan in .*cubes/zenith.npy; copy",
    ),
    "degrees": (
        lambda f: _change_angles(f, np.degrees),
        "angles must be in radians, .* in .*cubes/zenith.npy; convert them, from degrees",
    ),
    "an archive": (
        lambda f: _overwrite(f, "cubes/lidar/0002.npy", 0, b"PK\x03\x04"),
        "0002.npy must be a complete npy file, got ValueError",
    ),
    "a header without an end": (
        lambda f: _overwrite(f, "cubes/lidar/0002.npy", 10, b"{'descr': ((("),
        "0002.npy must be a complete npy file",
    ),
    "a header that is no Python": (
        lambda f: _overwrite(f, "cubes/azimuth.npy", 10, b"\xff\x00 ) ("),
        "azimuth.npy must be a complete npy file",
    ),
    "a chunk of an image": (
        lambda f: _overwrite(f, "cubes/rgb/0002.png", 8, b"\x00\x00\x00\x02"),
        "complete PNG or JPEG file, got .*0002.png",
    ),
    "a number that is too large": (
        lambda f: [
            (f / kind / f"0002{suffix}").rename(f / kind / f"{'9' * 20}{suffix}")
            for kind, suffix in (("cubes/lidar", ".npy"), ("cubes/rgb", ".png"))
        ],
        "must be numbered, with at most 18 digits, got .*99999.npy; rename",
    ),
    "a folder": (
        lambda f: _replace_by_folder(f, "cubes/lidar/0002.npy"),
        "must be a file, got a folder at .*0002.npy",
    ),
    "a link to nothing": (
        lambda f: _replace_by_link(f, "cubes/rgb/0002.png"),
        "must be a file, got a link to nothing at .*0002.png; copy the file",
    ),
    "name": (
        lambda f: (f / "cubes/rgb/0001.png").rename(f / "cubes/rgb/one.png"),
        "must be numbered, with at most 18 digits, got .*one.png",
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
    "half an image": (
        lambda f: _truncate(f, "cubes/rgb/0002.png"),
        "complete PNG or JPEG file, got .*0002.png",
    ),
    "text": (
        lambda f: (f / "cubes/rgb/0002.png").write_text("png"),
        "complete PNG or JPEG file, got .*0002.png",
    ),
    "grey": (
        lambda f: Image.new("L", (16, 16)).save(f / "cubes/rgb/0003.png"),
        "must be RGBA or RGB .* got L and 16 x 16 in .*0003.png",
    ),
    "another format": (
        lambda f: Image.new("RGB", (16, 16)).save(f / "cubes/rgb/0003.png", "BMP"),
        "complete PNG or JPEG file, got .*0003.png",
    ),
    "many": (
        _grey_ones,
        r"(?s)got 13 faults:.*cubes/rgb/0000.png.*\n  10\. .*0009.png; convert it\n  and 3 more$",
    ),
    "many names": (
        lambda f: [(f / f"cubes/rgb/{n:04d}.png").rename(f / f"cubes/rgb/x{n}.png") for n in range(12)],
        r"(?s)got 12 faults:.*must be numbered.*x0.png.*\n  and 2 more$",
    ),
    "other files instead": (
        lambda f: [path.rename(path.with_suffix(".tif")) for path in (f / "cubes/rgb").iterdir()],
        r"got 40 and 0 files without a partner, and 40 files of other kinds: cubes/rgb/0000.tif, .* and 30 more;",
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


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["0002.npy", "0002.png"]),
    at=st.integers(0, 400),
    content=st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from([b"PK", b"(((", b"'", b"\n9"])),
    keep=st.sampled_from([1.0, 0.5]),
)
def test_whatever_is_damaged_is_read_or_refused(
    root: Path, tmp_path: Path, name: str, at: int, content: bytes, keep: float
) -> None:
    whole = (root / "mini/cubes" / ("rgb" if name.endswith("png") else "lidar") / name).read_bytes()
    damaged = whole[:at] + content + whole[at + len(content) :]
    (tmp_path / name).write_bytes(damaged[: int(keep * len(damaged))])
    with suppress(DataError), warnings.catch_warnings(action="ignore"):
        (read_rgb if name.endswith("png") else read_depth)(tmp_path / name, 16)


def test_a_file_that_cannot_be_read_is_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(paths: Mapping[str, Path], parent: Path) -> dict[str, str]:
        raise PermissionError(13, "Permission denied", str(paths["cubes/rgb/0002.png"]))

    monkeypatch.setattr(data_module, "content_hashes", refuse)
    with pytest.raises(DataError, match=r"must be readable, got .*Permission denied: '.*0002.png'; copy"):
        open_data(copy.parent, copy.name, 1.0)


def test_a_missing_data_set_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`thalweg data make rgb_lidar`"):
        open_data(tmp_path, "nope", 1.0)
