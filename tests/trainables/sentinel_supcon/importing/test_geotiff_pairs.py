"""Imports of one's own GeoTIFF pairs, which rasterio writes here."""

import json
import shlex
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.rio.main import main_group

from tests.trainables.sentinel_supcon.importing.own_pairs import (
    BANDS,
    KNOBS,
    NAMES,
    SIDE,
    bounds,
    contents,
    opened,
    write_maps,
    write_pair,
    write_table,
)
from thalweg.errors import ConfigError, DataError
from trainables.sentinel_supcon.data.rasters import write_raster
from trainables.sentinel_supcon.data.scenes import open_patches
from trainables.sentinel_supcon.importing.geotiff_pairs import read


def test_a_table_gives_classes_dates_and_ground(folder: Path, tmp_path: Path) -> None:
    report = read(folder / "table.csv", tmp_path / "own")
    assert report == (
        "6 scenes in 6 places, with the bands B02, B03, B04, B08, B11, B12 and the classes Trees, Water. "
        "No offset is taken off optical numbers."
    )
    data = opened(tmp_path)
    assert data.names == NAMES and data.classes == ("Trees", "Water")
    assert data.labels.tolist() == [0, 1] * 3
    assert data.multi.tolist() == [[True, False], [True, True]] * 3
    assert data.dates == tuple(f"2021-06-0{number}" for number in range(1, 7))
    assert data.crs == ("EPSG:32630",) * 6
    np.testing.assert_array_equal(data.footprints, [bounds(number) for number in range(6)])
    for row, name in enumerate(NAMES):
        np.testing.assert_array_equal(data.s1[row], contents(folder / f"s1/{name}.tif")[::-1])
        np.testing.assert_array_equal(data.s2[row], contents(folder / f"s2/{name}.tif"))


