"""The files of a look at a data set, read back."""

import csv
import io
import re
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from thalweg.dataset_contract import Exploration
from thalweg.errors import ConfigError
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.explore import explore, export_fiftyone
from trainables.sentinel_supcon.exploring import tables
from trainables.sentinel_supcon.exploring.opening import open_all
from trainables.sentinel_supcon.exploring.pictures import (
    class_colours,
    draw_scenes,
    map_colour,
    radar_colour,
    stretch_of,
    true_colour,
)
from trainables.sentinel_supcon.worlds import dfc2020, meterml

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sentinel_supcon")
    for name in ("facilities", "land"):
        (folder / name).mkdir()
    meterml.make(folder / "facilities", meterml.Recipe(num_scenes=100, side=16, seed=4))
    dfc2020.make(folder / "land", dfc2020.Recipe(num_scenes=60, side=16, seed=5))
    return folder


@pytest.fixture(scope="module")
def data(root: Path) -> PatchData:
    return open_all(root / "facilities")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the look at ``facilities`` lies."""
    return tmp_path_factory.mktemp("look")


@pytest.fixture(scope="module")
def found(root: Path, folder: Path) -> Exploration:
    """The look at ``facilities``."""
    return explore(root / "facilities", folder)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_counts_of_classes_by_split_are_those_of_the_data(
    found: Exploration, folder: Path, data: PatchData
) -> None:
    rows = {row["class"]: row for row in rows_of(folder / "classes.csv")}
    assert set(rows) == set(data.classes)
    for number, name in enumerate(data.classes):
        for split, members in data.rows.items():
            count = int((data.labels[members] == number).sum())
            assert int(rows[name][split]) == count == found.statistics[f"{split}/{name}"]
        also = sum(
            bool(multi[number]) and label != number
            for multi, label in zip(data.multi, data.labels, strict=True)
        )
        assert int(rows[name]["also_in"]) == also
    assert re.search(rf"Negative +{rows['Negative']['scenes']} +{rows['Negative']['train']} ", found.report)


def test_every_scene_is_listed_with_split_place_and_measures(
    found: Exploration, folder: Path, data: PatchData
) -> None:
    rows = rows_of(folder / "scenes.csv")
    assert [row["name"] for row in rows] == list(data.names)
    splits = {int(row): split for split, members in data.rows.items() for row in members}
    for number in (0, 17, 60):
        row = rows[number]
        assert row["split"] == splits[number]
        assert row["place"] == data.place_names[data.places[number]]
        red, infrared = (data.s2[number, band].mean() / 10_000 for band in (0, 3))
        assert float(row["vv"]) == pytest.approx(data.s1[number, 0].mean(), rel=1e-4)
        assert float(row["ndvi"]) == pytest.approx((infrared - red) / (infrared + red), abs=1e-4)
        assert float(row["texture"]) == pytest.approx(data.s1[number, 0].std(), rel=1e-4)


def test_what_was_left_out_is_named(found: Exploration, folder: Path, data: PatchData) -> None:
    rows = {row["name"]: row["why"] for row in rows_of(folder / "left_out.csv")}
    assert rows == dict(data.left_out) != {}
    assert all(name in found.report for name in rows)
    assert found.statistics["left_out"] == len(rows)


def test_the_table_of_bands_holds_the_statistics_of_training(
    found: Exploration, folder: Path, data: PatchData
) -> None:
    rows = rows_of(folder / "bands.csv")
    assert [row["band"] for row in rows] == ["VV", "VH", *data.bands]
    np.testing.assert_allclose([float(row["mean"]) for row in rows], data.mean, rtol=1e-5)
    mines = data.labels == data.classes.index("Mines")
    assert float(rows[2]["Mines"]) == pytest.approx(data.s2[mines, 0].mean() / 10_000, rel=1e-4)


def test_no_place_is_in_two_splits(found: Exploration, folder: Path, data: PatchData) -> None:
    rows = rows_of(folder / "places.csv")
    assert len(rows) == len(data.place_names)
    held_out = [row["splits"] for row in rows if "val" in row["splits"] or "test" in row["splits"]]
    assert held_out and not any("val" in splits and "test" in splits for splits in held_out)


def test_a_second_look_writes_the_same_bytes(
    found: Exploration, folder: Path, root: Path, tmp_path: Path
) -> None:
    assert explore(root / "facilities", tmp_path) == found
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    for path in files:
        assert (folder / path).read_bytes() == (tmp_path / path).read_bytes(), path


def test_the_page_shows_all_classes_and_needs_no_other_file_and_no_network(
    found: Exploration, folder: Path, data: PatchData
) -> None:
    page = (folder / found.page).read_text()
    for name in data.classes:
        assert f'<h3 id="{name}">' in page
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == len(data.classes) + 2 + 5
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    for word in ("http:", "https:", "@import", "url("):
        assert word not in page


def test_a_look_at_maps_shows_them_and_names_scenes_without_a_class(root: Path, tmp_path: Path) -> None:
    found = explore(root / "land", tmp_path)
    assert "in the layout DFC2020" in found.report and "(none)" in found.report
    with (
        Image.open(tmp_path / "samples" / "Forest.png") as three,
        Image.open(tmp_path / "samples.png") as all_of,
    ):
        assert min(three.height, all_of.height) > 500  # a third line, and a legend


def test_the_fingerprint_is_that_of_the_data(found: Exploration, data: PatchData) -> None:
    assert found.fingerprint == data.fingerprint


def test_true_colour_is_red_green_and_blue_at_one_stretch(data: PatchData) -> None:
    stretch = stretch_of(data)
    low, high = stretch.optical
    for row in (2, 40):
        expected = np.clip((data.s2[row, :3] / 10_000 - low) / (high - low), 0, 1).transpose(1, 2, 0)
        np.testing.assert_allclose(true_colour(data, row, stretch) / 255, expected, atol=0.003)


def test_a_radar_picture_is_vv_vh_and_their_difference(data: PatchData) -> None:
    stretch = stretch_of(data)
    vv, vh = data.s1[5]
    picture = radar_colour(data, 5, stretch) / 255
    for channel, values in enumerate((vv, vh, vv - vh)):
        low, high = stretch.radar[channel]
        expected = np.clip((values - low) / (high - low), 0, 1)
        np.testing.assert_allclose(picture[..., channel], expected, atol=0.003)


def test_maps_are_drawn_in_the_colours_of_their_classes(root: Path) -> None:
    land = open_all(root / "land")
    colours = np.array([colour[:3] for colour in class_colours(land)])
    row = int(np.flatnonzero((land.maps == 255).any((1, 2)))[0])
    picture = map_colour(land, row) / 255
    known = land.maps[row] < 255
    np.testing.assert_allclose(picture[known], colours[land.maps[row][known]], atol=0.003)
    assert (picture[~known] < 0.2).all()


def test_maps_have_a_legend_of_the_classes_that_they_show(root: Path) -> None:
    land = open_all(root / "land")
    rows = [int(np.flatnonzero((land.maps == 255).any((1, 2)))[0]), 3]
    figure = draw_scenes(land, tables.scene_table(land, tables.band_means(land)), rows, stretch_of(land))
    there = set(np.unique(land.maps[rows]).tolist())
    (legend,) = figure.legends
    shown = {
        text.get_text(): to_rgb(patch.get_facecolor())
        for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True)
    }
    expected = {name: to_rgb(colour) for name, colour in zip(land.classes, class_colours(land), strict=True)}
    assert {name: colour for name, colour in shown.items() if name != "none"} == {
        land.classes[number]: expected[land.classes[number]] for number in there - {255}
    }
    assert "none" in shown and len(shown) == len(there)


def test_without_the_package_it_says_how_to_get_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(
        ConfigError, match=r"FiftyOne must be installed.*--extra fiftyone.*pip install fiftyone"
    ):
        export_fiftyone(root / "facilities", "mine", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
@pytest.mark.filterwarnings(
    "ignore"
)  # what FiftyOne's own imports deprecate, and processes that it leaves running
def test_the_package_holds_every_scene_with_both_sensors(root: Path, data: PatchData, tmp_path: Path) -> None:
    fiftyone = pytest.importorskip("fiftyone", reason="FiftyOne is an optional extra")
    name = f"thalweg-test-{uuid.uuid4().hex[:8]}"
    try:
        assert name in export_fiftyone(root / "facilities", name, tmp_path)
        dataset = fiftyone.load_dataset(name)
        assert dataset.group_media_types == {"optical": "image", "radar": "image"}
        assert dataset.info["fingerprint"] == data.fingerprint
        assert sum(dataset.count_values("label.label").values()) == len(data.names)
        for split, rows in data.rows.items():
            assert len(dataset.match_tags(split)) == len(rows)
        stretch = stretch_of(data)
        for sample in dataset.take(3, seed=1):
            row = data.names.index(sample.scene)
            picture = np.asarray(Image.open(io.BytesIO(Path(sample.filepath).read_bytes())))
            np.testing.assert_array_equal(picture, true_colour(data, row, stretch))
            assert sample.label.label == data.classes[data.labels[row]]
    finally:
        if fiftyone.dataset_exists(name):
            fiftyone.delete_dataset(name)
