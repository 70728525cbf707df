"""The files of a look at a data set, read back."""

import base64
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from thalweg.dataset_contract import Exploration
from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.lidar import MAX_RANGE
from trainables.rgb_lidar.data.scenes import RGBLidarData, open_data
from trainables.rgb_lidar.explore import explore
from trainables.rgb_lidar.exploring.page import NO_RETURN
from trainables.rgb_lidar.exploring.pictures import draw_clouds, draw_pairs, points_of, relief
from trainables.rgb_lidar.exploring.tables import scene_table, split_law

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the look at ``mini`` lies."""
    return tmp_path_factory.mktemp("look")


@pytest.fixture(scope="module")
def found(root: Path, folder: Path) -> Exploration:
    """The look at ``mini``."""
    return explore(root / "mini", folder)


@pytest.fixture(scope="module")
def page(found: Exploration, folder: Path) -> str:
    """Its page."""
    return (folder / found.page).read_text()


@pytest.fixture(scope="module")
def content(page: str) -> dict[str, Any]:
    """What the page's script reads."""
    line = next(line for line in page.splitlines() if line.startswith("const DATA = "))
    result: dict[str, Any] = json.loads(line.removeprefix("const DATA = ").removesuffix(";"))
    return result


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_split_file_names_the_split_of_every_scene_and_the_law(
    found: Exploration, folder: Path, data: RGBLidarData
) -> None:
    rows = rows_of(folder / "splits.csv")
    assert {row["law"] for row in rows} == {split_law()}
    for split, members in data.rows.items():
        expected = {(CLASSES[data.labels[row]], str(data.numbers[row])) for row in members}
        assert {(row["class"], row["number"]) for row in rows if row["split"] == split} == expected


def test_the_report_names_counts_and_files_without_a_partner(found: Exploration, folder: Path) -> None:
    assert re.search(r"spheres +40 +28 +6 +6 +3 +0", found.report)
    assert "3 files have no partner of the other sensor: spheres/lidar/0040.npy" in found.report
    assert [row["path"] for row in rows_of(folder / "unpaired.csv")] == [
        f"spheres/lidar/{number}.npy" for number in ("0040", "0041", "0042")
    ]
    assert found.statistics["scenes/cubes"] == 40
    assert found.statistics["unpaired_lidar/spheres"] == 3
    assert found.statistics["val/spheres"] == 6


def test_the_fingerprint_is_that_of_the_data(found: Exploration, data: RGBLidarData) -> None:
    assert found.fingerprint == data.fingerprint


def test_a_second_look_writes_the_same_bytes(
    found: Exploration, folder: Path, root: Path, tmp_path: Path
) -> None:
    assert explore(root / "mini", tmp_path) == found
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in folder.iterdir()}
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


