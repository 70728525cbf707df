"""The synthetic world: its files, its physics, and that forecasts have skill in it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from trainables.geo_contrastive.datasets import WORLDS
from trainables.geo_contrastive.knobs import REFERENCE_VARIABLES
from trainables.geo_contrastive.worlds.circulation import Place
from trainables.geo_contrastive.worlds.synthetic import SMALL, TINY, World, saturation_humidity, simulate

Anomalies = dict[str, np.ndarray]
GLOBE = Place(-180 + 22.5 * np.arange(16), -84.375 + 11.25 * np.arange(16))


@pytest.fixture(scope="module")
def weather() -> dict[str, np.ndarray]:
    """Six years on half of the meridians of the world `small`."""
    return simulate(SMALL, GLOBE)


@pytest.fixture(scope="module")
def anomalies(weather: dict[str, np.ndarray]) -> Anomalies:
    """Days without their annual cycle, (day, lon, lat), as multiples of the standard deviation."""
    day = 2 * np.pi * np.arange(SMALL.num_days) / 365.25
    cycle = np.stack(
        [np.ones_like(day), *(wave(k * day) for k in (1, 2) for wave in (np.cos, np.sin))], axis=1
    )
    found = {}
    for name, values in weather.items():
        flat = values.reshape(len(values), -1)
        rest = flat - cycle @ np.linalg.lstsq(cycle, flat, rcond=None)[0]
        found[name] = (rest / rest.std(axis=0)).reshape(values.shape)
    return found


def ridge_error(inputs: np.ndarray, targets: np.ndarray, lead: int, penalty: float = 300.0) -> float:
    """Returns the mean squared error of a ridge regression on days that it was not fitted to."""
    days = len(inputs) * 3 // 5
    known = inputs[: days - lead]
    weights = np.linalg.solve(
        known.T @ known + penalty * np.eye(known.shape[1]), known.T @ targets[lead:days]
    )
    return float(((inputs[days:-lead] @ weights - targets[days + lead :]) ** 2).mean())


def persistence_error(targets: np.ndarray, lead: int) -> float:
    """Returns the mean squared error of the last day, on the same days."""
    days = len(targets) * 3 // 5
    return float(((targets[days:-lead] - targets[days + lead :]) ** 2).mean())


def test_a_forecast_of_tomorrow_beats_persistence_which_beats_the_calendar(anomalies: Anomalies) -> None:
    ridges, persistences = [], []
    for values in anomalies.values():
        flat = values.reshape(len(values), -1)
        ridges.append(ridge_error(flat, flat, 1))
        persistences.append(persistence_error(flat, 1))
    # The calendar's error of an anomaly is 1.
    assert max(persistences) < 0.9
    assert np.mean(ridges) < 0.8 * np.mean(persistences)
    assert ridges[3] < 0.7 * persistences[3]


def test_forecasts_lose_skill_with_each_day_of_lead(anomalies: Anomalies) -> None:
    flat = anomalies["z"].reshape(SMALL.num_days, -1)
    errors = [ridge_error(flat, flat, lead, 2000.0) for lead in (1, 2, 3, 5)]
    assert (np.diff(errors) > 0.05).all()
    assert errors[0] < 0.5
    assert 0.85 < errors[-1] < 1.2
    assert persistence_error(flat, 5) > 1.5


def test_winds_follow_from_geopotential(weather: dict[str, np.ndarray]) -> None:
    numbers = np.fft.rfftfreq(16, 1 / 16)[:, None]
    slope = np.fft.irfft(1j * numbers * np.fft.rfft(weather["z"], axis=1), n=16, axis=1)
    middle = np.abs(np.abs(GLOBE.latitude) - 45) < 20
    f = 2 * 7.292e-5 * np.sin(np.deg2rad(GLOBE.latitude))
    v = slope / (f * 6.371e6 * np.cos(np.deg2rad(GLOBE.latitude)))
    found, wanted = weather["v"][:, :, middle], v[:, :, middle]
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.9
    assert found.std() == pytest.approx(wanted.std(), rel=0.25)
    rest = weather["u"] - weather["u"].mean(axis=(0, 1))
    pole_minus_south = weather["z"][:, :, 2:] - weather["z"][:, :, :-2]
    gradient = -(pole_minus_south - pole_minus_south.mean(axis=(0, 1))) / f[1:-1]
    assert (
        np.corrcoef(rest[:, :, 1:-1][:, :, middle[1:-1]].ravel(), gradient[:, :, middle[1:-1]].ravel())[0, 1]
        > 0.6
    )


def test_yesterdays_wind_tells_todays_temperature(anomalies: Anomalies) -> None:
    t, v = (anomalies[name][:, :, 10:14].reshape(SMALL.num_days, -1) for name in ("t2m", "v"))
    alone, both = ridge_error(t, t, 1), ridge_error(np.concatenate([t, v], axis=1), t, 1)
    assert both < 0.9 * alone


def test_humidity_follows_temperature(weather: dict[str, np.ndarray]) -> None:
    saturated = saturation_humidity(weather["t2m"] - 9)
    relative = weather["q"] / saturated
    assert 0.3 < relative.mean() < 0.9
    assert np.quantile(relative, 0.999) < 1.1
    assert np.corrcoef(np.log(weather["q"] + 1e-6).ravel(), weather["t2m"].ravel())[0, 1] > 0.9


@pytest.mark.parametrize(("temperature", "pressure"), [(273.15, 611.2), (293.15, 2337.0)])
def test_saturation_is_that_of_the_tables(temperature: float, pressure: float) -> None:
    found = saturation_humidity(np.full((1, 1, 1), temperature)).item()
    assert found == pytest.approx(0.622 * pressure / (85_000 - 0.378 * pressure), rel=0.01)


def test_seasons_are_opposite_on_both_hemispheres(weather: dict[str, np.ndarray]) -> None:
    month = (np.datetime64("1990-01-01") + np.arange(SMALL.num_days)).astype("datetime64[M]").astype(int) % 12
    january, july = (weather["t2m"][month == number].mean(axis=(0, 1)) for number in (0, 6))
    difference = july - january
    assert (difference[GLOBE.latitude > 30] > 10).all()
    assert (difference[GLOBE.latitude < -30] < -10).all()


@pytest.mark.parametrize(
    ("name", "low", "high", "spread"),
    [
        ("t2m", 215, 315, (3, 15)),
        ("u", -40, 40, (1.5, 10)),
        ("v", -45, 45, (2, 10)),
        ("z", 8_500, 18_000, (200, 900)),
        ("q", 0, 0.025, (3e-4, 4e-3)),
    ],
)
def test_magnitudes_are_those_of_the_atmosphere(
    weather: dict[str, np.ndarray], name: str, low: float, high: float, spread: tuple[float, float]
) -> None:
    values = weather[name]
    assert low <= values.min() < values.max() <= high
    assert spread[0] < values.std(axis=0).mean() < spread[1]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The two tiny worlds."""
    names = [name for name in WORLDS if name.startswith("tiny")]
    made = {}
    for name in names:
        made[name] = tmp_path_factory.mktemp(name)
        WORLDS[name].make(made[name])
    return made


