"""How variables are recognised, and what is checked of their values."""

import numpy as np
import pytest

from thalweg.errors import DataError
from trainables.geo_contrastive.data.calendars import Calendar
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.data.layout import Described
from trainables.geo_contrastive.data.quantities import QUANTITIES, quantity_named, quantity_of
from trainables.geo_contrastive.data.values import FieldSurvey

GRID = Grid("2x2", np.array([0.0, 1]), np.array([50.0, 51]), geographic=True)


def survey(quantity: str, unit: str, values: list[float]) -> FieldSurvey:
    found = FieldSurvey(Described("a", unit, "2x2", quantity=quantity), GRID, Calendar("standard"), "a.nc")
    found.update(np.array(values, np.float32).reshape(-1, 2, 2), np.arange(len(values) // 4))
    return found


def test_standard_names_decide_and_usual_names_help() -> None:
    def name(*names: str) -> str:
        found = quantity_of(*names)
        return "" if found is None else found.name

    assert name("x", "air_temperature") == name("t2m") == name("ta850") == "temperature"
    assert name("z", "", "m2 s-2") == "geopotential"
    assert name("z", "", "km") == name("vorticity") == ""
    assert name("tp") == "precipitation"


def test_each_quantity_is_found_by_its_name_and_has_one_unit_of_a_spelling() -> None:
    for quantity in QUANTITIES:
        assert quantity_named(quantity.name) is quantity
        for bounds in quantity.bounds:
            fitting = [
                other.unit for other in quantity.bounds for name in (bounds.unit,) if other.is_called(name)
            ]
            assert fitting == [bounds.unit]


def test_a_temperature_in_degrees_that_says_kelvin_is_refused_by_day_and_place() -> None:
    found = survey("temperature", "K", [280.0] * 5 + [12.0, 280, 280])
    law = r"a \(temperature\) in a\.nc must lie within 130 and 370 K, got 1 other value in 1 place, "
    with pytest.raises(DataError, match=law + "first 12 on 1970-01-02 at 0, 51 degrees"):
        found.raise_if_any()


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(DataError, match="units K, degC, got the declared unit 'degF'"):
        survey("temperature", "degF", [60.0] * 4).raise_if_any()


def test_a_missing_unit_is_taken_from_the_values() -> None:
    assert survey("temperature", "", [280.0] * 4).extremes.unit == "K"
    assert survey("temperature", "", [8.0] * 4).extremes.unit == "degC"


def test_a_fill_value_that_is_not_declared_is_refused_of_any_quantity() -> None:
    with pytest.raises(DataError, match=r"first 1e\+20 on 1970-01-01"):
        survey("", "furlongs", [1.0, 2, 3, 1e20]).raise_if_any()
    survey("", "furlongs", [1.0, 2, float("nan"), 4]).raise_if_any()


@pytest.mark.parametrize("mark", [-999.0, -9999.0, -32768.0])
def test_a_usual_mark_of_missing_data_that_is_not_declared_is_refused(mark: float) -> None:
    found = survey("", "W m-2", [1.0, 200, -300, 4, 5, mark, mark, 8])
    with pytest.raises(
        DataError, match=rf"got 2 times {mark:g}, first on 1970-01-02 at 0, 51 degrees; declare"
    ):
        found.raise_if_any()
    survey("", "W m-2", [1.0, 2, 3, 4, 5, mark, 0.6 * mark, 8]).raise_if_any()  # others come near it
    survey("", "W m-2", [1.0, 2, 3, mark + 0.5]).raise_if_any()


def test_rounding_below_zero_rain_is_no_fault() -> None:
    survey("precipitation", "kg m-2 s-1", [-1.2e-10, 0, 1e-4, 1e-3]).raise_if_any()