class References(HTMLParser):
    """Collects everything that a browser would fetch, and tags that are left open."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_no_other_file_and_no_network(page: str) -> None:
    parser = References()
    parser.feed(page)
    assert parser.open == []
    assert parser.found
    assert all(reference.startswith("data:image/png;base64,") for reference in parser.found)
    for word in ("http:", "https:", "@import", "fetch(", "XMLHttpRequest", "import(", "url("):
        assert word not in page
    assert "{{" not in page


def test_the_page_holds_images_and_distances_as_they_are(content: dict[str, Any], data: RGBLidarData) -> None:
    assert content["side"] == 16
    np.testing.assert_allclose(content["azimuth"], data.azimuth, atol=1e-6)
    np.testing.assert_allclose(content["zenith"], data.zenith, atol=1e-6)
    for key, scene in content["scenes"].items():
        row = int(key)
        image = Image.open(io.BytesIO(base64.b64decode(scene["rgb"].partition(",")[2])))
        np.testing.assert_array_equal(np.asarray(image).transpose(2, 0, 1), data.rgb[row])
        millimetres = np.frombuffer(base64.b64decode(scene["depth"]), "<u2").reshape(16, 16)
        hit = data.depth[row] < MAX_RANGE
        np.testing.assert_array_equal(millimetres != NO_RETURN, hit)
        np.testing.assert_allclose(millimetres[hit] / 1000, data.depth[row][hit], atol=6e-4)
        assert scene["name"].startswith(f"{CLASSES[data.labels[row]]} {data.numbers[row]:04d}, ")


def test_the_page_offers_both_classes_of_all_splits_and_the_extremes(
    content: dict[str, Any], data: RGBLidarData
) -> None:
    sections = {section["title"]: [int(key) for key in section["scenes"]] for section in content["sections"]}
    for label, title in enumerate(("Cubes", "Spheres")):
        assert {int(data.labels[row]) for row in sections[title]} == {label}
        for rows in data.rows.values():
            assert set(sections[title]) & set(rows.tolist())
    returns = (np.asarray(data.depth) < MAX_RANGE).mean((1, 2))
    fewest = sections["Scenes of fewest returns"]
    assert returns[fewest].max() <= np.delete(returns, fewest).min()


def test_a_data_set_with_an_odd_name_and_empty_scans_can_be_shown(copy: Path, tmp_path: Path) -> None:
    empty = np.full((16, 16), MAX_RANGE, np.float32)
    for number in range(40):
        np.save(copy / f"cubes/lidar/{number:04d}.npy", empty if number else np.zeros_like(empty))
    odd = copy.rename(tmp_path / "a<b>&c")
    target = tmp_path / "look"
    target.mkdir()
    found = explore(odd, target)
    assert "40 scans without a return" in found.report
    assert (
        "256 rays of 1 scans of a<b>&c are written as 0 m and read as rays that did not come back."
        in found.report
    )
    page = (target / found.page).read_text()
    assert "<title>rgb_lidar/a&lt;b&gt;&amp;c</title>" in page
    assert "no return" in page
    parser = References()
    parser.feed(page)
    assert parser.open == []


def test_relief_is_dark_where_no_ray_came_back_and_grows_with_distance() -> None:
    depth = np.linspace(8, 12, 64, dtype=np.float32).reshape(8, 8)
    depth[2, 3] = MAX_RANGE
    scaled = relief(depth)
    assert np.isnan(scaled[2, 3])
    kept = scaled[np.isfinite(scaled)]
    assert (np.diff(kept) >= 0).all()
    assert 0 <= kept[0] < 0.15 < 0.85 < kept[-1] <= 1
    assert np.isnan(relief(np.full((4, 4), MAX_RANGE, np.float32))).all()


def test_one_stray_return_does_not_drown_the_relief() -> None:
    depth = np.linspace(20, 22, 100, dtype=np.float32).reshape(10, 10)
    depth[0, 0] = 5
    assert np.ptp(relief(depth)[1:]) > 0.5


def test_points_lie_where_the_image_shows_them_in_its_colours(data: RGBLidarData) -> None:
    for row in (0, 41):
        points, colours = points_of(data, row)
        hits = np.argwhere(data.depth[row] < MAX_RANGE)
        assert len(points) == len(hits)
        for (line, column), point, colour in zip(hits, points, colours, strict=True):
            azimuth, zenith = float(data.azimuth[line]), float(data.zenith[column])
            direction = [np.sin(zenith), np.cos(azimuth) * np.cos(zenith), -np.sin(azimuth) * np.cos(zenith)]
            np.testing.assert_allclose(point, data.depth[row, line, column] * np.array(direction), rtol=1e-4)
            np.testing.assert_allclose(colour, data.rgb[row, :3, line, column] / 255)


def test_pictures_hold_a_pair_and_a_cloud_for_each_scene(data: RGBLidarData) -> None:
    rows = [[0, 1, 2], [50, 51]]
    pairs = draw_pairs(data, scene_table(data), rows, "Scenes")
    shown = [axes for axes in pairs.axes if axes.images]
    assert len(shown) == 10
    np.testing.assert_array_equal(shown[0].images[0].get_array(), data.rgb[0].transpose(1, 2, 0))
    clouds = draw_clouds(data, rows)
    titles = [axes.get_title() for axes in clouds.axes]
    assert [title.partition(":")[0] for title in titles] == [
        f"{CLASSES[data.labels[row]]} {data.numbers[row]:04d}" for line in rows for row in line
    ]


def test_files_that_are_missing_are_a_data_error(copy: Path, tmp_path: Path) -> None:
    data = open_data(copy.parent, copy.name, 1.0)
    assert data.side == 16
    (copy / "cubes/azimuth.npy").unlink()
    target = tmp_path / "look"
    target.mkdir()
    with pytest.raises(ValueError, match=r"azimuth\.npy"):
        explore(copy, target)
    assert list(target.iterdir()) == []
