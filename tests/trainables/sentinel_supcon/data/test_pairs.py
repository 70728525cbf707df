import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainables.sentinel_supcon.pairs import write_pairs
from thalweg.errors import DataError
from trainables.sentinel_supcon.data.pairs import Described, write_tables
from trainables.sentinel_supcon.data.rasters import read_raster, write_raster
from trainables.sentinel_supcon.data.scenes import open_patches
from trainables.sentinel_supcon.knobs import DataKnobs

KNOBS = DataKnobs(optical="l2a", size=16)


def test_pairs_are_read_with_classes_and_places(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own")
    data = open_patches(tmp_path, "own", KNOBS)
    assert data.names == tuple(made)
    assert data.classes == ("water", "trees")
    assert data.labels.tolist() == [1, 0] * 3
    assert data.multi.tolist() == [[False, True], [True, True]] * 3
    assert [data.place_names[place] for place in data.places] == [f"tile{number}" for number in range(6)]
    np.testing.assert_array_equal(data.s1, np.stack([radar for radar, _ in made.values()]))


def test_classes_come_from_maps_if_there_are_codes(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own")
    for number, name in enumerate(made):
        write_raster(
            tmp_path / f"own/labels/{name}.tif", np.full((1, 16, 16), 7 - 2 * (number % 2), np.uint8)
        )
    described = Described(classes=("water", "trees"), bands=KNOBS.bands, codes={5: 0, 7: 1})
    write_tables(tmp_path / "own", described, [{"name": name, "place": name} for name in made])
    data = open_patches(tmp_path, "own", KNOBS)
    assert data.labels.tolist() == [1, 0] * 3
    assert data.maps.shape == (6, 16, 16)


def test_a_scene_without_classes_has_no_label(tmp_path: Path) -> None:
    write_pairs(tmp_path / "own")
    table = tmp_path / "own/scenes.csv"
    table.write_text(table.read_text().replace(",water;trees,", ",,", 1))
    data = open_patches(tmp_path, "own", KNOBS)
    assert data.labels.tolist() == [1, -1, 1, 0, 1, 0]
    assert any("1 scenes of own have no label: no class is named" in note for note in data.notes)


def _change(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return change


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no table": (lambda f: (f / "scenes.json").unlink(), "scenes.json must name classes and bands"),
    "no json": (lambda f: (f / "scenes.json").write_text("{"), "must name classes and bands, got JSONDecode"),
    "no classes": (_change("scenes.json", '"classes"', '"kinds"'), "got KeyError: 'classes'"),
    "a class twice": (
        _change("scenes.json", '"water"', '"trees"'),
        "classes of .* must be some names, each once",
    ),
    "an unknown band": (_change("scenes.json", "B8A", "B08a"), "got 'B08a'; rename it"),
    "an unknown unit": (
        _change("scenes.json", '"dB"', '"decibel"'),
        "must be one of dB, linear, counts, got",
    ),
    "codes without a class": (
        _change("scenes.json", '"codes": {}', '"codes": {"1": 2}'),
        "name classes from 0 to 1",
    ),
    "an unknown class": (_change("scenes.csv", "water", "lakes"), "must be of water, trees, got 'lakes'"),
    "an unknown split": (_change("scenes.csv", "tile0,,", "tile0,dev,"), "must be train, val, test or empty"),
    "a name twice": (_change("scenes.csv", "scene1", "scene0"), "each once, .* got 'scene0'"),
    "no column": (_change("scenes.csv", "name,", "title,"), "must have the columns name and classes"),
    "a baseline": (_change("scenes.csv", "trees,", "trees,new"), "must be like 04.00, got 'new'"),
    "a date": (_change("scenes.csv", "trees,,", "trees,,June"), "must be like 2021-06-30, got 'June'"),
    "deep json": (lambda f: (f / "scenes.json").write_text("[" * 100_000), "got RecursionError"),
    "a later format": (
        _change("scenes.json", '"format": 1', '"format": 2'),
        "format of .* must be 1, .* got 2",
    ),
    "too many classes for maps": (
        lambda f: (f / "scenes.json").write_text(
            json.dumps(
                {"classes": list(map(str, range(256))), "bands": list(KNOBS.bands), "codes": {"1": 255}}
            )
        ),
        "must be at most 255 where maps hold them, got 256",
    ),
    "a long name": (_change("scenes.csv", "scene1", "s" * 300), "of at most 240 bytes, got 'ssss"),
    "semicolons": (
        _change("scenes.csv", "name,place,split,", "name;"),
        "separated by commas, got name;",
    ),
    "no scene": (lambda f: (f / "scenes.csv").write_text("name,classes\n"), "got none; copy the missing"),
}


def test_a_map_of_other_ground_is_refused(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own")
    where: dict[str, Any] = {"crs": "EPSG:32630", "bounds": (9000, 0, 9160, 160)}
    for name in made:
        write_raster(tmp_path / f"own/labels/{name}.tif", np.full((1, 16, 16), 7, np.uint8), **where)
    described = Described(classes=("water", "trees"), bands=KNOBS.bands, codes={5: 0, 7: 1})
    write_tables(tmp_path / "own", described, [{"name": name, "place": name} for name in made])
    with pytest.raises(
        DataError, match=r"same ground .* in .*own/s1/scene0.tif and .* in .*own/labels/scene0.tif"
    ):
        open_patches(tmp_path, "own", KNOBS)


def test_tables_may_begin_with_a_mark_of_their_encoding(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own")
    for name in ("scenes.csv", "scenes.json"):
        path = tmp_path / "own" / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert open_patches(tmp_path, "own", KNOBS).names == tuple(made)


def test_tables_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from trainables.sentinel_supcon.data import pairs; pairs.write_tables(pathlib.Path("
        "sys.argv[1]), pairs.Described(classes=('For\\u00eat', 'Eau'), bands=('B02',)), [{'name': 'a', "
        "'place': '\\u00cele', 'classes': 'For\\u00eat'}])"
    )
    ascii_alone = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=ascii_alone, check=True)
    assert "a,\u00cele,,For\u00eat" in (tmp_path / "scenes.csv").read_text("utf-8")


def test_scenes_of_unknown_places_are_told(tmp_path: Path) -> None:
    for name in write_pairs(tmp_path / "own"):
        for sensor in ("s1", "s2"):
            raster = read_raster(tmp_path / f"own/{sensor}/{name}.tif")
            write_raster(tmp_path / f"own/{sensor}/{name}.tif", raster.values)
    table = tmp_path / "own/scenes.csv"
    table.write_text(re.sub(r"tile\d", "", table.read_text()))
    notes = open_patches(tmp_path, "own", KNOBS).notes
    assert any(note.startswith("6 scenes of own have neither a place nor coordinates") for note in notes)


@pytest.mark.parametrize("case", sorted(BREAKS))
def test_broken_tables_are_refused_by_name(tmp_path: Path, case: str) -> None:
    write_pairs(tmp_path / "own")
    damage, message = BREAKS[case]
    damage(tmp_path / "own")
    with pytest.raises(DataError, match=message):
        open_patches(tmp_path, "own", KNOBS)
