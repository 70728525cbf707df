"""Synthetic hydrology: an island on which weather wets the soil and the soil feeds the rivers.

The structure is that of the real data: a seasonal cycle, weather systems that span two to three patches, last for
days and drift eastwards, relief that cools and wets, a soil with memory, and rivers whose response depends on the
static attributes of their catchment. So a masked patch or river is predicted better from its neighbours, other
modalities and other days than from the calendar.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Float64, Int64
from scipy import ndimage
from scipy.sparse import csr_array

from thalweg.contract import SplitName
from thalweg.data.hdf5 import CHUNK_DAYS
from thalweg.data.store import staged
from trainables.water_mae.data import writing
from trainables.water_mae.data.layout import Period
from trainables.water_mae.data.soil import SoilBucket

_MEMORY = 0.8  # day-to-day correlation of weather: a system lasts about five days
_DRIFT = 1  # cells per day eastwards
_LAPSE = 0.0065  # degC per metre
_REACH = 9.0  # cells: standard deviation of the kernel that makes a weather system
_VARIABLES = ("precipitation", "soil_moisture", "temperature", "evaporation", "runoff")
_DECIMALS = {"precipitation": 2, "soil_moisture": 3, "temperature": 2}  # as in the archives


@dataclass(frozen=True, kw_only=True)
class Island:
    """Size of a synthetic world.

    Attributes:
        rows: Rows of the grid.
        cols: Columns of the grid.
        num_catchments: Catchments before any is dropped.
        train: Days of the training split.
        val: Days of the validation split.
        test: Days of the test split; the other splits do not depend on it. None leaves it out.
        seed: Seed of everything random.
    """

    rows: int
    cols: int
    num_catchments: int
    train: Period
    val: Period
    test: Period | None = None
    seed: int = 0

    @property
    def whole(self) -> Period:
        """All days."""
        return Period(self.train.first, (self.test or self.val).last)

    @property
    def num_settled(self) -> int:
        """Number of days before the test split; only these determine the places and the initial fill of stores."""
        return len(Period(self.train.first, self.val.last).dates)


TINY = Island(
    rows=40,
    cols=40,
    num_catchments=48,
    train=Period(np.datetime64("2001-01-01"), np.datetime64("2003-12-31")),
    val=Period(np.datetime64("2004-01-01"), np.datetime64("2004-12-31")),
    test=Period(np.datetime64("2005-01-01"), np.datetime64("2005-12-31")),
)
SMALL = Island(
    rows=100,
    cols=80,
    num_catchments=200,
    train=Period(np.datetime64("2001-01-01"), np.datetime64("2004-12-31")),
    val=Period(np.datetime64("2005-01-01"), np.datetime64("2005-12-31")),
    test=Period(np.datetime64("2006-01-01"), np.datetime64("2006-12-31")),
)


def write_island(island: Island, target: Path) -> None:
    """Writes a synthetic data set; the same island gives the same bytes."""
    with staged(target) as folder:
        _fill(folder, island)


def _fill(folder: Path, island: Island) -> None:
    rng = np.random.default_rng(island.seed)
    land, altitude = _relief(island, rng)
    whole = island.whole
    weather = _weather(island, land, altitude, rng)
    wetness = weather["soil_moisture"][: island.num_settled].mean(axis=0)
    ids, basins, attributes = _catchments(island, land, altitude, wetness, rng)
    riverflow, evaporation = _rivers(weather, basins, attributes, island.num_settled)
    _make_irregular(riverflow, attributes, len(island.train.dates))
    writing.write_mask(folder, land)
    writing.write_series(folder, whole, ids, evaporation=evaporation.round(3), riverflow=riverflow.round(3))
    writing.write_attributes(folder, attributes)
    splits: dict[SplitName, Period | None] = {"train": island.train, "val": island.val, "test": island.test}
    for split, period in splits.items():
        if period is None:
            continue
        first = int((period.first - whole.first) / np.timedelta64(1, "D"))
        for name, decimals in _DECIMALS.items():
            days = weather[name][first : first + len(period.dates)].round(decimals)
            pieces = (days[piece : piece + CHUNK_DAYS] for piece in range(0, len(days), CHUNK_DAYS))
            writing.write_grid(folder, name, split, period, land=land, pieces=pieces)


make_tiny = partial(write_island, TINY)
make_small = partial(write_island, SMALL)


def _smooth(
    noise: Float64[np.ndarray, "*grid row col"], width: float
) -> Float64[np.ndarray, "*grid row col"]:
    """Smooths white noise to a correlation length of about `width` cells and unit variance; wraps around."""
    sigma = (0.0,) * (noise.ndim - 2) + (width, width)
    field = ndimage.gaussian_filter(noise, sigma, mode="wrap")
    scaled: Float64[np.ndarray, "*grid row col"] = field / field.std()
    return scaled


def _relief(
    island: Island, rng: np.random.Generator
) -> tuple[Bool[np.ndarray, "row col"], Float64[np.ndarray, "row col"]]:
    """Returns an island with a ragged coast, and its altitude in metres."""
    rows, cols = island.rows, island.cols
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, cols), indexing="ij")
    hills = _smooth(rng.standard_normal((rows, cols)), 5.0)
    height = 1.0 - np.hypot(x, y) ** 2 * 0.95 + 0.18 * hills
    land = height > 0
    altitude = np.where(land, 30 + 450 * height * (1.2 + 0.6 * hills).clip(0.1), 0.0)
    return land, altitude


def _systems(
    shape: tuple[int, int], parts: Sequence[tuple[int, np.random.Generator]]
) -> Iterator[Float64[np.ndarray, "row col"]]:
    """Yields daily weather: a smooth field of unit variance that fades, is renewed and drifts east."""
    down, across = (_bumps(size) for size in shape)
    noise = np.concatenate(
        [rng.standard_normal((num_days, down.shape[1], across.shape[1])) for num_days, rng in parts]
    )
    # einsum, not @: the same bits whatever the number of BLAS threads
    renewal = np.einsum("dnm,cm->dnc", np.einsum("rn,dnm->drm", down, noise), across)
    field = renewal[0]
    for fresh in renewal:
        field = _MEMORY * np.roll(field, _DRIFT, axis=1) + np.sqrt(1 - _MEMORY**2) * fresh
        yield field


def _bumps(size: int) -> Float64[np.ndarray, "cell node"]:
    """Gaussian bumps around nodes on a circle of cells; white noise at the nodes gives unit variance."""
    nodes = np.linspace(0, size, max(4, round(2 * size / _REACH)), endpoint=False)
    distance = np.abs(np.arange(size)[:, None] - nodes)
    weight = np.exp(-0.5 * (np.minimum(distance, size - distance) / _REACH) ** 2)
    unit: Float64[np.ndarray, "cell node"] = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    return unit


def _weather(
    island: Island,
    land: Bool[np.ndarray, "row col"],
    altitude: Float64[np.ndarray, "row col"],
    rng: np.random.Generator,
) -> dict[str, Float32[np.ndarray, "day cell"]]:
    """Returns daily weather, soil moisture and runoff of the land cells."""
    dates = island.whole.dates
    winter = np.cos(2 * np.pi * ((dates - dates[0]).astype(int) - 20) / 365.25)  # 1 in January
    height, south = altitude[land], np.argwhere(land)[:, 0] / land.shape[0]
    soil = SoilBucket(height.size)
    days = {name: np.empty((len(dates), height.size), np.float32) for name in _VARIABLES}
    later = len(dates) - island.num_settled, np.random.default_rng((island.seed, 1))
    parts = ((island.num_settled, rng), later)
    systems = zip(*(_systems(land.shape, parts) for _ in range(2)), strict=True)
    for day, (fields, season) in enumerate(zip(systems, winter, strict=True)):
        fronts, air = (field[land] for field in fields)
        warmth = 3.5 * (air + 0.4 * fronts * season)
        temperature = 8.5 + 2 * south - _LAPSE * height - 5.5 * season + warmth
        wet = np.maximum(fronts + 0.15 * season - 0.1, 0)
        precipitation = 4.0 * wet * (0.7 + height / 500)
        demand = np.maximum(0.1, (1.6 - 1.3 * season) * (1 + 0.2 * air))
        runoff = soil.step(precipitation, temperature, demand)
        values = (precipitation, soil.saturation, temperature, demand, runoff)
        for name, value in zip(_VARIABLES, values, strict=True):
            days[name][day] = value
    return days


def _catchments(
    island: Island,
    land: Bool[np.ndarray, "row col"],
    altitude: Float64[np.ndarray, "row col"],
    wetness: Float32[np.ndarray, " cell"],
    rng: np.random.Generator,
) -> tuple[Int64[np.ndarray, " catchment"], Float64[np.ndarray, "catchment cell"], pd.DataFrame]:
    """Places catchments; returns ids, the weight of each land cell in each catchment, and attributes."""
    place = np.argwhere(land)
    centre = place[
        np.sort(rng.choice(len(place), island.num_catchments, replace=len(place) < island.num_catchments))
    ]
    radius = rng.uniform(1.0, 3.5, island.num_catchments)  # cells
    distance = np.linalg.norm(place[None] - centre[:, None], axis=2)
    weight = np.where(distance <= radius[:, None], 1.0, 0.0)
    weight /= weight.sum(axis=1, keepdims=True)
    height = altitude[land]
    heights = [height[row > 0] for row in weight]
    geology = _smooth(rng.standard_normal(land.shape), 6.0)[land]
    table = pd.DataFrame(
        {
            "latitude": 58.0 - 8.0 * centre[:, 0] / land.shape[0],
            "longitude": -6.0 + 8.0 * centre[:, 1] / land.shape[1],
            "minimum-altitude": [item.min() for item in heights],
            "maximum-altitude": [item.max() for item in heights],
            **{
                f"{q}-percentile-altitude": [np.percentile(item, q) for item in heights] for q in (10, 50, 90)
            },
            "catchment-area": np.pi * (5 * radius) ** 2,
            "dpsbar": [20 + 0.35 * np.ptp(item) for item in heights],
            "propwet": (weight @ wetness).clip(0, 1),
            "bfihost": np.clip(0.5 + 0.2 * weight @ geology, 0.15, 0.95),
        }
    ).round(3)
    ids = np.arange(1001, 1001 + 7 * island.num_catchments, 7, dtype=np.int64)
    return ids, weight, table.set_index(pd.Index(ids, name="id"))


def _rivers(
    weather: dict[str, Float32[np.ndarray, "day cell"]],
    basins: Float64[np.ndarray, "catchment cell"],
    attributes: pd.DataFrame,
    num_settled: int,
) -> tuple[Float32[np.ndarray, "catchment day"], Float32[np.ndarray, "catchment day"]]:
    """Returns river flow and evaporation in mm/day.

    The share `bfihost` of the runoff passes a slow store; the rest a quick one, the quicker the steeper the catchment.
    """
    mean_over = csr_array(basins)
    runoff = mean_over @ weather["runoff"].T.astype(np.float64)
    slow_share = attributes["bfihost"].to_numpy()
    quick_days = 1.0 + 2.5 * np.exp(-attributes["dpsbar"].to_numpy() / 60)
    flow = slow_share[:, None] * _release(runoff, np.full(len(runoff), 40.0), num_settled)
    flow += (1 - slow_share[:, None]) * _release(runoff, quick_days, num_settled)
    return flow.astype(np.float32), (mean_over @ weather["evaporation"].T).astype(np.float32)


def _release(
    inflow: Float64[np.ndarray, "catchment day"],
    residence: Float64[np.ndarray, " catchment"],
    num_settled: int,
) -> Float64[np.ndarray, "catchment day"]:
    """Returns the outflow of linear stores with a mean residence in days, at first in balance with the settled days."""
    share = 1 - np.exp(-1 / residence)
    outflow = inflow[:, :num_settled].mean(axis=1)
    out = np.empty_like(inflow)
    for day in range(inflow.shape[1]):
        outflow = outflow + share * (inflow[:, day] - outflow)
        out[:, day] = outflow
    return out


def _make_irregular(
    riverflow: Float32[np.ndarray, "catchment day"], attributes: pd.DataFrame, num_train: int
) -> None:
    """Adds the faults of real archives: late gauges, gaps, a gauge that failed, an attribute row with blanks."""
    riverflow[:, :30] = np.nan  # no gauge before the end of the first month
    riverflow[3, 100:108] = np.nan
    riverflow[-2, num_train - 2 : num_train + 3] = np.nan  # a gap across the border of the splits
    riverflow[7, 200 : 200 + num_train // 4] = np.nan  # must be dropped
    attributes.iloc[5, attributes.columns.get_indexer(pd.Index(["dpsbar", "propwet", "bfihost"]))] = np.nan
