"""The files of a look at a data set, read back."""

import csv
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from thalweg.dataset_contract import Exploration
from trainables.geo_contrastive.data.fields import FieldData, open_fields
from trainables.geo_contrastive.explore import PAGE, explore
from trainables.geo_contrastive.exploring import maps
from trainables.geo_contrastive.exploring.field_statistics import bands, statistics_of
from trainables.geo_contrastive.exploring.look import draw_variable
from trainables.geo_contrastive.exploring.page import page
from trainables.geo_contrastive.exploring.tables import gap_table, split_table
from trainables.geo_contrastive.knobs import REFERENCE_VARIABLES, DataKnobs
from trainables.geo_contrastive.worlds.synthetic import make_tiny_two_grids

of_a_look = pytest.mark.slow  # which takes seconds to be drawn
NAME = "tiny-two-grids"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FieldData]:
    """A world of two grids, of which one has sea, with jumps; its folder."""
    root = tmp_path_factory.mktemp("data")
    (root / NAME).mkdir()
    make_tiny_two_grids(root / NAME)
    return root / NAME, open_fields(root, NAME, DataKnobs(variables=REFERENCE_VARIABLES))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the look lies."""
    return tmp_path_factory.mktemp("look")


@pytest.fixture(scope="module")
def found(data: tuple[Path, FieldData], folder: Path) -> Exploration:
    """The look."""
    return explore(data[0], folder)


@pytest.mark.parametrize(("shape", "stacked"), [(0.2, True), (0.5, False)])
def test_maps_of_a_wide_domain_lie_above_each_other(
    data: tuple[Path, FieldData], monkeypatch: pytest.MonkeyPatch, shape: float, stacked: bool
) -> None:
    monkeypatch.setattr(maps, "aspect", lambda grid: shape)
    figure = draw_variable(data[1], "u", statistics_of(data[1], "u"))
    figure.draw_without_rendering()
    boxes = {each.get_title(): each.get_position() for each in figure.axes}
    mean, spread = boxes["mean of all days"], boxes["standard deviation of all days"]
    (cycle,) = [box for title, box in boxes.items() if title.startswith("mean over cells")]
    assert (mean.y0 > spread.y1) == stacked
    assert max(mean.x1, spread.x1) < cycle.x0


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@of_a_look
def test_every_variable_has_a_picture_and_a_row_and_is_on_the_page(
    found: Exploration, folder: Path, data: tuple[Path, FieldData]
) -> None:
    rows = {row["variable"]: row for row in rows_of(folder / "variables.csv")}
    text = (folder / found.page).read_text()
    assert list(rows) == list(REFERENCE_VARIABLES)
    for name, variable in data[1].variables.items():
        assert rows[name]["unit"] == variable.unit
        assert int(rows[name]["with_data"]) == data[1].valid[name].sum()
        picture = image.imread(folder / "variables" / f"{name}.png")
        assert picture.shape[1] > 1000
        assert picture[..., :3].std() > 0.01
        assert f'id="{name}"' in text
        assert found.statistics[f"mean/{name}"] == variable.mean
    assert found.fingerprint == data[1].fingerprint


def test_the_seasonal_cycle_says_which_colour_is_which_split(data: tuple[Path, FieldData]) -> None:
    fields = data[1]
    legend = draw_variable(fields, "t2m", statistics_of(fields, "t2m")).axes[2].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][-3:] == ["train", "val", "test"]


@of_a_look
def test_the_page_needs_no_other_file_and_no_network(found: Exploration, folder: Path) -> None:
    sources: list[str] = []

    class Sources(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            sources.extend(value or "" for name, value in attrs if name in ("src", "href"))

    text = (folder / found.page).read_text()
    Sources().feed(text)
    assert len(sources) == 1 + len(REFERENCE_VARIABLES)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "{{" not in text


@of_a_look
def test_splits_and_gaps_are_told(found: Exploration, folder: Path, data: tuple[Path, FieldData]) -> None:
    splits = {row["split"]: row for row in rows_of(folder / "splits.csv")}
    fields = data[1]
    assert {split: int(row["days"]) for split, row in splits.items()} == {
        split: len(days) for split, days in fields.days.items()
    }
    gaps = rows_of(folder / "gaps.csv")
    missing = int(fields.day[-1] - fields.day[0]) + 1 - len(fields.day)
    assert missing > 0
    assert sum(int(row["missing"]) for row in gaps) == missing == found.statistics["days/missing"]
    assert found.report.count(f"{missing} days missing in {len(gaps)} gap") == 1
    longest = max(int(row["missing"]) for row in gaps)
    assert f"the longest of {longest} day" in found.report and found.report.count("crosses one") == 1
    assert (folder / PAGE).read_text("utf-8").count("crosses one") == 1
    assert all(note in found.report for note in fields.notes)


def test_statistics_are_those_of_a_slow_twin(data: tuple[Path, FieldData]) -> None:
    fields = data[1]
    for name in ("t2m", "q"):
        variable, valid = fields.variables[name], fields.valid[name]
        values = fields.fields[name].astype(np.float64) * variable.std + variable.mean
        result = statistics_of(fields, name)
        np.testing.assert_allclose(result.mean[valid], values.mean(0)[valid], rtol=1e-9)
        np.testing.assert_allclose(result.std[valid], values.std(0)[valid], rtol=1e-6)
        assert np.isnan(result.mean[~valid]).all()
        for band, shares in bands(fields, name).items():
            chosen = valid & (shares > 0)
            weights = fields.grids[variable.grid].weights[chosen].astype(np.float64)
            expected = np.average(values[:, chosen], axis=1, weights=weights)
            np.testing.assert_allclose(result.series[band], expected, rtol=1e-9)
        low, high = values[:, valid].min(), values[:, valid].max()
        assert (result.low.value, result.high.value) == pytest.approx((low, high))
        for extreme in (result.low, result.high):
            assert values[extreme.position][extreme.cell] == pytest.approx(extreme.value)


def test_the_climatology_has_no_value_where_no_year_has_days(make_fields) -> None:  # type: ignore[no-untyped-def]
    days = 40  # from 1 January on, in four years
    winters = make_fields(days=4 * days, jumps={days * year: 365 - days for year in (1, 2, 3)})
    for cycle in statistics_of(winters, "t2m").cycle.values():
        drawn = np.flatnonzero(np.isfinite(cycle))
        assert set(winters.day_of_year) <= set(drawn)
        assert len(drawn) <= len(set(winters.day_of_year)) + 2  # and one on each side


def test_means_are_by_hemisphere_where_a_grid_has_both(data: tuple[Path, FieldData]) -> None:
    assert list(bands(data[1], "u")) == ["north of the equator", "south of the equator"]
    assert list(bands(data[1], "t2m")) == ["all cells"]  # Europe


def test_tables_of_days_without_a_jump_and_with_some(make_fields) -> None:  # type: ignore[no-untyped-def]
    assert gap_table(make_fields(days=30)).empty
    jumping = make_fields(days=30, jumps={5: 3, 20: 1})
    assert gap_table(jumping).to_numpy().tolist() == [
        ["1990-01-05", "1990-01-09", 3],
        ["1990-01-23", "1990-01-25", 1],
    ]
    assert split_table(jumping)["jumps"].tolist() == [1, 1, 0]


def test_names_and_notes_cannot_write_the_page() -> None:
    texts = dict.fromkeys(("title", "summary", "gaps_text"), "x") | {"origin": "{{title}} <b>"}
    tables = {name: pd.DataFrame() for name in ("variables", "splits", "gaps")}
    text = page(texts, tables, ["a < b"], b"", {"<t>": b""})
    assert "{{title}} &lt;b&gt;" in text
    assert "a &lt; b" in text
    assert "<t>" not in text
