from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from thalweg.errors import DataError
from trainables.sentinel_supcon.data.labels import DFC2020, DFC2020_CODES, classes_of_maps
from trainables.sentinel_supcon.data.rasters import write_raster
from trainables.sentinel_supcon.data.scenes import PatchData, find_contents, open_patches
from trainables.sentinel_supcon.knobs import DataKnobs

KNOBS = DataKnobs(size=16)
Copied = Callable[[str], Path]


def path_of(root: Path, name: str, kind: str) -> Path:
    roi, number, patch = name.rsplit("_", 2)
    return root / "land" / roi / f"{kind}_{number}" / f"{roi}_{kind}_{number}_{patch}.tif"


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return np.asarray(file.read())


def test_images_are_what_the_files_hold(root: Path, land: PatchData) -> None:
    for row in (0, 33, 80):
        np.testing.assert_array_equal(land.s2[row], read(path_of(root, land.names[row], "s2")))
        radar = read(path_of(root, land.names[row], "s1"))
        known = radar > -9999
        np.testing.assert_array_equal(land.s1[row][known], radar[known])


def test_the_nodata_value_of_a_file_never_appears(root: Path, land: PatchData) -> None:
    marked = [name for name in land.names if (read(path_of(root, name, "s1")) == -9999).any()]
    assert marked
    assert land.s1.min() > -100


def test_labels_are_those_of_a_slow_count(root: Path, land: PatchData) -> None:
    seen = set()
    for name, label, multi in zip(land.names, land.labels, land.multi, strict=True):
        codes = Counter(DFC2020_CODES.get(int(code), -1) for code in read(path_of(root, name, "dfc")).ravel())
        most = max(codes.values())
        assert codes[int(label)] == most
        tenth = sum(codes.values()) / 10
        expected = {number for number, count in codes.items() if count >= tenth and number >= 0}
        assert set(np.flatnonzero(multi).tolist()) == expected
        seen.add(int(label))
    assert seen == {-1, *range(8)}  # savanna and snow are no classes
    assert land.classes == DFC2020


def test_of_two_classes_as_frequent_the_first_is_the_label() -> None:
    maps = np.array([[[3, 3], [1, 1]], [[255, 255], [255, 2]]], np.uint8)
    labels, multi = classes_of_maps(maps, 4)
    assert labels.tolist() == [1, -1]
    assert multi.tolist() == [[False, True, False, True], [False, False, True, False]]


def test_a_class_must_cover_a_tenth() -> None:
    row = np.zeros((1, 1, 100), np.uint8)
    row[..., :9], row[..., 10:20] = 1, 2
    assert classes_of_maps(row, 3)[1].tolist() == [[True, False, True]]


def test_models_train_on_the_official_validation_split_and_are_tested_on_the_other(land: PatchData) -> None:
    for split, rows in land.rows.items():
        official = "ROIs0000_test" if split == "test" else "ROIs0000_validation"
        assert {land.names[row].rsplit("_", 2)[0] for row in rows} == {official}
    train, val = (set(land.places[land.rows[split]].tolist()) for split in ("train", "val"))
    assert not train & val


def test_places_are_squares_of_50_km_and_footprints_are_kept(root: Path, land: PatchData) -> None:
    with rasterio.open(path_of(root, land.names[5], "s1")) as file:
        assert land.footprints[5].tolist() == list(file.bounds)
        assert land.crs[5] == file.crs.to_string()
    east, north = np.add(land.footprints[5, :2], land.footprints[5, 2:]) / 2
    assert land.place_names[land.places[5]] == f"{land.crs[5]} {east // 5e4:.0f} {north // 5e4:.0f}"


def test_without_coordinates_32_consecutive_patches_are_a_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    roi = "ROIs0000_validation"
    for patch in range(0, 100, 4):
        for kind, values in (
            ("s1", rng.normal(-12, 2, (2, 4, 4)).astype(np.float32)),
            ("s2", rng.integers(1, 900, (13, 4, 4)).astype(np.uint16)),
            ("dfc", np.full((1, 4, 4), 1 + patch % 2 * 5, np.uint8)),
        ):
            write_raster(tmp_path / "set" / roi / f"{kind}_0" / f"{roi}_{kind}_0_p{patch}.tif", values)
    data = open_patches(tmp_path, "set", KNOBS)
    assert data.place_names[0] == "ROIs0000_validation_0 patches 0 to 31"
    assert len(data.place_names) == 4


