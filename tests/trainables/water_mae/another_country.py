"""Small data of no country, in the forms in which hydrologists keep theirs."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

IDS = ("camels_01013500", "lamah_12", "6335020", "ce_0007")
DAYS = np.arange("2001-01-01", "2001-05-01", dtype="datetime64[D]")
SHAPE = (19, 22)


def weather(seed: int = 0) -> dict[str, np.ndarray]:
    """Fields (day, row, col) in usual units; sea in the first two columns is NaN."""
    rng = np.random.default_rng(seed)
    course = np.sin(2 * np.pi * np.arange(len(DAYS)) / 40)[:, None, None]
    relief = rng.normal(size=SHAPE)
    fields = {
        "precipitation": np.maximum(3 * course + 2 * rng.normal(size=(len(DAYS), *SHAPE)), 0),
        "temperature": 8 + 6 * course + relief + 0.3 * rng.normal(size=(len(DAYS), *SHAPE)),
        "snow": 40 + 20 * course + 3 * relief,
    }
    for values in fields.values():
        values[:, :, :2] = np.nan
    return {name: values.astype(np.float32) for name, values in fields.items()}


def flows(seed: int = 1) -> np.ndarray:
    """River flow in mm/day (day, gauge)."""
    rng = np.random.default_rng(seed)
    course = 2 + np.sin(2 * np.pi * np.arange(len(DAYS)) / 40)[:, None]
    flow: np.ndarray = course * np.array([1, 2, 0.5, 1.5]) * rng.lognormal(0, 0.2, (len(DAYS), 4))
    return flow.astype(np.float32)


def write_attributes(path: Path) -> None:
    """Area, mean elevation and aridity only, in the order of no other table."""
    table = pd.DataFrame(
        {
            "gauge_id": IDS,
            "area": [120.5, 80.0, 950.25, 33.0],
            "elev_mean": [310, 820, 150, 45],
            "aridity": [0.6, 0.4, 1.1, 0.8],
        }
    )
    table[::-1].to_csv(path, index=False)


def write_fields(path: Path, names: tuple[str, ...], units: dict[str, str], *, zarr: bool = False) -> None:
    """Fields at 1 km on a projected grid, the southern row first; kelvins if they are to be."""
    fields = weather()
    if units.get("temperature") == "K":
        fields["temperature"] = fields["temperature"] + np.float32(273.15)
    rows, columns = (np.arange(count) * 1000.0 for count in SHAPE)
    dataset = xr.Dataset(
        {
            name: (("time", "y", "x"), fields[name][:, ::-1], {"units": units[name]} if name in units else {})
            for name in names
        },
        coords={"time": DAYS.astype("datetime64[ns]"), "y": rows, "x": columns},
    )
    if zarr:
        dataset.to_zarr(path, zarr_format=2)
    else:
        dataset.to_netcdf(path, engine="h5netcdf")


def write_flows(path: Path, column: str = "riverflow", values: np.ndarray | None = None) -> None:
    """A long table with the identifiers as text."""
    found = flows() if values is None else values
    pd.DataFrame(
        {
            "date": np.tile(DAYS.astype(str), len(IDS)),
            "gauge_id": np.repeat(IDS, len(DAYS)),
            column: found.T.ravel(),
        }
    ).to_csv(path, index=False)


def write_country(folder: Path) -> None:
    """Case C11: a 19 x 22 grid at 1 km, four catchments with text identifiers, no evaporation."""
    folder.mkdir(parents=True, exist_ok=True)
    write_fields(
        folder / "weather.nc",
        ("precipitation", "temperature"),
        {"precipitation": "mm/day", "temperature": "K"},
    )
    write_flows(folder / "flow.csv")
    write_attributes(folder / "attributes.csv")


SPACE = """
from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, WaterMAE
from trainables.water_mae.knobs import Modality

study = Study(metric="skill", mode="max", samples=64, num_trials=2)


def space(trial: Trial) -> WaterMAE:
    lr = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
    return PRESETS["tiny"].vary(
        dataset="country",
        data={
            "modalities": (
                Modality(name="precipitation", kind="field", unit="mm/day"),
                Modality(name="temperature", kind="field", unit="degC"),
                Modality(name="river_flow", kind="series", unit="mm/day", transform="log"),
            ),
            "attributes": ("area", "elev_mean", "aridity"),
            "patch_size": 5,
            "vector_patch_size": 8,
        },
        optimization={"lr": lr, "batch_size": 8},
    )
"""
