"""Amounts, and totals that run up over the day, are told apart by their values."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from thalweg.errors import DataError
from trainables.geo_contrastive.importing import daily
from trainables.geo_contrastive.importing.accumulation import Accumulation

NUM_DAYS = 8


def amounts(kind: str, num_days: int = NUM_DAYS) -> np.ndarray:
    """Hourly rain, of which most hours have none, or a flux with a daily cycle that changes its sign."""
    rng = np.random.default_rng(2)
    shape = (num_days, 24, 6, 12)
    if kind == "rain":
        return np.maximum(rng.normal(-1, 1, shape), 0).astype(np.float32) * 1e-3
    sun = np.sin(2 * np.pi * (np.arange(24) - 6) / 24)[None, :, None, None]
    return (300 + 900 * sun + rng.normal(0, 50, shape)).astype(np.float32)


@pytest.fixture
def source(make: Callable[..., xr.Dataset], tmp_path: Path) -> Callable[[np.ndarray, dict[str, str]], Path]:
    """Writes hourly values over whole days, of which each stands at the end of its hour."""

    def written(values: np.ndarray, attributes: dict[str, str]) -> Path:
        dataset = make(np.arange(1, 24 * len(values) + 1), name="amount")
        dataset["amount"].values[:] = values.reshape(dataset["amount"].shape)
        dataset["amount"].attrs = attributes
        dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
        return tmp_path / "a.nc"

    return written


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rain", "flux"])
@pytest.mark.parametrize("in_parts", [False, True])
def test_totals_that_run_up_over_the_day_are_refused_as_amounts(
    source: Callable[..., Path],
    bring: Callable[..., tuple[str, Path]],
    field: Callable[[Path, str], xr.DataArray],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    in_parts: bool,
) -> None:
    if in_parts:
        monkeypatch.setattr(daily, "BLOCK_VALUES", 5 * 72)
        monkeypatch.setattr(daily, "_MAX_BLOCK", 5 * 72)
    hours = amounts(kind)
    attributes = {"units": "m" if kind == "rain" else "J m**-2", "GRIB_stepType": "accum"}
    apart, folder = bring(source(hours, attributes))
    expected = field(folder, "amount").values
    assert "sums of 24 amounts" in apart
    with pytest.raises(
        DataError, match=r"running=amount must name totals .* got amounts of 1 h each .* sums=amount"
    ):
        bring(source(hours, attributes), running="amount")

    totals = source(np.cumsum(hours, axis=1), attributes)
    with pytest.raises(
        DataError, match=r"amount must be amounts of 1 h each, .* over the day, .* running=amount"
    ):
        bring(totals)
    report, folder = bring(totals, running="amount")
    assert "the last of 24 totals that run up over the day" in report
    np.testing.assert_allclose(field(folder, "amount"), expected, rtol=1e-4, atol=1e-6)


def test_the_last_total_alone_is_that_of_the_day_before(
    make: Callable[..., xr.Dataset], bring: Callable[..., tuple[str, Path]], tmp_path: Path
) -> None:
    """As ERA5-Land is downloaded for daily sums: 00 UTC alone."""
    make(24 * np.arange(1, 9), name="amount").to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    report, _ = bring(tmp_path / "a.nc", running="amount")
    assert "8 days from 2001-01-01 to 2001-01-08" in report
    assert "amount: amount, daily totals of the day before their time" in report
    assert "8 days from 2001-01-02" in bring(tmp_path / "a.nc")[0]


def test_totals_that_run_up_over_all_days_have_to_be_taken_apart_first(
    source: Callable[..., Path], bring: Callable[..., tuple[str, Path]]
) -> None:
    hours = amounts("rain")
    totals = source(np.cumsum(hours.reshape(-1, 6, 12), axis=0).reshape(hours.shape), {"units": "m"})
    for options, law in (
        ({"sums": "amount"}, "be amounts of 1 h each"),
        ({"running": "amount"}, "begin anew with each day"),
    ):
        with pytest.raises(
            DataError, match=f"amount must {law}, got totals .* several days .* the differences"
        ):
            bring(totals, **options)


def test_nothing_is_concluded_of_few_rainy_days_or_few_times_of_a_day() -> None:
    dry = Accumulation(24)
    for hours in np.cumsum(amounts("rain", num_days=2), axis=1):
        dry.update(hours)
    for _ in range(9):
        dry.update(np.zeros((24, 6, 12), np.float32))
    assert not dry.is_known
    six_hourly = Accumulation(4)
    for hours in np.cumsum(amounts("rain"), axis=1):
        six_hourly.update(hours[5::6])
    assert not six_hourly.is_known
