"""Pieces of charts: each day is drawn where it belongs, in the colour of its split."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from thalweg.contract import SplitName
from thalweg.datasets.charts import SPLIT_COLOURS, draw_coverage, label_months, png, scale_of


def test_each_day_is_drawn_in_its_year_in_the_colour_of_its_split() -> None:
    days = np.arange("2019-12-30", "2021-01-03", dtype="datetime64[D]")
    year = days.astype("datetime64[Y]").astype(int) + 1970
    day_of_year = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int)
    splits: dict[SplitName, range] = {
        "train": range(0, 2),
        "test": range(2, len(days) - 1),
    }  # 2021-01-02 is in none
    figure = draw_coverage(year, day_of_year, splits)
    (mesh,) = figure.axes[0].collections
    drawn: np.ndarray = np.ma.filled(np.ma.asarray(mesh.get_array()), np.nan)
    assert drawn.shape == (3, 366)
    assert np.flatnonzero(drawn[0] == 0).tolist() == [363, 364] and np.isnan(drawn[0]).sum() == 364
    assert (drawn[1] == 2).all()  # a leap year
    assert drawn[2, 0] == 2 and np.isnan(drawn[2, 1:]).all()
    colours = [tuple(colour) for colour in mesh.to_rgba(np.arange(3.0))]
    assert colours == [to_rgba(colour) for colour in SPLIT_COLOURS.values()]


def test_months_stand_in_their_middle() -> None:
    place = Figure().subplots()
    label_months(place)
    assert [label.get_text() for label in place.get_xticklabels()] == list("JFMAMJJASOND")
    assert place.get_xticks()[[0, 1, 2, 11]].tolist() == [15, 46, 75, 350]
    assert place.get_xlim() == (0, 366)


def test_a_scale_holds_the_middle_of_finite_values_and_has_a_width() -> None:
    values = np.append(np.arange(101.0), [np.nan, np.inf])
    scale = scale_of(values[:50], values[50:])
    assert (scale.vmin, scale.vmax) == pytest.approx((1.0, 99.0))
    flat = scale_of(np.full(4, 7.0))
    assert flat.vmin == 7.0 and flat.vmax is not None and flat.vmax > 7.0
    nothing = scale_of(np.full(4, np.nan))
    assert (nothing.vmin, nothing.vmax) == (0.0, 1.0)


def test_a_picture_has_the_same_bytes_each_time() -> None:
    def picture() -> bytes:
        figure = Figure()
        figure.subplots().plot([1, 2])
        return png(figure)

    assert picture() == picture()
    assert picture().startswith(b"\x89PNG")
