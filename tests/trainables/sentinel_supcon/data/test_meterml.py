import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thalweg.errors import DataError
from trainables.sentinel_supcon.data.labels import METERML
from trainables.sentinel_supcon.data.scenes import PatchData, open_patches
from trainables.sentinel_supcon.knobs import DataKnobs

KNOBS = DataKnobs(optical="rgbn", size=16)
Copied = Callable[[str], Path]


def features(folder: Path, split: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / f"{split}_dataset.geojson").read_text())["features"]
    return found


def rewrite(folder: Path, split: str, change: Callable[[list[dict[str, Any]]], object]) -> None:
    path = folder / f"{split}_dataset.geojson"
    content = json.loads(path.read_text())
    change(content["features"])
    path.write_text(json.dumps(content))


def reopened(folder: Path) -> PatchData:
    return open_patches(folder.parent, folder.name, KNOBS)


def test_scenes_are_what_the_files_hold(root: Path, facilities: PatchData) -> None:
    for row in (0, 40, 90):
        name = facilities.names[row]
        (home,) = (root / "facilities").glob(f"*_images/{name}")
        radar = np.load(home / "sentinel-1.npy").transpose(2, 0, 1)
        known = ~np.isnan(radar)
        np.testing.assert_array_equal(facilities.s1[row][known], radar[known])
        np.testing.assert_array_equal(
            facilities.s2[row], np.load(home / "sentinel-2-10m.npy").transpose(2, 0, 1)
        )


def test_the_first_type_is_the_label_and_all_are_classes(root: Path, facilities: PatchData) -> None:
    types = {
        each["properties"]["Image_Folder"]: each["properties"]["Type"].split(", ")
        for split in ("train", "val")
        for each in features(root / "facilities", split)
    }
    for name, label, multi in zip(facilities.names, facilities.labels, facilities.multi, strict=True):
        assert METERML[label] == types[name][0]
        assert {METERML[number] for number in np.flatnonzero(multi)} == set(types[name])


def test_a_second_type_is_a_class_too(copied: Copied) -> None:
    folder = copied("facilities")
    rewrite(folder, "train", lambda each: each[0]["properties"].update(Type="WWTreatment & CAFOs"))
    data = reopened(folder)
    row = data.names.index(features(folder, "train")[0]["properties"]["Image_Folder"])
    assert METERML[data.labels[row]] == "WWTreatment"
    assert np.flatnonzero(data.multi[row]).tolist() == [0, 6]


def test_the_official_val_is_halved_so_that_val_and_test_share_no_place(
    root: Path, facilities: PatchData
) -> None:
    official = {each["properties"]["Image_Folder"] for each in features(root / "facilities", "val")}
    chosen = {split: {facilities.names[row] for row in rows} for split, rows in facilities.rows.items()}
    assert chosen["val"] | chosen["test"] <= official
    assert not chosen["train"] & official
    places = {split: set(facilities.places[rows].tolist()) for split, rows in facilities.rows.items()}
    assert places["val"] and places["test"] and not places["val"] & places["test"]
    assert any("val is halved by place into val and test" in note for note in facilities.notes)


def test_scenes_that_lack_data_are_left_out_by_name(root: Path, facilities: PatchData) -> None:
    expected = set()
    for home in (root / "facilities").glob("*_images/*"):
        path = home / "sentinel-1.npy"
        if not path.is_file() or np.isnan(np.load(path)).any(-1).mean() > 0.1:
            expected.add(home.name)
    assert set(facilities.left_out) == expected != set()
    assert expected.isdisjoint(facilities.names)
    assert all(any(name in note for note in facilities.notes) for name in expected)


def test_pixels_without_data_hold_the_median_of_their_band(root: Path, facilities: PatchData) -> None:
    assert np.isfinite(facilities.s1).all()
    (row,) = [row for row, name in enumerate(facilities.names) if name.endswith("_train_00023")]
    (home,) = (root / "facilities").glob(f"*_images/{facilities.names[row]}")
    radar = np.load(home / "sentinel-1.npy").transpose(2, 0, 1)
    assert np.isnan(radar).any()
    for band, values in zip(facilities.s1[row], radar, strict=True):
        assert (band[np.isnan(values)] == np.nanmedian(values)).all()


