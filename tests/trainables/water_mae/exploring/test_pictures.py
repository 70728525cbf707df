"""Pictures show what was hidden, what was seen and what a model gave."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import image
from torch import nn

from trainables.water_mae.config import WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.evaluation.protocol import hidden_values
from trainables.water_mae.exploring import pictures
from trainables.water_mae.knobs import PUBLISHED_SET
from trainables.water_mae.model.batch import Batch, Predictions
from trainables.water_mae.task import WaterMAETask


class Shifted(nn.Module):
    """Gives the hidden values, shifted."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, batch: Batch) -> Predictions:
        return {
            name: hidden_values(batch, PUBLISHED_SET.places[name])[0] + self.by
            for name in PUBLISHED_SET.names
        }


@pytest.fixture
def scaled(data: WaterData) -> WaterData:
    """Data whose units are not their scores."""
    return replace(data, mean=np.arange(5) / 10.0, std=np.arange(5) + 1.0)


def fetch(config: WaterMAE, data: WaterData) -> Callable[[np.ndarray], Batch]:
    return lambda indices: WaterMAETask(config).evaluation_batch(data, "val", indices)


@pytest.mark.slow
def test_there_is_a_map_of_each_modality_and_hydrographs(
    config: WaterMAE, scaled: WaterData, tmp_path: Path
) -> None:
    WaterMAETask(config).draw(Shifted(0.1), scaled, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"hydrographs.png"} | {f"maps_{name}.png" for name in PUBLISHED_SET.names}
    for path in tmp_path.iterdir():
        picture = image.imread(path)
        assert min(picture.shape[:2]) > 200
        assert picture[..., :3].std() > 0.01  # not an empty page


@pytest.mark.parametrize("name", ["temperature", "river_flow"])
def test_maps_hold_the_truth_and_what_the_model_gave(config: WaterMAE, scaled: WaterData, name: str) -> None:
    batch = fetch(config, scaled)(np.array([2]))
    days = pictures._days(scaled, batch, Shifted(0.1)(batch), name, int(scaled.starts["val"][2]))
    kind, index = PUBLISHED_SET.places[name]
    number = PUBLISHED_SET.names.index(name)
    assert days.dates == [
        str(np.datetime64(int(scaled.epoch_day[scaled.starts["val"][2] + step]), "D")) for step in range(3)
    ]
    valid = batch[f"{kind}_valid"][0].numpy()
    for step, patch in np.ndindex(*days.visible.shape):
        hidden = patch in batch[f"{kind}_masked"][0, index, step].tolist()
        assert days.visible[step, patch] == (not hidden)
        scores = batch[f"{kind}s"][0, index, step, patch].double().numpy()
        for shown, given in ((days.truth, scores), (days.given, scores + 0.1 * hidden)):
            values = given * scaled.std[number] + scaled.mean[number]
            values = np.clip(np.exp(values) - 1e-6, 0, 1e4) if name == "river_flow" else values
            expected = np.where(valid[patch], values, np.nan)
            np.testing.assert_allclose(shown[step, patch], expected, rtol=1e-5)


def test_errors_are_drawn_of_hidden_catchments_alone(config: WaterMAE, scaled: WaterData) -> None:
    batch = fetch(config, scaled)(np.array([2]))
    days = pictures._days(scaled, batch, Shifted(0.1)(batch), "evaporation", 0)
    figure = pictures._maps(scaled, days, "evaporation")
    panels = [axis for axis in figure.axes if axis.get_xticks().size == 0 and axis.collections]
    errors = np.ma.masked_invalid(np.array(panels[3].collections[0].get_array()))
    hidden = ~days.visible[0] & np.isfinite(days.truth[0]).any(axis=1)
    drawn = np.isfinite(days.truth[0][hidden])
    assert 0 < errors.count() == drawn.sum() < np.isfinite(days.truth[0]).sum()
    number = PUBLISHED_SET.names.index("evaporation")
    np.testing.assert_allclose(errors.compressed(), 0.1 * scaled.std[number], rtol=1e-5)


def test_maps_show_the_most_varied_window(data: WaterData) -> None:
    loud = data.images.copy()
    first = int(data.starts["val"][3])
    loud[first : first + 3, 0] *= 10
    assert pictures._most_varied(replace(data, images=loud)) == 3


def test_hydrographs_hold_hidden_days_only(config: WaterMAE, scaled: WaterData) -> None:
    truth, given, dates = pictures._record(Shifted(0.0), scaled, fetch(config, scaled), "river_flow")
    first = int(scaled.starts["val"][0])
    assert truth.shape == given.shape == (len(dates), 13)
    assert str(dates[0]) == str(np.datetime64(int(scaled.epoch_day[first]), "D"))
    flows = np.exp(scaled.vectors[first : first + len(dates), 1].astype(np.float64) * 5.0 + 0.4) - 1e-6
    flows = np.minimum(flows.reshape(len(dates), -1)[:, :13], 1e4)
    np.testing.assert_allclose(truth, np.maximum(flows, 0), rtol=1e-5)
    hidden = np.isfinite(given)
    assert 0.5 < hidden.mean() < 0.9  # every other patch, in windows that overlap
    np.testing.assert_allclose(given[hidden], truth[hidden])


def test_catchments_are_ranked_by_the_nse_of_hidden_days() -> None:
    rng = np.random.default_rng(0)
    truth = rng.lognormal(size=(40, 4))
    given = truth + rng.standard_normal(truth.shape) * np.array([0.5, 0.0, 2.0, 1.0])
    given[rng.random(truth.shape) < 0.5] = np.nan
    given[:, 3] = np.nan
    order, scores = pictures._ranked(truth, given)
    assert order.tolist() == [2, 0, 1]
    assert np.isnan(scores[3])
    here = np.isfinite(given[:, 0])
    seen = truth[here, 0]
    expected = 1 - ((given[here, 0] - seen) ** 2).sum() / ((seen - seen.mean()) ** 2).sum()
    assert scores[0] == pytest.approx(expected)


@pytest.mark.slow
def test_years_without_rivers_have_no_hydrographs(config: WaterMAE, data: WaterData, tmp_path: Path) -> None:
    present = data.vector_present.copy()
    present[:, 1] = False
    with torch.no_grad():
        WaterMAETask(config).draw(Shifted(0.1), replace(data, vector_present=present), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"maps_{name}.png" for name in PUBLISHED_SET.names}
