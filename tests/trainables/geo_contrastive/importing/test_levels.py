"""Levels are taken by value and unit, never silently."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from thalweg.errors import ConfigError, DataError
from trainables.geo_contrastive.importing.axes import find_axes
from trainables.geo_contrastive.importing.levels import Level, levels_of, parse_level, pick
from trainables.geo_contrastive.importing.opening import Opened

LEVELS = [Level(50, "hPa"), Level(500, "hPa"), Level(850, "hPa")]


def of(name: str, values: list[float], **attributes: str) -> list[Level]:
    axes = {"time": 2, name: len(values), "lat": 2, "lon": 2}
    dataset = xr.Dataset(
        {"z": (tuple(axes), np.zeros(tuple(axes.values()), np.float32))},
        {
            "time": ("time", [0, 1], {"units": "days since 2001-01-01"}),
            name: (name, values, attributes),
            "lat": ("lat", [0.0, 1]),
            "lon": ("lon", [0.0, 1]),
        },
    )
    opened = Opened("z", "", Path("a.nc"), "netCDF-4", dataset["z"], dataset)
    found = find_axes(opened)
    assert found is not None
    return levels_of(opened, found)


@pytest.mark.parametrize("text", ["850hPa", "850 hPa", "85000Pa", "8.5e4 pa", "850mb"])
def test_a_pressure_may_have_any_unit(text: str) -> None:
    assert pick(LEVELS, parse_level(text), "z") == 2


@pytest.mark.parametrize("text", ["850 furlongs", "hPa", "", "-3m"])
def test_what_is_no_level_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a level must be a number with a unit"):
        parse_level(text)


def test_several_levels_need_a_name() -> None:
    with pytest.raises(
        DataError, match="must be named, got none for 50 hPa, 500 hPa, 850 hPa; write NAME@850hPa"
    ):
        pick(LEVELS, None, "z")
    with pytest.raises(DataError, match="got none for level 1, level 17; write NAME@17"):
        pick([Level(1, "1"), Level(17, "1")], None, "z")


def test_a_level_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(DataError, match="must have the level 700 hPa, got 50 hPa, 500 hPa, 850 hPa"):
        pick(LEVELS, parse_level("700hPa"), "z")
    with pytest.raises(DataError, match="must have the level 850 hPa, got no level; leave the level out"):
        pick([], parse_level("850hPa"), "z")
    with pytest.raises(DataError, match="must have the level 850 m"):
        pick(LEVELS, parse_level("850m"), "z")


def test_one_level_needs_no_name_but_must_be_the_named_one() -> None:
    assert pick(LEVELS[:1], None, "z") == 0
    assert pick([], None, "z") is None
    with pytest.raises(DataError, match="got 50 hPa"):
        pick(LEVELS[:1], parse_level("850hPa"), "z")


def test_units_are_read_and_guessed_from_pressures_alone() -> None:
    assert of("level", [500, 850]) == of("isobaricInhPa", [500, 850], units="hPa") == LEVELS[1:]
    assert of("plev", [50000, 85000], units="Pa") == of("plev", [50000, 85000]) == LEVELS[1:]
    assert of("height", [2, 10], units="m") == [Level(2, "m"), Level(10, "m")]
    assert of("hybrid", [1, 2], units="1") == [Level(1, "1"), Level(2, "1")]
    assert of("level", [1, 2], units="1", long_name="model_level_number") == [Level(1, "1"), Level(2, "1")]
    with pytest.raises(DataError, match="must be in hPa, Pa, m or km, got 'K'"):
        of("lev", [300, 320], units="K", axis="Z")
