"""From files on disk to prepared fields: statistics, validity, days left out, fingerprint."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import h5netcdf
import numpy as np
import pytest
import xarray as xr

from thalweg.data.normalization import HALF_WIDTH, Climatology
from thalweg.errors import DataError
from trainables.geo_contrastive.data import layout
from trainables.geo_contrastive.data.calendars import Calendar
from trainables.geo_contrastive.data.fields import FieldData, open_fields
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.data.layout import Described
from trainables.geo_contrastive.knobs import DataKnobs

GLOBE = Grid("6x3", -180 + 60.0 * np.arange(6), np.array([-60.0, 0, 60]), geographic=True)
BRITAIN = Grid("4x5", 25e3 * np.arange(4), 25e3 * np.arange(5), geographic=False)
GRIDS = {"slp": GLOBE, "rain": BRITAIN, "wind": GLOBE}
DAYS = np.concatenate([np.arange(10_000, 10_300), np.arange(10_500, 10_900)])

Values = Mapping[str, np.ndarray]
Write = Callable[..., Path]


def values(days: np.ndarray = DAYS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    means = {"slp": 101_300.0, "rain": 4.0, "wind": 0.0}
    found = {
        name: rng.normal(means[name], 2, (len(days), *grid.shape)).astype(np.float32)
        for name, grid in GRIDS.items()
    }
    found["rain"][:, 0] = np.nan  # the sea
    return found


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a data set and returns the family's data folder."""

    def written(
        name: str, fields: Values, days: np.ndarray = DAYS, calendar: str = "standard", **quantities: str
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        described = [
            Described(
                each, "Pa" if each == "slp" else "mm", GRIDS[each].name, quantity=quantities.get(each, "")
            )
            for each in fields
        ]
        for each in described:
            pieces = np.array_split(fields[each.name], 3)
            layout.write_variable(folder, each, GRIDS[each.name], days, Calendar(calendar), pieces)
        layout.write_table(folder, described, Calendar(calendar), "random numbers")
        return tmp_path

    return written


def opened(root: Path, name: str = "a", variables: tuple[str, ...] = ("rain", "slp")) -> FieldData:
    return open_fields(root, name, DataKnobs(variables=variables))


def test_fields_are_z_scores_by_the_training_split_alone(write: Write) -> None:
    fields = values()
    fields["slp"][500:] += 50  # what comes later must not matter
    data = opened(write("a", fields))
    train = fields["slp"][:420].astype(np.float64)
    assert data.variables["slp"].mean == pytest.approx(train.mean(), rel=1e-12)
    assert data.variables["slp"].std == pytest.approx(train.std(), rel=1e-9)
    expected = (fields["slp"] - train.mean()) / train.std()
    np.testing.assert_allclose(data.fields["slp"], expected, atol=1e-5)
    assert {split: (days.start, days.stop) for split, days in data.days.items()} == {
        "train": (0, 420),
        "val": (420, 560),
        "test": (560, 700),
    }
    assert [data.num_samples(split) for split in ("train", "val", "test")] == [420, 140, 140]


def test_variables_and_grids_are_in_the_order_of_the_knobs(write: Write) -> None:
    root = write("a", values())
    data = opened(root, variables=("wind", "rain", "slp"))
    assert list(data.variables) == list(data.fields) == ["wind", "rain", "slp"]
    assert data.groups == {"6x3": ("wind", "slp"), "4x5": ("rain",)}
    other = opened(root, variables=("rain", "slp", "wind"))
    assert list(other.grids) == ["4x5", "6x3"]
    assert other.fingerprint == data.fingerprint


def test_the_sea_is_not_valid_and_zero(write: Write) -> None:
    data = opened(write("a", values()))
    assert not data.valid["rain"][0].any() and data.valid["rain"][1:].all()
    assert (data.fields["rain"][:, 0] == 0).all() and (data.climatology["rain"][:, 0] == 0).all()
    land = data.fields["rain"][:420, 1:]
    assert land.mean() == pytest.approx(0, abs=1e-4) and land.std() == pytest.approx(1, rel=1e-4)
    assert (
        data.notes[0] == "rain: 25.0% of its cells have data on less than half of the days, and count nowhere"
    )


def test_the_climatology_is_that_of_the_training_split(write: Write) -> None:
    data = opened(write("a", values()))
    slow = Climatology((1, 6, 3))
    train = np.asarray(data.fields["slp"][:420])[:, None]
    slow.update(train, data.day_of_year[:420], np.ones(train.shape, bool))
    np.testing.assert_array_equal(data.climatology["slp"], slow.smoothed()[:, 0])


def test_jumps_are_kept_and_told(write: Write) -> None:
    data = opened(write("a", values()))
    np.testing.assert_array_equal(data.day, DAYS)
    assert (
        data.notes[1]
        == "200 days missing in 1 gap, the longest of 200 days after 1998-03-14; no pair or window crosses one"
    )


def test_days_without_a_climatology_are_told(write: Write) -> None:
    data = opened(write("a", values()))
    known = set(data.day_of_year[:420].tolist())
    told = []
    for split in ("val", "test"):
        days = data.day_of_year[data.days[split].start : data.days[split].stop].tolist()
        alone = [
            day
            for day in days
            if min(min((day - one) % 366, (one - day) % 366) for one in known) > HALF_WIDTH
        ]
        assert all((data.climatology["slp"][day] == 0).all() == (day in alone) for day in days)
        if alone:
            told.append(
                f"{len(alone)} of 140 days of {split} lie at times of the year of which train has no day within 15; "
                "what stands for their climatology is the mean of all days of train"
            )
    assert told and data.notes[2:] == tuple(told)


def test_days_with_a_missing_cell_are_left_out_of_all_variables(write: Write) -> None:
    fields = values()
    fields["slp"][7, 0, 0] = fields["rain"][9, 2, 2] = np.nan
    data = opened(write("a", fields))
    np.testing.assert_array_equal(data.day, np.delete(DAYS, [7, 9]))
    assert np.isfinite(data.fields["slp"]).all() and len(data.fields["rain"]) == 698
    assert data.notes[1] == (
        "2 of 700 days were left out, for cells lack values of rain, slp on them: 1997-05-26, 1997-05-28"
    )
    train = np.delete(fields["slp"], [7, 9], axis=0)[:418].astype(np.float64)
    assert data.variables["slp"].mean == pytest.approx(train.mean(), rel=1e-12)


def test_more_than_a_tenth_of_the_days_is_not_left_out(write: Write) -> None:
    fields = values()
    fields["slp"][::9, 0, 0] = np.nan
    with pytest.raises(
        DataError,
        match=r"at most 10% of the days may lack .*, got 78 of 700, 78 of them in slp; leave slp out",
    ):
        opened(write("a", fields))


@pytest.mark.parametrize("calendar", ["360_day", "noleap"])
def test_calendars_of_models_give_their_own_days(write: Write, calendar: str) -> None:
    days = np.arange(800)
    data = opened(write("a", values(days), days, calendar))
    length = {"360_day": 360, "noleap": 365}[calendar]
    np.testing.assert_array_equal(data.day_of_year, days % length)
    np.testing.assert_array_equal(data.year, 1970 + days // length)
    assert data.season[[0, 70, 160, 250, 340]].tolist() == [0, 1, 2, 3, 0]


def test_faults_of_all_variables_are_reported_at_once(write: Write) -> None:
    fields = values()
    fields["slp"][:] = 5
    fields["rain"][4, 3, 3] = np.inf
    fields["wind"][:] = 1
    with pytest.raises(DataError) as caught:
        opened(write("a", fields, slp="pressure"), variables=("rain", "slp", "wind"))
    text = str(caught.value)
    assert "2 faults" in text and "slp (pressure)" in text and "must lie within 40000 and 111000 Pa" in text
    assert "rain" in text and "first inf on 1997-05-23" in text


def test_a_variable_that_does_not_vary_is_refused(write: Write) -> None:
    fields = values()
    fields["slp"][:] = 101_300
    with pytest.raises(DataError, match="slp must vary over the training split, got 101300 everywhere"):
        opened(write("a", fields))


def test_an_unknown_variable_names_those_that_are_there(write: Write) -> None:
    with pytest.raises(DataError, match="got no 'q'; there are slp, rain, wind"):
        opened(write("a", values()), variables=("slp", "q"))
    with pytest.raises(DataError, match=r"no 'q', 'u'; .* \('slp', 'rain', 'wind'\)"):
        opened(write("b", values()), variables=("u", "slp", "q"))


def test_a_folder_without_a_table_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="thalweg data import weather-fields SOURCE"):
        opened(tmp_path)


def test_duplicate_days_are_refused_by_name(write: Write) -> None:
    days = DAYS.copy()
    days[5] = days[4]
    with pytest.raises(DataError, match="must ascend without duplicates, got 1997-05-23 twice"):
        opened(write("a", values(), days))


def test_variables_of_different_days_are_refused(write: Write) -> None:
    root = write("a", values())
    layout.write_variable(
        root / "a",
        Described("slp", "Pa", "6x3"),
        GLOBE,
        DAYS[1:],
        Calendar("standard"),
        [values()["slp"][1:]],
    )
    with pytest.raises(DataError, match=r"700 days from .* in rain\.nc and 699 days from .* in slp\.nc"):
        opened(root)


def test_a_cut_off_file_is_refused(write: Write) -> None:
    root = write("a", values())
    path = root / "a" / "slp.nc"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"slp\.nc must be a complete HDF5 file"):
        opened(root)


