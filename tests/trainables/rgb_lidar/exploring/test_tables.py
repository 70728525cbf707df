"""What is counted and measured of a data set, against slow loops over its files."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.lidar import MAX_RANGE
from trainables.rgb_lidar.data.scenes import RGBLidarData, open_data
from trainables.rgb_lidar.exploring import tables as tables


def test_every_scene_is_measured_as_a_loop_over_its_files_does(data: RGBLidarData, root: Path) -> None:
    table = tables.scene_table(data)
    assert len(table) == 80
    for _, row in table.iterrows():
        depth = np.load(root / f"mini/{row['class']}/lidar/{row['number']:04d}.npy")
        image = np.asarray(Image.open(root / f"mini/{row['class']}/rgb/{row['number']:04d}.png")) / 255
        returns = sorted(float(value) for value in depth.ravel() if value < MAX_RANGE)
        assert row["returns"] == pytest.approx(len(returns) / depth.size)
        assert [row["nearest_m"], row["farthest_m"]] == pytest.approx([returns[0], returns[-1]])
        assert row["median_m"] == pytest.approx(np.median(returns))
        assert row["brightness"] == pytest.approx(image[..., :3].mean())
        assert row["contrast"] == pytest.approx(image[..., :3].std())
        assert row["opacity"] == 1


def test_chunks_do_not_change_what_is_measured(data: RGBLidarData, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, lengths = tables.scene_table(data), tables.distance_table(data)
    monkeypatch.setattr(tables, "CHUNK", 7)
    assert tables.scene_table(data).equals(whole)
    assert tables.distance_table(data).equals(lengths)


def test_a_scan_without_a_return_has_no_distances(copy: Path) -> None:
    np.save(copy / "cubes/lidar/0003.npy", np.full((16, 16), MAX_RANGE, np.float32))
    table = tables.scene_table(open_data(copy.parent, copy.name, 1.0))
    is_empty = (table["class"] == "cubes") & (table["number"] == 3)
    assert (table["returns"] == 0).equals(is_empty)
    for name in ("nearest_m", "median_m", "farthest_m"):
        assert table[name].isna().equals(is_empty)


def test_the_split_of_every_scene_is_that_of_the_data(data: RGBLidarData) -> None:
    table = tables.scene_table(data)
    for split, rows in data.rows.items():
        assert sorted(rows) == list(np.flatnonzero(table["split"] == split))


def test_the_split_law_is_a_hash_of_seed_block_and_shares() -> None:
    law = {"seed": 51, "block": 20, "shares": {"train": 14, "val": 3, "test": 3}}
    text = json.dumps(law, sort_keys=True, separators=(",", ":"))
    assert tables.split_law() == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_classes_are_counted_by_split_with_files_that_have_no_partner(copy: Path) -> None:
    (copy / "cubes/lidar/0005.npy").unlink()
    data = open_data(copy.parent, copy.name, 1.0)
    table = tables.class_table(tables.scene_table(data), data.unpaired).set_index("class")
    assert list(table.index) == list(CLASSES)
    assert list(table.loc["cubes", ["scenes", "unpaired_lidar", "unpaired_rgb"]]) == [39, 0, 1]
    assert list(table.loc["spheres", ["scenes", "unpaired_lidar", "unpaired_rgb"]]) == [40, 3, 0]
    assert (table[["train", "val", "test"]].sum(axis=1) == table["scenes"]).all()
    assert table["val"].sum() == data.num_samples("val")


def test_all_returns_are_counted_once_in_their_half_metre(data: RGBLidarData) -> None:
    table = tables.distance_table(data)
    assert list(table["to_m"] - table["from_m"]) == [0.5] * 100
    for label, kind in enumerate(CLASSES):
        depth = np.asarray(data.depth)[data.labels == label]
        assert table[kind].sum() == (depth < MAX_RANGE).sum()
        assert table.loc[30, kind] == ((depth >= 15) & (depth < 15.5)).sum()


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, 1.5, math.nan]), st.booleans()), min_size=1, max_size=30)
)
def test_how_a_measure_tells_the_class_is_counted_over_all_pairs(rows: list[tuple[float, bool]]) -> None:
    values, is_sphere = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    pairs = [
        1.0 if sphere > cube else 0.5 if sphere == cube else 0.0
        for sphere, first in rows
        if first and not math.isnan(sphere)
        for cube, second in rows
        if not second and not math.isnan(cube)
    ]
    expected = sum(pairs) / len(pairs) if pairs else math.nan
    assert tables.roc_auc(values, is_sphere) == pytest.approx(expected, nan_ok=True)


def test_quantiles_of_measures_are_those_of_the_class(data: RGBLidarData) -> None:
    scenes = tables.scene_table(data)
    table = tables.measure_table(scenes).set_index("measure")
    assert list(table.index) == list(tables.MEASURES)
    spheres = scenes[scenes["class"] == "spheres"]
    assert table.at["brightness", "spheres_95%"] == pytest.approx(np.quantile(spheres["brightness"], 0.95))
    assert table.at["returns", "spheres_mean"] == pytest.approx(spheres["returns"].mean())
    assert table.at["opacity", "told"] == 0.5