def test_dark_integers_are_numbers_and_no_fractions(copied: Copied) -> None:
    folder = copied("facilities")
    paths = sorted(folder.glob("*/*/sentinel-2-10m.npy"))
    np.save(paths[9], np.full((16, 16, 4), 2, np.uint16))
    data = reopened(folder)
    assert (data.s2[data.names.index(paths[9].parent.name)] == 2).all()


def test_too_many_missing_scenes_are_refused(copied: Copied) -> None:
    folder = copied("facilities")
    for home in sorted(folder.glob("train_images/*"))[:15]:
        shutil.rmtree(home)
    with pytest.raises(
        DataError, match=r"at most 10% of the scenes .* got 1\d of 100 .*its folder is missing"
    ):
        reopened(folder)


def _truncate(folder: Path) -> None:
    path = next(folder.glob("*/*/sentinel-1.npy"))
    path.write_bytes(path.read_bytes()[:200])


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "half a file": (_truncate, "sentinel-1.npy must be a complete npy file"),
    "bands": (
        lambda f: np.save(next(f.glob("*/*/sentinel-2-10m.npy")), np.ones((16, 16, 3))),
        r"must hold numbers of shape \(row, column, 4\), got float64 of shape \(16, 16, 3\)",
    ),
    "bytes": (
        lambda f: np.save(next(f.glob("*/*/sentinel-2-10m.npy")), np.full((16, 16, 4), 99, np.uint8)),
        "must reach 10000 for a reflectance of 1, got uint8 in .*sentinel-2-10m.npy; take the product itself",
    ),
    "size": (
        lambda f: np.save(sorted(f.glob("*/*/sentinel-2-10m.npy"))[9], np.ones((12, 16, 4))),
        "must be squares of 16 pixels, as the first one, got 12 x 16",
    ),
    "an unknown class": (
        lambda f: rewrite(f, "val", lambda each: each[1]["properties"].update(Type="Farms")),
        "Type in .*val_dataset.geojson must be of CAFOs, .* got 'Farms'",
    ),
    "a scene twice": (lambda f: rewrite(f, "val", lambda each: each.append(each[0])), "got .* again in"),
    "a path out of the folder": (
        lambda f: rewrite(f, "val", lambda each: each[1]["properties"].update(Image_Folder="../x")),
        "must name a folder in it, got '../x'",
    ),
    "corners that are none": (
        lambda f: rewrite(f, "val", lambda each: each[1]["geometry"].update(coordinates=[["west"]])),
        "must be GeoJSON whose features have properties, got RecursionError",
    ),
    "a corner without numbers": (
        lambda f: rewrite(f, "val", lambda each: each[1]["geometry"].update(coordinates=[[]])),
        "must be GeoJSON whose features have properties, got IndexError",
    ),
    "no features": (
        lambda f: (f / "train_dataset.geojson").write_text("[]"),
        "must be GeoJSON whose features have properties, got TypeError",
    ),
    "a corner that is too large": (
        lambda f: rewrite(f, "val", lambda each: each[1]["geometry"].update(coordinates=[10**400, 1])),
        "must be GeoJSON whose features have properties, got OverflowError",
    ),
    "no type": (
        lambda f: rewrite(f, "val", lambda each: each[1]["properties"].pop("Type")),
        "features of .*val_dataset.geojson must have Image_Folder and Type, got no Type",
    ),
}


@pytest.mark.parametrize("case", sorted(BREAKS))
def test_broken_data_are_refused_by_name(copied: Copied, case: str) -> None:
    folder = copied("facilities")
    damage, message = BREAKS[case]
    damage(folder)
    with pytest.raises(DataError, match=message):
        reopened(folder)