def test_names_that_can_be_no_files_are_refused_where_they_are_read(write: Write) -> None:
    root = write("a", values())
    table = root / "a" / "fields.json"
    table.write_text(table.read_text().replace('"slp"', '"../slp"'))
    with pytest.raises(
        DataError, match=r"fields.json must name variables by letters.*got '../slp'; rename it there"
    ):
        opened(root)


def test_a_table_of_another_format_is_refused(write: Write) -> None:
    root = write("a", values())
    path = root / "a" / layout.TABLE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(DataError, match="must have the format 1, got 2"):
        opened(root)
    path.write_text("[]")
    with pytest.raises(DataError, match="as `thalweg data import` writes it"):
        opened(root)


def test_equal_content_has_an_equal_fingerprint_and_other_content_another_one(write: Write) -> None:
    fields = values()
    first = opened(write("a", fields))
    assert opened(write("b", fields), "b").fingerprint == first.fingerprint
    fields["slp"][600, 0, 0] += 1
    assert opened(write("c", fields), "c").fingerprint != first.fingerprint


def test_a_second_opening_reads_the_store(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write("a", values())
    first = opened(root)
    monkeypatch.setattr("trainables.geo_contrastive.data.fields.prepare", None)
    second = opened(root)
    assert second.fingerprint == first.fingerprint and second.notes == first.notes
    base = second.fields["slp"].base
    assert isinstance(base, np.memmap) and not second.fields["slp"].flags.writeable


def test_small_blocks_give_the_same(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = values()
    fields["rain"][11, 3, 3] = np.nan
    whole = opened(write("a", fields))
    monkeypatch.setattr(layout, "_CHUNK_VALUES", 400)
    monkeypatch.setattr(layout, "block_days", lambda shape: 61)
    monkeypatch.setattr("trainables.geo_contrastive.data.prepare.block_days", lambda shape: 61)
    monkeypatch.setattr("trainables.geo_contrastive.data.prepare._CLIMATOLOGY_CELLS", 6)
    pieces = opened(write("b", fields), "b")
    assert pieces.fingerprint == whole.fingerprint
    for name in whole.fields:
        np.testing.assert_allclose(pieces.fields[name], whole.fields[name], atol=2e-6)
        np.testing.assert_allclose(pieces.climatology[name], whole.climatology[name], atol=2e-6)


def test_files_are_cf_that_xarray_reads(tmp_path: Path) -> None:
    described = Described("z", "m2 s-2", "6x3", level="850 hPa", long_name="geopotential")
    fields = np.arange(36, dtype=np.float32).reshape(2, 6, 3)
    layout.write_variable(tmp_path, described, GLOBE, np.array([0, 31]), Calendar("standard"), [fields])
    with xr.open_dataset(tmp_path / "z.nc", engine="h5netcdf") as read:
        assert read["z"].dims == ("time", "longitude", "latitude")
        assert read["time"].values.astype("datetime64[D]").astype(str).tolist() == [
            "1970-01-01",
            "1970-02-01",
        ]
        assert float(read["z"]["level"]) == 850 and read["level"].attrs["units"] == "hPa"
        assert read["z"].attrs["units"] == "m2 s-2"
        np.testing.assert_array_equal(read["z"].values, fields)
    with h5netcdf.File(tmp_path / "z.nc") as file:
        assert file["z"].dtype == np.float32
