"""Weather fields in memory, without files."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thalweg.data.normalization import DAYS_OF_YEAR
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import ProcessGroup, join
from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.data.calendars import Calendar
from trainables.geo_contrastive.data.fields import FieldData, Variable
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.worlds import synthetic as weather

MakeFields = Callable[..., FieldData]
Orders = Callable[..., TrialOrder]

_FIRST_DAY = 7305  # 1990-01-01


def _grid(name: str, shape: tuple[int, int], geographic: bool) -> Grid:
    """Returns a grid around the globe, or one in metres."""
    if geographic:
        first, second = (
            (np.arange(size) + shift) * (degrees / size) - degrees / 2
            for size, degrees, shift in zip(shape, (360.0, 180.0), (0.0, 0.5), strict=True)
        )
    else:
        first, second = (25_000.0 * np.arange(size, dtype=np.float64) for size in shape)
    return Grid(name, first, second, geographic)


def _variable(name: str, grid: str, values: np.ndarray) -> Variable:
    return Variable(name, "1", None, grid, 0.0, 1.0, float(np.ptp(values)))


def _days(count: int, jumps: Mapping[int, int]) -> np.ndarray:
    steps = np.ones(count, np.int64)
    for position, missing in jumps.items():
        steps[position] += missing
    return _FIRST_DAY + np.cumsum(steps) - 1


def _profile(shape: tuple[int, int], number: int) -> np.ndarray:
    profile: np.ndarray = np.sin(np.pi * (np.arange(shape[1]) + 0.5) / shape[1] + number)
    return profile


def _waves(shape: tuple[int, int], day: np.ndarray, number: int) -> np.ndarray:
    phase = 2 * np.pi * (np.arange(shape[0]) / shape[0] - day[:, None] / 16) + number
    waves: np.ndarray = np.sin(phase)[:, :, None] * _profile(shape, number)
    return waves


def _fields(
    days: int = 60,
    *,
    grids: Mapping[str, tuple[int, int]] | None = None,
    variables: Mapping[str, str] | Sequence[str] = ("t2m", "u", "v", "z", "q"),
    projected: Sequence[str] = (),
    jumps: Mapping[int, int] | None = None,
    sea: float = 0.0,
    noise: float = 0.3,
    seed: int = 0,
) -> FieldData:
    """Makes fields of waves that travel east, with noise.

    Args:
        days: Number of days.
        grids: Shapes by name; one of 8 x 4 around the globe by default.
        variables: Their names, or the grid of each; the first grid by default.
        projected: Grids in metres, which do not go around the globe.
        jumps: Positions of days before which so many days are missing.
        sea: Share of cells without data, the same ones of all variables of a grid.
        noise: Standard deviation of independent noise.
        seed: Of everything random.
    """
    rng = np.random.default_rng(seed)
    shapes = dict(grids or {"8x4": (8, 4)})
    found = {name: _grid(name, shape, name not in projected) for name, shape in shapes.items()}
    if not isinstance(variables, Mapping):
        variables = dict.fromkeys(variables, next(iter(shapes)))
    land = {name: rng.random(shape) >= sea for name, shape in shapes.items()}
    day = _days(days, jumps or {})
    calendar = Calendar("standard")
    day_of_year = calendar.day_of_year(day)
    train, val = days * 3 // 5, days * 3 // 5 + days // 5
    fields: dict[str, np.ndarray] = {}
    climatology: dict[str, np.ndarray] = {}
    valid: dict[str, np.ndarray] = {}
    for number, (name, grid) in enumerate(variables.items()):
        shape = shapes[grid]
        profile = _profile(shape, number)
        season = np.cos(2 * np.pi * np.arange(DAYS_OF_YEAR) / DAYS_OF_YEAR)[:, None, None] * profile
        season = np.broadcast_to(0.5 * season, (DAYS_OF_YEAR, *shape))
        values = _waves(shape, day, number) + season[day_of_year]
        values += noise * rng.standard_normal((days, *shape))
        valid[name] = land[grid]
        fields[name] = np.where(valid[name], values, 0).astype(np.float32)
        climatology[name] = np.where(valid[name], season, 0).astype(np.float32)
    content = hashlib.sha256(b"".join(values.tobytes() for values in (day, *fields.values())))
    return FieldData(
        variables={name: _variable(name, grid, fields[name]) for name, grid in variables.items()},
        grids=found,
        fields=fields,
        valid=valid,
        climatology=climatology,
        day=day,
        season=calendar.season(day),
        day_of_year=day_of_year,
        year=calendar.year(day),
        days={"train": range(train), "val": range(train, val), "test": range(val, days)},
        fingerprint=content.hexdigest()[:16],
    )


@pytest.fixture(scope="session")
def make_fields() -> MakeFields:
    """Makes fields in memory; its arguments are those of `_fields`."""
    return _fields


@pytest.fixture(scope="session")
def world() -> ProcessGroup:
    """This process alone."""
    return join()


@pytest.fixture(scope="session")
def weather_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a small synthetic world lies."""
    folder = tmp_path_factory.mktemp("weather")
    (folder / "tiny").mkdir()
    recipe = replace(weather.TINY, num_days=120, shape=(8, 4), gaps=(range(40, 43),), holes=())
    weather.write_world(recipe, folder / "tiny")
    return folder


@pytest.fixture
def order_for(weather_root: Path, tmp_path: Path) -> Orders:
    """Builds an order for a configuration; further arguments are the order's."""

    def build(config: GeoContrastive, name: str = "trial", **given: Any) -> TrialOrder:
        return TrialOrder(
            trial=name,
            family="trainables.geo_contrastive",
            config=config.model_dump(mode="json"),
            data_root=str(weather_root),
            directory=str(tmp_path / name),
            **given,
        )

    return build
