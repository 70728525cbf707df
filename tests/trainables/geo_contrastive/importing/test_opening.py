"""The same fields from every format are the same data set."""

from pathlib import Path

import numpy as np
import pytest

from tests.grib import messages
from tests.trainables.geo_contrastive.importing.conftest import Bring, Field, Make
from thalweg.data import opening
from thalweg.errors import DataError
from trainables.geo_contrastive.importing.opening import open_source

pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of cfgrib and zarr
]


@pytest.fixture
def expected(make: Make, bring: Bring, field: Field, tmp_path: Path) -> np.ndarray:
    make(np.arange(12) * 24).to_netcdf(tmp_path / "plain.nc", engine="h5netcdf")
    values: np.ndarray = field(bring(tmp_path / "plain.nc")[1], "t2m").values
    return values


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
def test_zarr_is_read(
    make: Make,
    bring: Bring,
    field: Field,
    expected: np.ndarray,
    tmp_path: Path,
    version: int,
    consolidated: bool,
) -> None:
    store = tmp_path / "a.zarr"
    make(np.arange(12) * 24).to_zarr(store, zarr_format=version, consolidated=consolidated)
    report, folder = bring(store)
    np.testing.assert_array_equal(field(folder, "t2m"), expected)
    assert "(Zarr)" in report


@pytest.mark.parametrize("version", [2, 3])
def test_zeros_of_zarr_are_data(make: Make, bring: Bring, field: Field, tmp_path: Path, version: int) -> None:
    """A second version's fill value of 0, zarr's own default, would make dry days missing."""
    dataset = make(np.arange(12) * 24, name="rain")
    dataset["rain"].values[:] = np.where(dataset["rain"] > 280, 5, 0)
    dataset["rain"].attrs = {"units": "mm"}
    key = "_FillValue" if version == 2 else "fill_value"
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=version, encoding={"rain": {key: 0.0}})
    found = field(bring(tmp_path / "a.zarr", sums="rain")[1], "rain").values
    assert np.isfinite(found).all() and set(np.unique(found)) == {0, 5}


def test_classic_netcdf_is_read(
    make: Make, bring: Bring, field: Field, expected: np.ndarray, tmp_path: Path
) -> None:
    make((np.arange(12) * 24).astype(np.int32)).to_netcdf(
        tmp_path / "a.nc", engine="scipy", format="NETCDF3_64BIT"
    )
    report, folder = bring(tmp_path / "a.nc")
    np.testing.assert_array_equal(field(folder, "t2m"), expected)
    assert "(netCDF-3)" in report


@pytest.mark.slow
def test_grib_is_read(make: Make, bring: Bring, field: Field, expected: np.ndarray, tmp_path: Path) -> None:
    dataset = make(np.arange(12) * 24)
    dataset["t2m"].values[2, 3, 4] = np.nan
    (tmp_path / "a.grib").write_bytes(b"".join(messages(dataset, "t2m", "2t")))
    report, folder = bring(tmp_path / "a.grib")
    found = field(folder, "t2m").values
    assert np.isnan(found).sum() == 1
    np.testing.assert_allclose(found[np.isfinite(found)], expected[np.isfinite(found)], atol=1e-4)
    assert "t2m: 2 metre temperature at 2 m" in report and "(GRIB)" in report
    short = field(bring(tmp_path / "a.grib", variables="air=2t")[1], "air").values
    np.testing.assert_array_equal(short, found)