@pytest.mark.parametrize("file", ["table.geojson", "TABLE.GEOJSON", "table.Json"])
def test_geojson_gives_lists_of_classes_and_places(folder: Path, tmp_path: Path, file: str) -> None:
    features = []
    for number, name in enumerate(NAMES):
        for kind in ("s1", "s2"):  # without coordinates of their own
            path = folder / kind / f"{name}.tif"
            bands = ("VV", "VH") if kind == "s1" else BANDS
            write_raster(path, contents(path), names=bands)
        properties = {
            "s1": f"s1/{name}.tif",
            "s2": f"s2/{name}.tif",
            "classes": ["Trees", "Water"][: number % 2 + 1],
        }
        geometry = {"type": "Point", "coordinates": [10 + number // 2 + 0.5, 50.5]}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    (folder / file).write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert read(folder / file, tmp_path / "own").startswith("6 scenes in 3 places")
    data = opened(tmp_path)
    assert data.place_names == ("+50+010", "+50+011", "+50+012")
    assert data.multi.tolist() == [[True, False], [True, True]] * 3


def test_patterns_of_a_folder_tell_classes_places_and_splits(folder: Path, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        for kind in ("s1", "s2"):
            split = {4: "validation", 5: "test"}.get(number, "train")
            home = folder / split / ("lake" if number % 2 else "wood")
            home.mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{name}.tif").rename(
                home / f"tile{number // 2}_{name}_2021070{number}_{kind}.tif"
            )
    patterns = {kind: f"{{split}}/{{classes}}/{{place}}_{{name}}_*_{kind}.tif" for kind in ("s1", "s2")}
    report = read(folder, tmp_path / "own", classes="wood;lake", **patterns)
    assert report.startswith("6 scenes in 3 places")
    data = open_patches(tmp_path, "own", KNOBS)
    assert data.names == NAMES and data.classes == ("wood", "lake")
    assert data.labels.tolist() == [0, 1] * 3
    assert data.place_names == ("tile0", "tile1", "tile2")
    assert {split: sorted(rows.tolist()) for split, rows in data.rows.items()} == {
        "train": [0, 1, 2, 3], "val": [4], "test": [5]
    }  # fmt: skip


def test_maps_are_cut_into_patches_of_places_apart(folder: Path, tmp_path: Path) -> None:
    for number in range(6):
        write_pair(folder, number, side=40)
    write_maps(folder)
    report = read(
        folder, tmp_path / "own", classes="5:Trees;9:Water;7:Water", size="16", stride="8", block="20"
    )
    assert report.startswith("24 scenes, cut from 6 of 16 pixels, in 24 places")
    data = opened(tmp_path)
    assert data.labels[data.names.index("c_r0020_c0020")] == 0
    row = data.names.index("b_r0000_c0020")
    assert data.place_names[data.places[row]] == "EPSG:32630 2 0 block 0 20"
    assert data.footprints[row].tolist() == [100_200, 240, 100_360, 400]
    np.testing.assert_array_equal(data.s2[row], contents(folder / "s2/b.tif")[:, :16, 20:36])
    np.testing.assert_array_equal(data.maps[row], np.repeat([[1], [0]], (10, 6), 0).repeat(16, 1))


@pytest.mark.slow
@pytest.mark.parametrize("told", ["coordinates", "table"])
def test_blocks_of_one_place_on_two_days_are_one_place(folder: Path, tmp_path: Path, told: str) -> None:
    for number in range(6):
        write_pair(folder, number, side=64)
    for number, later in ((0, "b"), (2, "d"), (4, "f")):
        for kind in ("s1", "s2"):
            shutil.copy(folder / kind / f"{NAMES[number]}.tif", folder / kind / f"{later}.tif")
    write_maps(folder)
    tiles = {name: f"tile{number // 2}" for number, name in enumerate(NAMES)} if told == "table" else {}
    labels = {name: f"labels/{name}.tif" for name in NAMES}
    write_table(folder, labels=labels, classes=dict.fromkeys(NAMES, ""), place=tiles)
    read(folder / "table.csv", tmp_path / "own", classes="5:Trees;9:Water", size="16", block="16")
    data = opened(tmp_path)
    ground: dict[tuple[float, ...], set[str]] = {}
    for split, rows in data.rows.items():
        for row in rows:
            ground.setdefault(tuple(data.footprints[row].tolist()), set()).add(split)
    assert len(ground) == 48 and {len(splits) for splits in ground.values()} == {1}
    assert len(set(data.place_names)) == 48
    assert told == "coordinates" or data.place_names[0] == "tile0 block 0 0"


def test_whole_scenes_take_their_class_from_maps_if_there_are_some(folder: Path, tmp_path: Path) -> None:
    write_maps(folder)
    read(folder, tmp_path / "own", classes="5:Trees;9:Water")
    data = opened(tmp_path)
    assert data.labels.tolist() == [0] * 6 and data.maps[0, -1, -1] == 255
    with pytest.raises(ConfigError, match=r"like 1:Water;2:Trees, got nothing; .*labels/a.tif holds 5, 9"):
        read(folder, tmp_path / "other")


def test_nodata_scale_and_offset_are_honoured(folder: Path, tmp_path: Path) -> None:
    read(folder / "table.csv", tmp_path / "plain")
    for path in (folder / "s2").glob("*.tif"):
        with rasterio.open(path, "r+") as file:
            file.write(file.read() + np.uint16(1000))
            file.scales, file.offsets = (1e-4,) * 6, (-0.1,) * 6
    with rasterio.open(folder / "s2/b.tif", "r+") as file:
        values = file.read()
        values[:, :1, :8] = 0
        file.write(values)
        file.nodata = 0
    report = read(folder / "table.csv", tmp_path / "own")
    assert report.endswith(
        "The offset that files or a table tell is taken off the optical numbers of 6 scenes."
    )
    plain, data = opened(tmp_path, "plain"), opened(tmp_path)
    np.testing.assert_array_equal(data.s2[[0, 2, 3, 4, 5]], plain.s2[[0, 2, 3, 4, 5]])
    np.testing.assert_array_equal(data.s2[1, :, 1:], plain.s2[1, :, 1:])
    assert any("1 scenes of own have pixels without data" in note for note in data.notes)
    assert np.isnan(contents(tmp_path / "own/s2/b.tif")).sum() == 0
    assert (contents(tmp_path / "own/s2/b.tif")[:, 0, :8] == -32768).all()


@pytest.mark.parametrize("told", ["tag", "table", "by-values", "-1000"])
def test_the_offset_of_baseline_4_is_taken_off_if_something_tells(
    folder: Path, tmp_path: Path, told: str
) -> None:
    read(folder / "table.csv", tmp_path / "plain")
    for number in range(6):
        write_pair(folder, number, shift=1000)
    with pytest.raises(DataError, match=r"6 tiles with no pixel below 1000.*say --option offset=by-values"):
        read(folder / "table.csv", tmp_path / "own")
    assert not (tmp_path / "own").exists()
    if told == "tag":
        for path in (folder / "s2").glob("*.tif"):
            with rasterio.open(path, "r+") as file:
                file.update_tags(PROCESSING_BASELINE="05.09")
    if told == "table":
        write_table(folder, baseline=dict.fromkeys(NAMES, "04.00"))
    options = {"offset": told} if told in ("by-values", "-1000") else {}
    report = read(folder / "table.csv", tmp_path / "own", **options)
    assert report.endswith(
        "1000 is taken off the optical numbers of 6 tiles: "
        "EPSG:32630 0 0, EPSG:32630 2 0, EPSG:32630 4 0, EPSG:32630 6 0, EPSG:32630 8 0 and 1 more."
        if options
        else "The offset that files or a table tell is taken off the optical numbers of 6 scenes."
    )
    np.testing.assert_array_equal(opened(tmp_path).s2, opened(tmp_path, "plain").s2)


def test_bands_are_chosen_by_number_or_description(folder: Path, tmp_path: Path) -> None:
    for number in range(6):
        described = ("first", "second", "third", "fourth", "swir", "far")
        write_pair(folder, number, bands=described, polarisations=())
    with pytest.raises(
        DataError, match=r"got 2 without descriptions of VV, VH in .*a.tif; say --option radar=VV,VH"
    ):
        read(folder / "table.csv", tmp_path / "own")
    with pytest.raises(
        DataError, match=r"got 6 without descriptions of B01, .*; say --option bands=B01,B02,"
    ):
        read(folder / "table.csv", tmp_path / "own", radar="VH,VV")
    read(folder / "table.csv", tmp_path / "own", radar="VH,VV", bands="B04:third,B03:2,B02:first,B08:4")
    data = opened(tmp_path)
    assert data.bands == ("B04", "B03", "B02", "B08")
    np.testing.assert_array_equal(data.s2[3], contents(folder / "s2/d.tif")[[2, 1, 0, 3]])
    np.testing.assert_array_equal(data.s1[3], contents(folder / "s1/d.tif")[::-1])


def test_linear_power_and_fractions_are_told_by_options(folder: Path, tmp_path: Path) -> None:
    read(folder / "table.csv", tmp_path / "plain")
    for number, name in enumerate(NAMES):
        radar, optical = (contents(folder / f"{kind}/{name}.tif") for kind in ("s1", "s2"))
        power = (10 ** (radar / 10)).astype(np.float32)
        write_pair(folder, number, radar=power, optical=(optical / 10_000).astype(np.float32))
    with pytest.raises(
        DataError,
        match=r"in dB, some of it below 0 in each scene, got none in a, .*; say --option backscatter=linear",
    ):
        read(folder / "table.csv", tmp_path / "own")
    with pytest.raises(DataError, match=r"10000 for a reflectance of 1, .*; say --option reflectance=1"):
        read(folder / "table.csv", tmp_path / "own", backscatter="linear", reflectance="10000")
    for name, options in {
        "own": {"reflectance": "1"},
        "told": {},
    }.items():  # by their numbers if nothing is said
        read(folder / "table.csv", tmp_path / name, backscatter="linear", **options)
        data, plain = opened(tmp_path, name), opened(tmp_path, "plain")
        np.testing.assert_allclose(data.s1, plain.s1, atol=1e-4)
        np.testing.assert_array_equal(data.s2, plain.s2)
    write_pair(folder, 0, radar=np.full((2, SIDE, SIDE), 0.1, np.float32))
    with pytest.raises(
        DataError,
        match=r"10000 for a reflectance of 1, got a mean of \d{8} in .*a.tif; write the file's scale",
    ):
        read(folder / "table.csv", tmp_path / "other", backscatter="linear", reflectance="1")
    with pytest.raises(DataError, match=r"above 0, got -1.* as the middle of .*b.tif; say another unit"):
        write_pair(folder, 1)
        read(folder / "table.csv", tmp_path / "other", backscatter="linear")


def test_scenes_without_files_or_data_are_told(folder: Path, tmp_path: Path) -> None:
    (folder / "s1/a.tif").unlink()
    radar = np.full((2, SIDE, SIDE), -9, np.float32)
    radar[:, :4] = np.nan
    write_pair(folder, 1, radar=radar)
    report = read(folder / "table.csv", tmp_path / "own")
    assert report.startswith("4 scenes in 4 places")
    assert (
        "2 scenes are left out: a (its s1 file is missing), b (25% of its radar pixels have no data)."
        in report
    )
    assert opened(tmp_path).names == NAMES[2:]


def other_grid(**changed: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        values = np.full(changed.pop("shape", (2, SIDE, SIDE)), -9, np.float32)
        write_raster(folder / "s1/c.tif", values, names=("VV", "VH"), **changed)

    return change


GRIDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "another CRS": (
        other_grid(crs="EPSG:32631", bounds=bounds(2)),
        r"share one grid, got 16 x 16 pixels, EPSG:32631 .* in .*s1/c.tif and 16 x 16 pixels, EPSG:32630 ",
    ),
    "shifted": (
        other_grid(crs="EPSG:32630", bounds=tuple(np.array(bounds(2)) + 5)),
        r"share one grid, .*rio warp \S+/s2/c.tif NEW.tif --like \S+/s1/c.tif",
    ),
    "coarse": (
        other_grid(crs="EPSG:32630", bounds=bounds(2), shape=(2, SIDE // 2, SIDE // 2)),
        "share one grid, got 8 x 8 pixels",
    ),
    "no CRS": (other_grid(), "share one grid, got 16 x 16 pixels, no coordinates in"),
}


@pytest.mark.parametrize("case", sorted(GRIDS))
def test_pairs_of_two_grids_are_refused_by_name(folder: Path, tmp_path: Path, case: str) -> None:
    change, message = GRIDS[case]
    change(folder)
    with pytest.raises(DataError, match=message):
        read(folder / "table.csv", tmp_path / "own")
    assert not (tmp_path / "own").exists()


def test_each_file_is_opened_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_maps(folder)
    opens: list[str] = []
    original = rasterio.open

    def counted(path: Path, *args: Any, **options: Any) -> Any:
        opens.extend([str(path)] * ("w" not in args))
        return original(path, *args, **options)

    monkeypatch.setattr(rasterio, "open", counted)
    read(folder, tmp_path / "own", classes="5:Trees;9:Water")
    # What the options ask of the first scene is answered before any is written.
    assert {path: opens.count(path) for path in opens if "/d.tif" in path} == {
        str(folder / kind / "d.tif"): 1 for kind in ("s1", "s2", "labels")
    }
    opens.clear()
    opened(tmp_path)
    assert {path: opens.count(path) for path in opens if "/d.tif" in path} == {
        str(tmp_path / "own" / kind / "d.tif"): 1 for kind in ("s1", "s2", "labels")
    }


def test_a_map_of_another_grid_is_refused(folder: Path, tmp_path: Path) -> None:
    write_maps(folder)
    codes = np.full((1, SIDE, SIDE), 5, np.uint8)
    write_raster(folder / "labels/d.tif", codes, crs="EPSG:32630", bounds=bounds(2))
    with pytest.raises(DataError, match=r"share one grid, .* in .*labels/d.tif"):
        read(folder, tmp_path / "own", classes="5:Trees;9:Water")


def warp(error: BaseException, target: Path) -> None:
    """Runs the command that a message names, into another file."""
    _, command, _ = str(error).split("`")
    words = [str(target) if word == "NEW.tif" else word for word in shlex.split(command)]
    assert words[0] == "rio" and str(target) in words
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", PendingDeprecationWarning
        )  # rio multiplies in a way that affine 3 deprecates
        assert CliRunner().invoke(main_group, words[1:]).exit_code == 0


def test_a_turned_raster_is_refused_and_warped_by_the_command_of_the_message(
    folder: Path, tmp_path: Path
) -> None:
    folder = folder.rename(folder.with_name("my own"))
    path = folder / "s2/c.tif"
    with rasterio.open(path, "r+") as file:
        file.transform = file.transform @ rasterio.Affine.rotation(30)
    with pytest.raises(
        DataError, match=r"the first in the north, .*c.tif; warp it, such as by `rio warp"
    ) as turned:
        read(folder / "table.csv", tmp_path / "own")
    warp(turned.value, folder / "upright.tif")
    with rasterio.open(folder / "upright.tif") as file:
        assert file.transform.b == file.transform.d == 0 and file.crs.to_epsg() == 32630
    write_pair(folder, 2, side=SIDE)
    shifted = tuple(np.array(bounds(2)) + 5)
    values = contents(folder / "s1/c.tif")
    write_raster(folder / "s1/old.tif", values, names=("VV", "VH"), crs="EPSG:32630", bounds=shifted)
    write_table(folder, s1={"c": "s1/old.tif"})
    with pytest.raises(DataError, match=r"share one grid, .*`rio warp") as apart:
        read(folder / "table.csv", tmp_path / "own")
    warp(apart.value, folder / "s2/NEW.tif")
    write_table(folder, s1={"c": "s1/old.tif"}, s2={"c": "s2/NEW.tif"}, name={"c": "c"})
    assert read(folder / "table.csv", tmp_path / "own", bands="B02,B03,B04,B08,B11,B12").startswith(
        "6 scenes"
    )


BREAKS: dict[str, tuple[dict[str, Mapping[str, str]], type[Exception], str]] = {
    "no class": ({"classes": dict.fromkeys(NAMES, "")}, DataError, "at least 2 classes, got none; name the"),
    "an unknown split": ({"split": {"a": "dev"}}, DataError, "train, val, test or empty, got 'dev'"),
    "an unknown date": ({"date": {"a": "1.6.2021"}}, DataError, "must be like 2021-06-30, got '1.6.2021'"),
    "a name twice": ({"name": {"a": "b"}}, DataError, "each once, .* got 'b'"),
    "a name of a folder": ({"name": {"a": "../b"}}, DataError, "must be of files, each once, .* got '../b'"),
    "a name that is too long": ({"name": {"a": "a" * 241}}, DataError, "of at most 240 bytes, got 'aaa"),
    "a path that is too long": (
        {"s2": dict.fromkeys(NAMES, "x" * 300), "name": {name: name for name in NAMES}},
        DataError,
        "got none, such as a: its s2 file is missing",
    ),
    "no column": ({"s1": dict.fromkeys(NAMES, "")}, DataError, "columns s1 and s2, .*, got no s1; add it"),
    "a map beside classes": ({"labels": {"a": "s2/a.tif"}}, DataError, "maps for a and none or names for a"),
    "no file": (
        {"s2": dict.fromkeys(NAMES, "x.tif"), "name": {name: name for name in NAMES}},
        DataError,
        "got none, such as a: its s2 file is missing",
    ),
    "a baseline": ({"baseline": {"a": "new"}}, DataError, "must be like 04.00, got 'new'"),
}


@pytest.mark.parametrize("case", sorted(BREAKS))
def test_broken_tables_are_refused_by_name(folder: Path, tmp_path: Path, case: str) -> None:
    changed, error, message = BREAKS[case]
    with pytest.raises(error, match=message):
        read(write_table(folder, **changed), tmp_path / "own")
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"s1": "s1/{title}.tif"}, "s1 must be a path below the folder with {name}"),
        ({"s1": "/s1/{name}.tif"}, "s1 must be a path below the folder"),
        ({"s2": "../{name}.tif"}, "s2 must be a path below the folder"),
        ({"backscatter": "decibel"}, "backscatter must be one of dB, linear, counts, got 'decibel'"),
        ({"reflectance": "100"}, "reflectance must be one of 1, 10000, got '100'"),
        ({"offset": "1000"}, "offset must be auto, by-values, 0 or -1000"),
        ({"stride": "8"}, "stride and block must be left out without size"),
        ({"bands": "B02,B99"}, "bands must name bands of B01, .*got 'B02,B99'"),
        ({"bands": "B02:1,B03"}, "all of them or none with a number"),
        ({"bands": "B03,B02,B04,B08,B11,B12"}, "bands must not contradict what files describe"),
        ({"bands": "B04:3,B08:3"}, "from another one of a file, got B04 and B08 both from band 3 of .*a.tif"),
        ({"bands": "B04:3,B08:B04"}, "from another one of a file, got B04 and B08 both from band 3"),
        ({"radar": "VV:1,VH:VH"}, "from another one of a file, got VV and VH both from band 1 of .*s1/a.tif"),
        ({"radar": "VV,VH"}, "radar must not contradict what files describe, got VV,VH for VH,VV"),
        ({"classes": "7;Water"}, "classes must name codes of maps"),
        ({"classes": "5:Trees;256:Water"}, "classes must name codes of maps from 0 to 255"),
        (
            {"classes": ";".join(f"{code}:{code}" for code in range(256))},
            "classes of maps must be at most 255, got 256",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(
    mapped_pairs: Path, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read(mapped_pairs, tmp_path / "own", **{"classes": "5:Trees;9:Water"} | options)


def test_a_folder_needs_maps_or_classes_in_paths(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 2 classes, got none; name the classes"):
        read(folder, tmp_path / "own")
    with pytest.raises(ConfigError, match="s1 must be left out where a table names files"):
        read(folder / "table.csv", tmp_path / "own", s1="s1/{name}.tif")
    with pytest.raises(ConfigError, match="size must be left out where scenes have no maps of classes"):
        read(folder / "table.csv", tmp_path / "own", size="16")
    for home in ("x", "y"):
        (folder / "s2" / home).mkdir()
        (folder / "s2" / home / "b.tif").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"give each scene one file, got .*x/b.tif and .*y/b.tif for b; put more"
    ):
        read(folder, tmp_path / "own", s2="s2/*/{name}.tif")


def test_what_is_no_nodata_is_no_backscatter(folder: Path, tmp_path: Path) -> None:
    radar = np.full((2, SIDE, SIDE), -9, np.float32)
    radar[0, 0, 0] = -9999
    write_pair(folder, 4, radar=radar)
    with pytest.raises(
        DataError, match=r"from -100 to 60 dB, got -9999 in .*s1/e.tif; if it stands for no data"
    ):
        read(folder / "table.csv", tmp_path / "own")
