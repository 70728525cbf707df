"""Planted leaks between splits of scenes are found by what the family tells of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainables.sentinel_supcon.pairs import write_pairs
from thalweg.search.checks.leakage import Origins
from trainables.sentinel_supcon.config import PRESETS
from trainables.sentinel_supcon.data import prepare
from trainables.sentinel_supcon.data.rasters import write_raster
from trainables.sentinel_supcon.data.scenes import PatchData, open_patches
from trainables.sentinel_supcon.knobs import DataKnobs
from trainables.sentinel_supcon.task import SceneTask

KNOBS = DataKnobs(optical="l2a", size=16)
Open = Callable[[], PatchData]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Writes six scenes that touch, each of a place of its own, and opens them."""
    write_pairs(tmp_path / "own")
    return lambda: open_patches(tmp_path, "own", KNOBS)


def told(data: PatchData) -> Origins:
    return Origins.of(SceneTask(PRESETS["tiny"]), data)


def faults(data: PatchData) -> list[str]:
    return list(told(data).faults())


def test_worlds_and_scenes_that_touch_have_no_leak(
    opened: Open, facilities: PatchData, land: PatchData
) -> None:
    for data in (opened(), facilities, land):
        assert not faults(data) and not list(told(data).untold())
    assert told(opened()).kinds == ["ground", "place", "scene"]


def moved(folder: Path, names: tuple[str, str], crs: str, left: float) -> None:
    """Writes a scene anew, where another one lies, but for a quarter of its side."""
    rng = np.random.default_rng(4)
    place: Any = {"crs": crs, "bounds": (left, 0, left + 160, 160)}
    write_raster(folder / f"s1/{names[0]}.tif", rng.normal(-12, 3, (2, 16, 16)).astype(np.float32), **place)
    write_raster(
        folder / f"s2/{names[0]}.tif", rng.integers(1, 3000, (12, 16, 16)).astype(np.uint16), **place
    )


def test_ground_that_two_splits_show_is_found_although_places_have_other_names(
    opened: Open, tmp_path: Path
) -> None:
    """Two days of one place, of which a table says two places: no pixel is equal."""
    data = opened()
    seen, other = (data.names[data.rows[split][0]] for split in ("val", "train"))
    left = data.footprints[data.names.index(other), 0]
    moved(tmp_path / "own", (seen, other), "EPSG:32630", left + 40)
    (fault,) = (fault for fault in faults(opened()) if "train and val" in fault)
    assert fault.startswith("train and val must have no ground in common, got scene")
    assert " and ".join(sorted((seen, other))) in fault and fault.endswith("; divide the data by ground")


def test_a_scene_and_a_place_in_two_splits_are_found(opened: Open) -> None:
    data = opened()
    row = data.rows["test"][0]
    leaking = replace(data, rows={**data.rows, "val": np.append(data.rows["val"], row)})
    found = {fault.split(",")[0] for fault in faults(leaking)}
    assert found == {f"val and test must have no {kind} in common" for kind in ("scene", "place", "ground")}


def test_official_splits_may_share_places(opened: Open, tmp_path: Path) -> None:
    opened()
    table = tmp_path / "own/scenes.csv"
    lines = table.read_text().splitlines()
    header = lines[0].split(",")
    rows = [dict(zip(header, line.split(","), strict=True)) for line in lines[1:]]
    for row, split in zip(rows, ("train", "train", "train", "val", "val", "test"), strict=True):
        row |= {"place": "one", "split": split}
    table.write_text("\n".join([lines[0], *(",".join(row.values()) for row in rows)]))
    data = opened()
    assert (data.dealt, told(data).kinds, faults(data)) == ((), ["ground", "scene"], [])


def test_statistics_of_all_scenes_are_found(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = prepare._statistics
    monkeypatch.setattr(prepare, "_statistics", lambda s1, s2, rows: statistics(s1, s2, np.arange(6)))
    (fault,) = faults(opened())
    assert fault.startswith("statistics must be fitted on train alone, got scene scene")
    assert " of val, scene" in fault and " of test; fit them after" in fault


def test_a_store_of_an_earlier_version_tells_nothing_of_statistics(opened: Open) -> None:
    (note,) = told(replace(opened(), fitted=None)).untold()
    assert note.endswith("does not tell: what statistics were fitted on")
