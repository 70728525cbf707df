"""Imports of tiles from HDF5: small ones that are written here, and the real ones where they are."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from thalweg.errors import ConfigError, DataError, OutputError
from trainables.sentinel_supcon.data.scenes import open_patches
from trainables.sentinel_supcon.datasets import SOURCES
from trainables.sentinel_supcon.importing.patches import read
from trainables.sentinel_supcon.knobs import DataKnobs

_SHARED = Path(__file__).parents[4].parent / "shared" / "data"
_REAL = Path(os.environ.get("THALWEG_TEST_DATA", _SHARED)) / "s1s2_patches"
KNOBS = DataKnobs(optical="l2a", size=16)

real = pytest.mark.skipif(
    not (_REAL / "terramesh_examples.h5").is_file(),
    reason="the real data are not here; set THALWEG_TEST_DATA to the folder that holds s1s2_patches/",
)


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """A file of three tiles of 64 pixels: left half water, right half crops, a corner of clouds."""
    rng = np.random.default_rng(1)
    path = tmp_path / "tiles.h5"
    cover = np.full((3, 1, 64, 64), 4, np.uint8)
    cover[..., :32] = 1
    cover[..., :16, 48:] = 8
    with h5py.File(path, "w") as file:
        file["S1RTC"] = rng.normal(-12, 3, (3, 2, 64, 64)).astype(np.float16)
        file["S2L2A"] = rng.integers(1, 4000, (3, 12, 64, 64)).astype(np.int16)
        file["LULC"] = cover
        file["tile"] = np.array([b"A", b"B", b"C"])
        file["crs"] = np.array([b"EPSG:32630"] * 3)
        file["bounds"] = np.array([[0.0, 0, 640, 640]] * 3) + np.arange(3)[:, None] * 1000
    return path


@pytest.mark.slow
def test_tiles_are_cut_into_patches_of_which_each_keeps_its_ground(tiles: Path, tmp_path: Path) -> None:
    report = read(tiles, tmp_path / "own", size="16")
    assert report == (
        "48 scenes in 3 places from 3 tiles of TerraMesh, with the classes Water, Crops. "
        "No offset is taken off optical numbers."
    )
    data = open_patches(tmp_path, "own", KNOBS)
    assert data.place_names == ("A", "B", "C")
    row = data.names.index("B_r0016_c0032")
    with h5py.File(tiles) as file:
        window = (1, slice(None), slice(16, 32), slice(32, 48))
        np.testing.assert_array_equal(data.s1[row], file["S1RTC"][window])
        np.testing.assert_array_equal(data.s2[row], file["S2L2A"][window])
    assert data.classes[data.labels[row]] == "Crops"
    assert data.footprints[row].tolist() == [1320, 1320, 1480, 1480]
    assert data.crs[row] == "EPSG:32630"
    assert data.labels[data.names.index("A_r0000_c0048")] == -1  # clouds


@pytest.mark.slow
def test_no_tile_is_in_two_splits_and_no_patch_crosses_a_block(tiles: Path, tmp_path: Path) -> None:
    read(tiles, tmp_path / "own", size="16", stride="8", block="32")
    data = open_patches(tmp_path, "own", KNOBS)
    assert len(data.place_names) == 12
    assert len(data.names) == 12 * 9
    for name, place in zip(data.names, data.places, strict=True):
        tile, row, column = name.split("_")
        top, left = (int(text[1:]) // 32 * 32 for text in (row, column))
        assert data.place_names[place] == f"{tile} block {top} {left}"
        assert int(row[1:]) + 16 <= top + 32 and int(column[1:]) + 16 <= left + 32
    held = [set(data.places[rows].tolist()) for rows in data.rows.values()]
    assert sum(map(len, held)) == len(set.union(*held)) == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held_out", "splits"),
    [
        ({"val": "C", "test": "A"}, {"A": {"test"}, "B": {"train"}, "C": {"val"}}),
        ({"val": "A, C"}, {"B": {"train"}, "AC": {"val", "test"}}),
        ({"test": "B"}, {"B": {"test"}, "AC": {"train", "val"}}),
    ],
)
def test_whole_tiles_can_be_held_out(
    tiles: Path, tmp_path: Path, held_out: dict[str, str], splits: dict[str, set[str]]
) -> None:
    read(tiles, tmp_path / "own", size="16", stride="8", block="32", **held_out)
    data = open_patches(tmp_path, "own", KNOBS)
    found = {
        group: {split for split, rows in data.rows.items() for row in rows if data.names[row][0] in group}
        for group in splits
    }
    assert found == splits


def shift(tiles: Path, number: int) -> None:
    with h5py.File(tiles, "r+") as file:
        file["S2L2A"][number] = file["S2L2A"][number] + 1000


@pytest.mark.slow
def test_an_offset_that_shows_in_a_tile_is_refused_or_taken_off(tiles: Path, tmp_path: Path) -> None:
    read(tiles, tmp_path / "plain", size="16")
    shift(tiles, 1)
    with pytest.raises(
        DataError, match=r"got 1 tile with no pixel below 1000, .*: B; say --option offset=by-values"
    ):
        read(tiles, tmp_path / "own", size="16")
    assert not (tmp_path / "own").exists()
    assert "1000 is taken off the optical numbers of 1 tile: B." in read(
        tiles, tmp_path / "own", size="16", offset="by-values"
    )
    plain, own = (open_patches(tmp_path, name, KNOBS) for name in ("plain", "own"))
    np.testing.assert_array_equal(plain.s2, own.s2)
    read(tiles, tmp_path / "bright", size="16", offset="0")
    bright = open_patches(tmp_path, "bright", KNOBS)
    assert (bright.s2.astype(int) - plain.s2).max() == 1000


@pytest.mark.slow
def test_classes_of_few_patches_are_left_out(tiles: Path, tmp_path: Path) -> None:
    with h5py.File(tiles, "r+") as file:
        file["LULC"][0, 0, 48:, 48:] = 6
    assert "Water, Crops, Bare." in read(tiles, tmp_path / "all", size="16")
    assert "Water, Crops." in read(tiles, tmp_path / "some", size="16", min_scenes="2")
    data = open_patches(tmp_path, "some", KNOBS)
    assert data.labels[data.names.index("A_r0048_c0048")] == -1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "8"}, "size must be a whole number from 16"),
        ({"size": "16", "stride": "17"}, "stride must be a whole number from 1 to 16, got '17'"),
        ({"size": "16", "block": "8"}, "block must be 0 or at least the size, 16, got 8"),
        (
            {"size": "16", "optical": "l1c"},
            "optical must be a product that tiles.h5 holds, got 'l1c'; take l2a",
        ),
        ({"size": "16", "optical": "rgbn"}, "optical must be l2a or l1c, got 'rgbn'"),
        ({"size": "16", "val": "B,D"}, "val must name tiles of the file, got 'D'; take of A, B, C"),
        ({"size": "16", "val": "B", "test": "B"}, "each tile must be held out once, got B twice"),
        ({"size": "16", "val": "B,C", "test": "A"}, "some tile must be left to train on, got all 3 held out"),
        ({"size": "16", "offset": "500"}, "offset must be auto, by-values, 0 or -1000, got '500'"),
    ],
)
def test_an_option_out_of_its_bounds_is_refused(
    tiles: Path, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tiles, tmp_path / "own", **options)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["radar"] = [1]
    with pytest.raises(DataError, match=r"of TerraMesh or Sen1Floods11 or BigEarthNet, got radar; choose"):
        read(tmp_path, tmp_path / "own")


def _replace(name: str, values: Any) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = values

    return damage


def _group(file: h5py.File) -> None:
    del file["LULC"]
    file.create_group("LULC")


def _lists(labels: Any) -> Callable[[h5py.File], None]:
    """Makes the file one of BigEarthNet."""

    def damage(file: h5py.File) -> None:
        file["S1"], file["labels"] = file["S1RTC"], labels
        del file["S1RTC"]

    return damage


HALF = np.ones((3, 12, 32, 32), np.int16)
BREAKS: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "three bands of radar": (
        _replace("S1RTC", np.zeros((3, 3, 64, 64), np.float32)),
        r"S1RTC of .*tiles.h5 must hold numbers of shape \(tile, 2, side, side\), got float32 of shape \(3, 3,",
    ),
    "bands last": (_replace("S2L2A", np.ones((3, 64, 64, 12), np.int16)), r"shape \(tile, 12, side, side\)"),
    "no squares": (
        _replace("S1RTC", np.zeros((3, 2, 64, 32), np.float32)),
        r"got float32 of shape \(3, 2, 64, 32",
    ),
    "fewer pixels": (
        _replace("S2L2A", HALF),
        r"the tiles and pixels of the radar images, \(3, 12, 64, 64\), got",
    ),
    "fewer tiles": (_replace("S2L2A", np.ones((2, 12, 64, 64), np.int16)), "tiles and pixels of the radar"),
    "no tile": (_replace("S1RTC", np.zeros((0, 2, 64, 64), np.float32)), "at least one number"),
    "maps of three axes": (
        _replace("LULC", np.ones((3, 64, 64), np.uint8)),
        r"shape \(tile, 1, side, side\)",
    ),
    "small maps": (
        _replace("LULC", np.ones((3, 1, 32, 32), np.uint8)),
        "LULC .* tiles and pixels of the radar",
    ),
    "lists for maps": (_replace("LULC", np.array([b"[]"] * 3)), "must hold numbers"),
    "a group": (_group, "LULC of .* must be an array, got Group"),
    "numbers for names": (_replace("tile", np.arange(3)), "tile of .* must hold 3 texts, one for each tile"),
    "few names": (_replace("tile", np.array([b"A"])), r"must hold 3 texts, .* got \|S1 of shape \(1,\)"),
    "a name twice": (_replace("tile", np.array([b"A", b"B", b"A"])), "must name each tile once, .* got 'A'"),
    "another folder": (_replace("tile", np.array([b"../../A", b"B", b"C"])), r"got '\.\./\.\./A'"),
    "Latin names": (_replace("tile", np.array([b"\xe9", b"B", b"C"])), "texts in UTF-8"),
    "few bounds": (_replace("bounds", np.zeros((1, 4))), "of each of 3 tiles, got float64 of shape"),
    "no bounds": (lambda file: file.pop("bounds"), "must hold bounds beside crs, got crs alone"),
    "an unknown system": (
        _replace("crs", np.array([b"nowhere"] * 3)),
        "must be like EPSG:32630, got 'nowhere'",
    ),
    "fill": (
        _replace("S2L2A", np.full((3, 12, 64, 64), -9999, np.int16)),
        "at least -2000, got -9999 in .*tiles.h5",
    ),
    "an unknown label": (
        _lists(np.array([b'["Lakes"]'] * 3)),
        r"CORINE classes as JSON, got '\[\"Lakes\"\]' of A",
    ),
    "no JSON": (_lists(np.array([b"Pastures"] * 3)), "CORINE classes as JSON, got 'Pastures' of A"),
    "numbers for labels": (_lists(np.arange(3)), "labels of .* must hold 3 texts"),
}


@pytest.mark.parametrize("case", sorted(BREAKS))
def test_arrays_of_another_form_are_refused_by_name(tiles: Path, tmp_path: Path, case: str) -> None:
    damage, message = BREAKS[case]
    with h5py.File(tiles, "r+") as file:
        damage(file)
    with pytest.raises(DataError, match=message):
        read(tiles, tmp_path / "own", size="16")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiles.h5"]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_broken_file_is_refused_by_name(tiles: Path, tmp_path: Path, share: float) -> None:
    content = tiles.read_bytes()
    tiles.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"tiles.h5 must be a complete HDF5 file, got .*; copy it again"):
        read(tiles, tmp_path / "own")


@pytest.mark.slow
def test_what_is_written_needs_no_guess_about_its_offset(tiles: Path, tmp_path: Path) -> None:
    """Bright scenes, of which the option says so, are not refused when they are opened."""
    for number in range(3):
        shift(tiles, number)
    read(tiles, tmp_path / "own", size="16", offset="0")
    assert open_patches(tmp_path, "own", KNOBS).s2.min() > 1000


def test_a_folder_with_content_stays_as_it_is(tiles: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/mine").write_text("")
    with pytest.raises(OutputError, match="must be new or empty"):
        read(tiles, tmp_path / "own", size="16")


@pytest.mark.slow
@real
def test_terramesh_has_tiles_with_and_without_the_offset(tmp_path: Path) -> None:
    source, make = _REAL / "terramesh_examples.h5", SOURCES["s1s2-patches"].read
    with pytest.raises(DataError, match=r"got 3 tiles .*: 282D_485L_3_3, 433D_629L_3_1, 609U_541L_3_0;"):
        make(source, tmp_path / "l1c", optical="l1c", size="112")
    report = make(source, tmp_path / "own", size="56", block="112", offset="by-values", min_scenes="3")
    assert "1000 is taken off the optical numbers of 1 tile: 433D_629L_3_1." in report
    data = open_patches(tmp_path, "own", KNOBS)
    assert len(data.names) == 80 and len(data.place_names) == 20
    assert data.s1.min() > -60 and data.s1.max() < 30
    water = data.labels == data.classes.index("Water")
    assert data.s1[water, 0].mean() < data.s1[~water, 0].mean() - 4
    counts = Counter(data.classes[label] for label in data.labels if label >= 0)
    assert set(counts) == set(data.classes) >= {"Water", "Trees", "Crops", "Snow", "Rangeland"}
    red, infrared = data.mean[2 + data.bands.index("B04")], data.mean[2 + data.bands.index("B08")]
    assert 0 < red < infrared < 1


@pytest.mark.slow
@real
def test_floods_and_bigearthnet_are_read_too(tmp_path: Path) -> None:
    make = SOURCES["s1s2-patches"].read
    report = make(_REAL / "sen1floods11_spain.h5", tmp_path / "floods", size="128", block="128")
    assert "16 scenes in 16 places from 1 tile of Sen1Floods11, with the classes Dry, Water" in report
    floods = open_patches(tmp_path, "floods", DataKnobs(optical="l1c"))
    water = floods.labels == 1
    assert 0 < water.sum() < 8
    assert floods.s1[water, 0].mean() < floods.s1[~water, 0].mean() - 3
    assert "6 scenes in" in make(_REAL / "bigearthnet_pairs.h5", tmp_path / "ben")
    ben = open_patches(tmp_path, "ben", KNOBS)
    assert len(ben.classes) == 19 and ben.side == 120
    row = ben.names.index("S2A_MSIL2A_20170613T101031_87_48")
    named = [ben.classes[number] for number in np.flatnonzero(ben.multi[row])]
    assert named == [
        "Arable land",
        "Land principally occupied by agriculture, with significant areas of natural vegetation",
    ]
    with h5py.File(_REAL / "bigearthnet_pairs.h5") as file:
        at = [name.decode() for name in file["patch"]].index(ben.names[row])
        np.testing.assert_array_equal(ben.s1[row], file["S1"][at])
