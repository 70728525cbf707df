from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from tests.trainables.sentinel_supcon.pairs import L2A, write_pairs
from thalweg.errors import DataError
from trainables.sentinel_supcon.data.reading import band_of
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
    assert known_shift(Path(name), tags, baseline) == shift


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


def test_bright_scenes_with_a_scale_are_taken_once_the_tag_of_the_message_is_written(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own", offset=1000, s2={"scale": 1e-4})
    with pytest.raises(DataError, match=r"the tag BOA_ADD_OFFSET: .* 0 if the ground is bright; import"):
        opened(tmp_path)
    tag(tmp_path / "own", BOA_ADD_OFFSET="0")
    expected = np.stack([optical + np.uint16(1000) for _, optical in made.values()])
    np.testing.assert_array_equal(opened(tmp_path).s2, expected)


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


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], **profile: Any) -> None:
    with rasterio.open(path) as file:
        values, old = change(file.read()), file.profile
    shape = dict(zip(("count", "height", "width"), values.shape, strict=True))
    with rasterio.open(path, "w", **{**old, **shape, "dtype": values.dtype.name, **profile}) as file:
        file.write(values)


def test_floats_below_1_are_reflectance(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own")
    for path in (tmp_path / "own/s2").iterdir():
        rewrite(path, lambda values: (values / 1e4).astype(np.float32))
    np.testing.assert_array_equal(opened(tmp_path).s2, np.stack([optical for _, optical in made.values()]))


def test_numbers_of_another_unit_are_refused(tmp_path: Path) -> None:
    write_pairs(tmp_path / "own")
    for path in (tmp_path / "own/s2").iterdir():
        rewrite(path, lambda values: (values % 20 + 1).astype(np.uint16))
    with pytest.raises(
        DataError, match=r"must be 10000 for a reflectance of 1, got none above 20; .* --option reflectance=1"
    ):
        opened(tmp_path)


def test_an_offset_without_a_scale_gives_numbers(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own", offset=1000)
    for path in (tmp_path / "own").glob("s2/*.tif"):
        with rasterio.open(path, "r+") as file:
            file.offsets = (-1000,) * 12
    np.testing.assert_array_equal(opened(tmp_path).s2, np.stack([optical for _, optical in made.values()]))


def test_a_scale_does_not_say_that_the_offset_is_taken_off(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own", offset=1000, s2={"scale": 1e-4})
    with pytest.raises(DataError, match=r"6 places in .*own with no pixel below 1000"):
        opened(tmp_path)
    tag(tmp_path / "own", PROCESSING_BASELINE="05.00")
    np.testing.assert_array_equal(opened(tmp_path).s2, np.stack([optical for _, optical in made.values()]))


def test_an_offset_is_not_taken_off_twice(tmp_path: Path) -> None:
    write_pairs(tmp_path / "own")
    tag(tmp_path / "own", PROCESSING_BASELINE="05.00")
    with pytest.raises(
        DataError, match=r"must hold their offset of 1000, got scenes of 6 places .*BOA_ADD_OFFSET = 0"
    ):
        opened(tmp_path)
    tag(tmp_path / "own", BOA_ADD_OFFSET="0")
    assert opened(tmp_path).s2.min() >= 0


@pytest.mark.parametrize("text", ["-1000", "-1000,-1000", "[-1000, -1000]", "-1000 -1000.0"])
def test_a_tag_may_hold_an_offset_for_each_band(text: str) -> None:
    assert known_shift(Path("x.tif"), {"BOA_ADD_OFFSET": text}, "") == -1000


@pytest.mark.parametrize("text", ["abc", "", "nan", "-1000,0", "inf"])
def test_a_tag_that_is_no_offset_is_refused_by_file(text: str) -> None:
    with pytest.raises(DataError, match=r"BOA_ADD_OFFSET of x.tif must be a number"):
        known_shift(Path("x.tif"), {"BOA_ADD_OFFSET": text}, "")


def test_a_tag_that_is_no_baseline_is_refused_by_file() -> None:
    with pytest.raises(DataError, match=r"x.tif: a processing baseline must be like 04.00, got 'N0400'"):
        known_shift(Path("x.tif"), {"PROCESSING_BASELINE": "N0400"}, "")


UNFIT: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray], str]] = {
    "percent": (
        "s2",
        lambda v: (v / 100).astype(np.float32),
        "got fractions up to 29.* file's scale of 0.01",
    ),
    "bytes": (
        "s2",
        lambda v: (v // 12).astype(np.uint8),
        "got uint8 in .*scene3.tif; take the product itself",
    ),
    "fill": (
        "s2",
        lambda v: np.where(v < 99, -9999, v).astype(np.int16),
        "at least -2000, got -9999 in .*scene3",
    ),
    "too bright": (
        "s2",
        lambda v: (v * 1e3).astype(np.float32),
        "got a mean of [0-9]{7} in .*scene3.tif; write the",
    ),
    "radar fill": (
        "s1",
        lambda v: np.where(v < -20, -9999, v).astype(np.float32),
        "from -100 to 60 dB, got -9999",
    ),
    "power": (
        "s1",
        lambda v: (10 ** (v / 10)).astype(np.float32),
        "in each scene, got none in scene3, as linear",
    ),
}


@pytest.mark.parametrize("case", sorted(UNFIT))
def test_one_file_that_cannot_be_of_its_unit_is_refused_by_name(tmp_path: Path, case: str) -> None:
    write_pairs(tmp_path / "own")
    sensor, change, message = UNFIT[case]
    rewrite(tmp_path / f"own/{sensor}/scene3.tif", change)
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def test_decibels_that_are_declared_as_power_are_refused(tmp_path: Path) -> None:
    write_pairs(tmp_path / "own")
    table = tmp_path / "own/scenes.json"
    table.write_text(table.read_text().replace('"dB"', '"linear"'))
    with pytest.raises(
        DataError, match=r"must be linear power as the unit says, above 0, got -1.*/scene0.tif"
    ):
        opened(tmp_path)


@pytest.mark.parametrize("sensor", ["s1", "s2"])
def test_a_pixel_that_is_0_in_all_bands_has_no_data(tmp_path: Path, sensor: str) -> None:
    made = write_pairs(tmp_path / "own")
    rewrite(
        tmp_path / f"own/{sensor}/scene2.tif", lambda v: np.where(np.arange(16) < 1, 0, v).astype(v.dtype)
    )
    data = opened(tmp_path)
    images, before = (data.s1[2], made["scene2"][0]) if sensor == "s1" else (data.s2[2], made["scene2"][1])
    expected = np.median(before[:, :, 1:].reshape(len(before), -1), axis=1)
    np.testing.assert_allclose(
        images[:, :, 0], expected[:, None].repeat(16, 1), rtol=1e-6, atol=0.5 * (sensor == "s2")
    )
    np.testing.assert_array_equal(images[:, :, 1:], before[:, :, 1:])
    assert any("1 scenes of own have pixels without data" in note for note in data.notes)


def test_one_dark_band_is_no_missing_pixel(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "own")
    rewrite(tmp_path / "own/s2/scene2.tif", lambda v: np.concatenate((0 * v[:11], v[11:])))
    np.testing.assert_array_equal(opened(tmp_path).s2[2, 11], made["scene2"][1][11])


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("VH_dB", "VV_dB"), [1, 0]),
        (("Sigma0_VH", "Sigma0_VV"), [1, 0]),
        (("Layer 1", "Layer 2"), [0, 1]),
        (("VV", ""), [0, 1]),
    ],
)
def test_bands_are_found_by_words_of_their_descriptions(
    tmp_path: Path, names: tuple[str, str], order: list[int]
) -> None:
    made = write_pairs(tmp_path / "own", s1={"names": names})
    data = opened(tmp_path)
    for row, (radar, _) in enumerate(made.values()):
        np.testing.assert_array_equal(data.s1[row], radar[order])


@pytest.mark.parametrize("names", [("HH", "HV"), ("VV", "VV"), ("VH", "")])
def test_descriptions_of_other_bands_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    write_pairs(tmp_path / "own", s1={"names": names})
    with pytest.raises(
        DataError, match=f"must have the bands VV, VH, got 2: {', '.join(names)}; write these"
    ):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("description", "band"),
    [
        ("B4, central wavelength 665 nm", "B04"),
        ("b8a_20m", "B8A"),
        ("red", "B04"),
        ("NIR", "B08"),
        ("vegetation red edge", ""),
        ("VV_VH_ratio", ""),
        ("B1", "B01"),
        ("B13", ""),
        ("", ""),
    ],
)
def test_a_description_names_one_band_or_none(description: str, band: str) -> None:
    assert band_of(description) == band