def test_a_land_cover_map_of_sen12ms_is_read_by_its_first_band(tmp_path: Path) -> None:
    codes = np.stack([np.full((4, 4), 13), np.full((4, 4), 1)]).astype(np.uint8)
    roi = "ROIs1158_spring"
    for number in (1, 2, 5):
        name = f"{roi}/{{0}}_{number}/{roi}_{{0}}_{number}_p30.tif"
        write_raster(tmp_path / "sen" / name.format("s1"), np.full((2, 4, 4), -9.0, np.float32))
        write_raster(tmp_path / "sen" / name.format("s2"), np.full((13, 4, 4), 900, np.uint16))
        write_raster(tmp_path / "sen" / name.format("lc"), codes)
    data = open_patches(tmp_path, "sen", KNOBS)
    assert data.layout == "SEN12MS"
    assert {data.classes[label] for label in data.labels} == {"Urban"}
    assert data.place_names == ("ROIs1158_spring_1", "ROIs1158_spring_2", "ROIs1158_spring_5")


def test_a_missing_partner_is_named(root: Path, copied: Copied) -> None:
    folder = copied("land")
    next(folder.glob("*/dfc_2/*_p1.tif")).unlink()
    left_out = find_contents(folder).left_out
    assert left_out["ROIs0000_validation_2_p1"] == "its dfc file is missing"


def test_maps_of_both_schemes_are_refused(copied: Copied) -> None:
    folder = copied("land")
    path = next(folder.glob("*/dfc_2/*_p1.tif"))
    target = Path(str(path).replace("dfc", "lc"))
    target.parent.mkdir()
    target.write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="maps of classes must be of one scheme"):
        find_contents(folder)


def _radar(folder: Path) -> Path:
    return next(folder.glob("*/s1_1/*_p1.tif"))


def _bounds(path: Path) -> tuple[float, ...]:
    with rasterio.open(path) as file:
        return tuple(file.bounds)


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "half a file": (
        lambda f: _radar(f).write_bytes(_radar(f).read_bytes()[:600]),
        "a raster must be a complete GeoTIFF, got .*_p1.tif",
    ),
    "no file of the kind": (lambda f: _radar(f).write_text("tif"), "must be a complete GeoTIFF"),
    "one band": (
        lambda f: write_raster(_radar(f), np.full((1, 20, 20), -9, np.float32)),
        "must have the bands VV, VH, got 1 without descriptions",
    ),
    "other ground": (
        lambda f: write_raster(
            _radar(f), np.full((2, 20, 20), -9, np.float32), crs="EPSG:32631", bounds=(0, 0, 200, 200)
        ),
        "all files of a scene must show the same ground",
    ),
    "ground of another zone": (
        lambda f: write_raster(
            _radar(f), np.full((2, 20, 20), -9, np.float32), crs="EPSG:32639", bounds=_bounds(_radar(f))
        ),
        "must show the same ground .* EPSG:32639",
    ),
    "a number for missing data": (
        lambda f: write_raster(_radar(f), np.full((2, 20, 20), -9999, np.float32)),
        "backscatter must be from -100 to 60 dB, got -9999 in .*_p1.tif; if it stands for no data",
    ),
    "a small map": (
        lambda f: write_raster(next(f.glob("*/dfc_1/*_p1.tif")), np.ones((1, 10, 20), np.uint8)),
        "must have the 20 x 20 pixels of its scene, got 10 x 20",
    ),
    "codes with fractions": (
        lambda f: write_raster(next(f.glob("*/dfc_1/*_p1.tif")), np.full((1, 20, 20), 1.5, np.float32)),
        "must hold codes of classes, got fractions",
    ),
}


@pytest.mark.parametrize("case", sorted(BREAKS))
def test_broken_data_are_refused_by_name(copied: Copied, case: str) -> None:
    folder = copied("land")
    damage, message = BREAKS[case]
    damage(folder)
    with pytest.raises(DataError, match=message):
        open_patches(folder.parent, folder.name, KNOBS)