def content(folder: Path) -> dict[str, str]:
    """Returns a hash of each file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_same_world_gives_the_same_bytes(folders: dict[str, Path], tmp_path: Path) -> None:
    WORLDS["tiny"].make(tmp_path)
    assert content(tmp_path) == content(folders["tiny"])


def test_another_seed_is_another_world() -> None:
    one, other = (simulate(World(shape=(16, 8), num_days=3, seed=seed), GLOBE)["z"] for seed in (0, 1))
    assert not np.allclose(one, other)


def test_all_variables_of_a_world_have_the_same_days_with_jumps(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        table = json.loads((folder / "fields.json").read_text())
        assert tuple(each["name"] for each in table["variables"]) == REFERENCE_VARIABLES
        times = []
        for name in REFERENCE_VARIABLES:
            with xr.open_dataset(folder / f"{name}.nc", engine="h5netcdf") as file:
                times.append(file["time"].values.astype("datetime64[D]").astype(np.int64))
        assert all((each == times[0]).all() for each in times)
        assert len(times[0]) == TINY.num_days - 6
        assert sorted(np.diff(times[0]))[-3:] == [1, 3, 5]


def test_a_world_has_cells_without_data_and_days_with_a_hole(folders: dict[str, Path]) -> None:
    with xr.open_dataset(folders["tiny"] / "q.nc", engine="h5netcdf") as file:
        missing = np.isnan(file["q"].values)
    never = missing.all(axis=0)
    assert 0 < never.sum() <= 4
    assert (missing & ~never).any(axis=(1, 2)).sum() == 2


def test_two_grids_hold_the_same_weather(folders: dict[str, Path]) -> None:
    europe = xr.open_dataset(folders["tiny-two-grids"] / "t2m.nc", engine="h5netcdf")["t2m"]
    globe = xr.open_dataset(folders["tiny"] / "t2m.nc", engine="h5netcdf")["t2m"]
    assert europe.shape[1:] == (9, 6)
    sea = np.isnan(europe.values).all(axis=0)
    assert 0.1 < sea.mean() < 0.9
    assert not np.isnan(europe.values[:, ~sea]).any()
    column, row = np.argwhere(~sea & (np.abs(europe.longitude.values) < 1)[:, None])[0]
    there = globe.interp(longitude=europe.longitude[column], latitude=europe.latitude[row]).values
    assert np.corrcoef(there, europe.values[:, column, row])[0, 1] > 0.9
