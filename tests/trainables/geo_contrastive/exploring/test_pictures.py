"""Pictures show every variable in its unit, what was hidden, and the latent space."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import image
from torch import nn

from thalweg.contract import Batch, Outputs
from trainables.geo_contrastive.config import PRESETS, GeoContrastive
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.evaluation.latents import CLEAN
from trainables.geo_contrastive.evaluation.reconstruction import FIELD
from trainables.geo_contrastive.exploring import maps, pictures
from trainables.geo_contrastive.representation.task import RepresentationTask

VARIABLES = {"t2m": "8x4", "rain": "5x6"}


class Shifted(nn.Module):
    """Gives the true fields, a tenth of a standard deviation too high, and latents of two waves."""

    def forward(self, batch: Batch) -> Outputs:
        fields = {f"{FIELD}{name}": batch[f"clean/{name}"] + 0.1 for name in VARIABLES}
        angles = batch["day"].double()[:, None] * torch.tensor([0.1, 0.1, 0.0]) + torch.tensor(
            [0.0, 1.57, 0.0]
        )
        return fields | {CLEAN: torch.sin(angles)}


@pytest.fixture(scope="module")
def data(make_fields) -> FieldData:  # type: ignore[no-untyped-def]
    """A year and a half on a globe, and on a plane of which a third is sea, in units that are not their scores."""
    found: FieldData = make_fields(
        days=900, grids={"8x4": (8, 4), "5x6": (5, 6)}, variables=VARIABLES, projected=["5x6"], sea=0.3
    )
    scaled = {
        "t2m": replace(found.variables["t2m"], unit="K", level="850 hPa", mean=280.0, std=10.0),
        "rain": replace(found.variables["rain"], unit="mm day-1", mean=3.0, std=2.0),
    }
    return replace(found, variables=scaled)


@pytest.fixture(scope="module")
def task() -> RepresentationTask:
    """The task of both variables."""
    config: GeoContrastive = PRESETS["tiny"].vary(
        data={"variables": tuple(VARIABLES)}, encoder={"fusion": {"kind": "average"}}
    )
    return RepresentationTask(config)


@pytest.mark.slow
def test_there_is_a_map_of_each_variable_and_one_of_latents(
    task: RepresentationTask, data: FieldData, tmp_path: Path
) -> None:
    task.draw(Shifted(), data, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"latents.png", *(f"fields_{name}.png" for name in VARIABLES)}
    for path in tmp_path.iterdir():
        picture = image.imread(path)
        assert min(picture.shape[:2]) > 400
        assert picture[..., :3].std() > 0.01  # not an empty page


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIABLES)
def test_maps_hold_the_truth_what_was_seen_and_errors_in_units(
    task: RepresentationTask, data: FieldData, name: str
) -> None:
    chosen = pictures.one_day_of_each_season(data)
    batch = task.evaluation_batch(data, "val", chosen)
    figure = pictures.draw_maps(data, chosen, batch, Shifted()(batch), name)
    panels = figure.axes[: 4 * len(chosen)]
    variable, valid = data.variables[name], data.valid[name]
    first = data.days["val"].start + int(chosen[0])
    truth = data.fields[name][first] * variable.std + variable.mean
    drawn: list[np.ndarray] = [
        np.ma.getdata(np.ma.asarray(panel.collections[-1].get_array())).reshape(valid.T.shape).T
        for panel in panels[:4]
    ]
    for values, expected in ((drawn[0], truth), (drawn[2], truth + 0.1 * variable.std)):
        np.testing.assert_allclose(values[valid], expected[valid], rtol=1e-5)
        assert not np.isfinite(values[~valid]).any()
    np.testing.assert_allclose(drawn[3][valid], 0.1 * variable.std, rtol=1e-3)
    seen = np.isfinite(drawn[1])
    assert np.array_equal(seen, batch[f"view/{name}"][0, 0].numpy() != 0)
    assert 0 < seen.sum() < valid.sum()
    assert variable.unit in figure.get_suptitle()
    assert panels[0].get_ylabel() == str(np.datetime64(int(data.day[first]), "D"))
    figure.draw_without_rendering()
    ticks = [label.get_text() for label in panels[-1].get_xticklabels()]
    assert any("km" in tick for tick in ticks) == (name == "rain")


def test_one_day_of_each_season_is_drawn_in_the_order_of_time(data: FieldData) -> None:
    chosen = pictures.one_day_of_each_season(data)
    assert list(chosen) == sorted(chosen)
    seasons = data.season[data.days["val"].start + chosen]
    val = data.season[data.days["val"].start : data.days["val"].stop]
    assert sorted(seasons) == sorted(set(val))


def test_the_map_of_latents_shows_all_finite_days_by_season(data: FieldData) -> None:
    days = np.arange(100)
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((100, 6)) * [9, 3, 1, 1, 1, 1]
    latents[7] = np.nan
    seasons, path = pictures.draw_latents(data, days, latents).axes
    assert sum(len(np.asarray(each.get_offsets())) for each in seasons.collections) == 99
    assert len(path.lines) == pictures.MAX_JOINED - 2  # the gap of the day that is left out
    _, sizes, _ = np.linalg.svd(np.delete(latents, 7, 0) - np.delete(latents, 7, 0).mean(0))
    assert f"{sizes[0] ** 2 / (sizes**2).sum():.0%}" in seasons.get_xlabel()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_map_of_latents_holds_few_finite_days(data: FieldData, count: int, tmp_path: Path) -> None:
    latents = np.full((3, 6), np.nan)
    latents[:count] = np.random.default_rng(0).standard_normal((count, 6))
    figure = pictures.draw_latents(data, np.arange(3), latents)
    assert sum(len(np.asarray(each.get_offsets())) for each in figure.axes[0].collections) == count
    figure.savefig(tmp_path / "latents.png")


def test_maps_of_a_flat_domain_are_wider_and_fill_their_rows() -> None:
    longitudes = np.arange(-180.0, 180.0, 22.5)
    globe = Grid("globe", longitudes, np.linspace(-85.0, 85.0, 8), True)
    flat = Grid("flat", longitudes, np.linspace(32.5, 67.5, 8), True)
    sizes = [maps.page(3, 4, grid).get_size_inches() for grid in (globe, flat)]
    assert sizes[1][0] > 1.3 * sizes[0][0]
    map_height = sizes[1][0] / 4 * maps.aspect(flat)
    assert 0.4 < map_height < sizes[1][1] / 3 < 2.5 * map_height + 0.5


def test_days_of_other_calendars_are_named_by_their_number(data: FieldData) -> None:
    assert maps.date_of(data, 0) == "1990-01-01"
    assert maps.date_of(replace(data, year=data.year - 1), 0) == "1989, day 1"


@pytest.mark.parametrize("size", [1e-3, 1.0, 2e5])
def test_labels_of_a_narrow_colour_bar_stand_apart(data: FieldData, size: float) -> None:
    grid = data.grids["8x4"]
    figure = maps.page(1, 4, grid)
    axes = figure.subplots(1, 4, squeeze=False)
    error = size * np.linspace(-1.7, 2.3, grid.shape[0] * grid.shape[1]).reshape(grid.shape)
    for place in axes[0]:
        mesh = maps.draw_map(place, grid, error, maps.symmetric_scale(error), "RdBu_r")
    maps.add_bar(figure, mesh, axes[:, 3:])
    figure.draw_without_rendering()
    labels = [label for label in figure.axes[-1].get_xticklabels() if label.get_text()]
    boxes = sorted(tuple(label.get_window_extent().extents) for label in labels)
    assert len(boxes) >= 2
    assert all(left[2] < right[0] for left, right in pairwise(boxes))