@pytest.mark.slow
def test_levels_and_steps_of_grib_do_not_hide_one_another(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    dataset = make(6 * np.arange(1, 13), name="t")
    later = dataset.isel(time=slice(3, None))
    rain = dataset.copy(deep=True)
    rain["t"].values[:] = 0.25e-3
    parts = [
        *messages(later, "t", "t", level=("isobaricInhPa", 500)),
        *messages(later + 1, "t", "t", level=("isobaricInhPa", 850)),
        *messages(rain, "t", "tp", step=6, span=6),
    ]
    (tmp_path / "a.grib").write_bytes(b"".join(parts))
    with pytest.raises(DataError, match=r"must be named, got none for \d+ hPa, \d+ hPa"):
        bring(tmp_path / "a.grib")
    report, folder = bring(tmp_path / "a.grib", variables="t@850hPa,tp")
    np.testing.assert_allclose(field(folder, "tp"), 4 * 0.25e-3, rtol=1e-4)
    warm = later["t"].values[:8].reshape(2, 4, 6, 12).mean(axis=1) + 1
    np.testing.assert_allclose(field(folder, "t"), np.roll(warm.swapaxes(1, 2), 6, 1)[:, :, ::-1], atol=1e-3)
    assert (
        "sums of 4 amounts, each over the 6 h before its time" in report
        and "t: Temperature at 850 hPa" in report
    )


@pytest.mark.slow
def test_amounts_of_forecast_steps_belong_to_their_valid_times(
    make: Make, bring: Bring, field: Field, tmp_path: Path
) -> None:
    """As ERA5 has them: forecasts at 06 and 18 UTC with twelve hourly steps each."""
    hours = np.arange(7, 7 + 24 * 4)
    dataset = make(hours, name="t")
    dataset["t"].values[:] = 1e-3 * (1 + (hours - 1) // 24)[:, None, None]  # of the day of the hour before
    parts = [
        part
        for number, hour in enumerate(hours.tolist())
        for part in messages(dataset.isel(time=[number]), "t", "tp", step=(hour - 7) % 12 + 1)
    ]
    (tmp_path / "a.grib").write_bytes(b"".join(parts))
    report, folder = bring(tmp_path / "a.grib")
    found = field(folder, "tp")
    assert "2001-01-01 has 18 of 24 times" in report
    assert found["time"].values[0].astype("datetime64[D]") == np.datetime64("2001-01-02")
    np.testing.assert_allclose(found[:, 0, 0], [0.048, 0.072, 0.096], rtol=1e-3)


def test_a_double_message_is_refused(make: Make, bring: Bring, tmp_path: Path) -> None:
    parts = list(messages(make(np.arange(6) * 24), "t2m", "2t"))
    (tmp_path / "a.grib").write_bytes(b"".join([*parts, parts[3]]))
    with pytest.raises(DataError, match=r"must be there once, got two messages of t2m .* 20010104 0"):
        bring(tmp_path / "a.grib")


def test_a_cut_off_grib_is_refused(make: Make, bring: Bring, tmp_path: Path) -> None:
    parts = b"".join(messages(make(np.arange(6) * 24), "t2m", "2t"))
    (tmp_path / "a.grib").write_bytes(parts[:-40])
    with pytest.raises(DataError, match=r"a\.grib must be whole GRIB"):
        bring(tmp_path / "a.grib")


def test_without_the_extra_grib_its_name_is_told(
    make: Make, bring: Bring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.grib").write_bytes(b"".join(messages(make(np.arange(1) * 24), "t2m", "2t")))
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    with pytest.raises(
        DataError, match=r"GRIB is read by the extra grib, got .* `pip install 'thalweg\[grib\]'`"
    ):
        bring(tmp_path / "a.grib")


def test_opening_reads_no_field(make: Make, tmp_path: Path) -> None:
    make(np.arange(12) * 24).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with opening.OpenFiles() as files:
        (found,) = open_source(tmp_path / "a.nc", files)
        assert not found.array.variable._in_memory


def test_a_source_that_was_refused_can_be_written_anew_at_once(
    make: Make, bring: Bring, tmp_path: Path
) -> None:
    path = tmp_path / "a.nc"
    make(np.arange(12) * 24).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(DataError) as refused:
        bring(path, variables="q")
    make(np.arange(12) * 24, name="q").to_netcdf(path, engine="h5netcdf")
    assert refused.tb is not None  # which keeps what the import held
    assert "12 days" in bring(path, variables="q")[0]
