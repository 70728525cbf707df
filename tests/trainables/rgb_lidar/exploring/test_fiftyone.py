"""The export into FiftyOne: without it the error, with it the data set, read back."""

import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thalweg.errors import ConfigError
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.exploring.fiftyone import export_fiftyone, write_pcd
from trainables.rgb_lidar.exploring.pictures import points_of


def read_pcd(path: Path) -> tuple[dict[str, str], np.ndarray]:
    header, content = path.read_bytes().split(b"DATA binary\n")
    fields = dict(line.split(" ", 1) for line in header.decode().splitlines())
    kinds = zip(fields["FIELDS"].split(), fields["TYPE"].split(), fields["SIZE"].split(), strict=True)
    return fields, np.frombuffer(content, [(name, f"<{kind.lower()}{size}") for name, kind, size in kinds])


def test_points_can_be_read_back_with_their_colours(data: RGBLidarData, tmp_path: Path) -> None:
    points, colours = points_of(data, 4)
    write_pcd(tmp_path / "cloud.pcd", points, colours)
    fields, read = read_pcd(tmp_path / "cloud.pcd")
    assert int(fields["POINTS"]) == int(fields["WIDTH"]) * int(fields["HEIGHT"]) == len(points) == len(read)
    np.testing.assert_array_equal(np.stack([read["x"], read["y"], read["z"]], 1), points)
    packed = read["rgb"].copy().view("<u4")
    channels = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], 1)
    np.testing.assert_allclose(channels / 255, colours, atol=1e-9)


def test_without_the_package_it_says_how_to_get_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(
        ConfigError, match=r"FiftyOne must be installed.*--extra fiftyone.*pip install fiftyone"
    ):
        export_fiftyone(root / "mini", "mine", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
@pytest.mark.filterwarnings(
    "ignore"
)  # what FiftyOne's own imports deprecate, and processes that it leaves running
def test_the_package_holds_every_scene_with_both_sensors(
    root: Path, data: RGBLidarData, tmp_path: Path
) -> None:
    fiftyone = pytest.importorskip("fiftyone", reason="FiftyOne is an optional extra")
    name = f"thalweg-test-{uuid.uuid4().hex[:8]}"
    try:
        assert name in export_fiftyone(root / "mini", name, tmp_path)
        dataset = fiftyone.load_dataset(name)
        assert dataset.group_media_types == {"rgb": "image", "lidar": "3d"}
        assert dataset.info["fingerprint"] == data.fingerprint
        assert len(dataset.info["unpaired"]) == 3
        assert dataset.count_values("label.label") == {"cubes": 40, "spheres": 40}
        for split, rows in data.rows.items():
            assert len(dataset.match_tags(split)) == len(rows)
        groups = [dataset.get_group(sample.group.id) for sample in dataset.take(5, seed=1)]
        for group in groups:
            image, scan = group["rgb"], group["lidar"]
            row = 40 * (image.label.label == "spheres") + image.number
            np.testing.assert_array_equal(
                np.asarray(Image.open(image.filepath)), data.rgb[row].transpose(1, 2, 0)
            )
            points, _ = points_of(data, row)
            (cloud,) = fiftyone.Scene.from_fo3d(scan.filepath).get_asset_paths()
            assert len(read_pcd(Path(scan.filepath).parent / cloud)[1]) == len(points)
            assert image.returns == scan.returns == pytest.approx(len(points) / data.side**2)
        with pytest.raises(ConfigError, match=r"must be new.*datasets delete"):
            export_fiftyone(root / "mini", name, tmp_path)
    finally:
        if fiftyone.dataset_exists(name):
            fiftyone.delete_dataset(name)
