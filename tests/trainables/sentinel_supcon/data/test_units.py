from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from tests.trainables.sentinel_supcon.pairs import L2A, write_pairs
from thalweg.errors import DataError
from trainables.sentinel_supcon.data.rasters import write_raster
from trainables.sentinel_supcon.data.scenes import PatchData, open_patches
from trainables.sentinel_supcon.data.units import known_shift, shift_of_baseline
from trainables.sentinel_supcon.knobs import DataKnobs

KNOBS = DataKnobs(optical="l2a", size=16)


def opened(root: Path) -> PatchData:
    return open_patches(root, "own", KNOBS)


def tag(folder: Path, **tags: str) -> None:
    for path in folder.glob("s2/*.tif"):
        with rasterio.open(path, "r+") as file:
            file.update_tags(**tags)


@pytest.mark.parametrize(
    ("baseline", "shift"), [("02.14", 0.0), ("03.01", 0.0), ("04.00", -1000.0), ("05.11", -1000.0)]
)
def test_the_shift_begins_with_baseline_4(baseline: str, shift: float) -> None:
    assert shift_of_baseline(baseline) == shift


@pytest.mark.parametrize("baseline", ["N0400", "4", "new"])
def test_what_is_no_baseline_is_refused(baseline: str) -> None:
    with pytest.raises(DataError, match=f"must be like 04.00, got '{baseline}'"):
        shift_of_baseline(baseline)


@pytest.mark.parametrize(
    ("name", "tags", "baseline", "shift"),
    [
        ("x.tif", {}, "", None),
        ("S2A_MSIL2A_20220301T101031_N0400_R022_T33UUP.tif", {}, "", -1000.0),
        ("S2A_MSIL1C_20170613T101031_N0205_R022_T33UUP.tif", {}, "", 0.0),
        ("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57.tif", {}, "", None),
        ("x.tif", {"PROCESSING_BASELINE": "05.10"}, "", -1000.0),
        ("x.tif", {"boa_add_offset": "-1000,-1000"}, "", -1000.0),
        ("x.tif", {"RADIO_ADD_OFFSET": "0"}, "05.10", 0.0),
        ("S2A_MSIL2A_20220301T101031_N0400_R022_T33UUP.tif", {}, "03.00", 0.0),
    ],
)
def test_the_shift_is_known_from_tags_table_or_name(
    name: str, tags: dict[str, str], baseline: str, shift: float | None
) -> None:
    assert known_shift(name, tags, baseline) == shift


@pytest.mark.parametrize("told", ["tag", "table", "name", "offset"])
def test_shifted_numbers_become_the_same_reflectance(tmp_path: Path, told: str) -> None:
    plain = write_pairs(tmp_path / "plain/own")
    where: dict[str, Any] = {"table": {"baseline": "04.00"}, "name": {"file": "S2A_MSIL2A_N0510_{}"}}
    write_pairs(tmp_path / "own", offset=1000, **where.get(told, {}))
    if told == "tag":
        tag(tmp_path / "own", PROCESSING_BASELINE="05.00")
    if told == "offset":
        tag(tmp_path / "own", BOA_ADD_OFFSET="-1000")
    data, expected = opened(tmp_path), opened(tmp_path / "plain")
    np.testing.assert_array_equal(data.s2, expected.s2)
    np.testing.assert_array_equal(data.s2[0], next(iter(plain.values()))[1])
    assert any("offset of processing baseline 04.00 is taken off 6" in note for note in data.notes)


def test_a_shift_that_shows_and_is_not_named_is_refused(tmp_path: Path) -> None:
    write_pairs(tmp_path / "own", offset=1000)
    with pytest.raises(
        DataError,
        match=r"6 places in .*own with no pixel below 1000.*tile0.*write the tag PROCESSING_BASELINE",
    ):
        opened(tmp_path)


def test_a_place_whose_numbers_are_shifted_is_found_among_others(tmp_path: Path) -> None:
    write_pairs(tmp_path / "own")
    path = tmp_path / "own/s2/scene3.tif"
    with rasterio.open(path, "r+") as file:
        file.write(file.read() + np.uint16(1000))
    with pytest.raises(DataError, match=r"1 places .*: tile3;"):
        opened(tmp_path)


def test_scale_and_offset_of_a_file_are_honoured(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own", offset=1000)
    for path in (tmp_path / "own").glob("s2/*.tif"):
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (1e-4,) * 12, (-0.1,) * 12
    data = opened(tmp_path)
    for row, (_, optical) in enumerate(made.values()):
        np.testing.assert_array_equal(data.s2[row], optical)


def test_linear_power_is_refused_by_name_and_converted_if_it_is_declared(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own", unit="linear")
    data = opened(tmp_path)
    assert data.unit == "dB"
    np.testing.assert_allclose(data.s1, np.stack([radar for radar, _ in made.values()]), atol=1e-4)
    table = tmp_path / "own/scenes.json"
    table.write_text(table.read_text().replace('"linear"', '"dB"'))
    with pytest.raises(
        DataError, match=r"backscatter in .* must be in dB, .* as linear power is; convert it"
    ):
        opened(tmp_path)


def test_bands_are_found_by_their_descriptions(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own", s1={"names": ("VH", "VV")}, s2={"names": L2A[::-1]})
    data = opened(tmp_path)
    for row, (radar, optical) in enumerate(made.values()):
        np.testing.assert_array_equal(data.s1[row], radar[::-1])
        np.testing.assert_array_equal(data.s2[row], optical[::-1])


def test_a_declared_nodata_value_is_no_reflectance(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own", s2={"nodata": 0})
    path = tmp_path / "own/s2/scene2.tif"
    with rasterio.open(path, "r+") as file:
        values = file.read()
        values[:, :1, :8] = 0
        file.write(values)
    data = opened(tmp_path)
    expected = np.median(values.reshape(12, -1)[:, [*range(8, 16), *range(16, 256)]], axis=1)
    np.testing.assert_array_equal(data.s2[2, :, 0, 0], np.round(expected).astype(np.int16))
    np.testing.assert_array_equal(data.s2[2, :, 0, 8:], made["scene2"][1][:, 0, 8:])
    assert any("1 scenes of own have pixels without data" in note for note in data.notes)


def test_reflectance_is_no_ten_thousandths_and_the_other_way_round(tmp_path: Path) -> None:
    write_pairs(tmp_path / "own")
    paths = sorted((tmp_path / "own").glob("s2/*.tif"))
    with rasterio.open(paths[0], "r+") as file:
        file.offsets = (-1000.0,) * 12
        file.write(file.read() + np.uint16(2000))
    with pytest.raises(
        DataError, match=r"reflectance must be at most 20, got \d+ in .*scene0.tif; give the file"
    ):
        opened(tmp_path)
    for path in paths:
        with rasterio.open(path) as file:
            values, place = file.read() / 1e4, (str(file.crs), tuple(file.bounds))
        write_raster(path, values.astype(np.float32), crs=place[0], bounds=place[1])
    with pytest.raises(
        DataError, match=r"10,000 for a reflectance of 1, got none above 20 .* --option reflectance=1"
    ):
        opened(tmp_path)
