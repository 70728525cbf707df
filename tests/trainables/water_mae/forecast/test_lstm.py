"""The LSTM: its loss by the published formula, its inputs, and what it is trained on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainables.water_mae.forecast.conftest import scores
from trainables.water_mae.baselines.simple import Persistence
from trainables.water_mae.config import PRESETS
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.forecast import lstm
from trainables.water_mae.forecast.forecast import LEAD_DAYS, ForecastOnly
from trainables.water_mae.forecast.lstm import CatchmentLSTM
from trainables.water_mae.knobs import PUBLISHED_SET
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.task import WaterMAETask


def network(data: WaterData) -> CatchmentLSTM:
    torch.manual_seed(0)
    patches = lstm.local_patches(data, lstm.training_windows(data, "river_flow"))
    static = torch.tensor(data.geometry.static)
    return CatchmentLSTM(data.modalities, "river_flow", static, patches).requires_grad_(False)


def test_nse_star_is_the_published_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    flow, target = torch.rand(2, 5, 3, generator=generator).double()
    counts, std = torch.rand(5, 3, generator=generator) < 0.7, torch.rand(5, generator=generator).double()
    total = 0.0
    for row, lead in counts.nonzero().tolist():
        total += float((flow[row, lead] - target[row, lead]) ** 2 / (std[row] + 0.1) ** 2)
    assert 0 < counts.sum() < 15
    assert float(lstm.nse_star(flow, target, counts, std + 0.1)) == pytest.approx(total / int(counts.sum()))
    assert float(lstm.nse_star(flow, target, torch.zeros_like(counts), std + 0.1)) == 0


def test_a_new_network_repeats_the_last_day(flood_task: WaterMAETask, long_data: WaterData) -> None:
    batch = flood_task.evaluation_batch(long_data, "val", np.arange(5))
    assert torch.equal(network(long_data).forecast(batch), Persistence(PUBLISHED_SET, 1).forecast(batch))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def test_forecasts_follow_the_published_equations(flood_task: WaterMAETask, data: WaterData) -> None:
    """Eqs. of the forget, input and output gate, the cell and the hidden state, day after day, in numpy."""
    ours = network(data)
    torch.nn.init.normal_(ours.head.weight)
    torch.nn.init.normal_(ours.head.bias)
    batch = flood_task.evaluation_batch(data, "val", np.array([1, 4]))
    found = ours.forecast(batch)
    weights = {name: value.double().numpy() for name, value in ours.state_dict().items()}
    pixels = batch["image_valid"][0].numpy()
    for sample, patch, member in np.ndindex(2, 5, 3):
        hidden = cell = np.zeros(lstm.HIDDEN)
        near = int(ours.patches[patch, member])
        for step in range(3):
            rain_to_air = batch["images"][sample, :, step, near].double().numpy()[:, pixels[near]].mean(1)
            own = batch["vectors"][sample, :, step, patch, member].double().numpy()
            x = np.concatenate([rain_to_air, own, data.geometry.static[patch, member]])
            gates = weights["lstm.weight_ih_l0"] @ x + weights["lstm.weight_hh_l0"] @ hidden
            gates = gates + weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"]
            i, f, g, o = np.split(gates, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            hidden = sigmoid(o) * np.tanh(cell)
        change = weights["head.weight"] @ hidden + weights["head.bias"]
        last = float(batch["vectors"][sample, 1, -1, patch, member])
        np.testing.assert_allclose(found[sample, :, patch, member], last + change, atol=1e-5)


def test_the_weather_of_a_catchment_is_that_of_the_patch_whose_rain_raises_its_flow(data: WaterData) -> None:
    """Each catchment rises by the rain of a patch of its own."""
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 6, size=(5, 3))
    valid = data.geometry.pixel_valid
    rain = (data.images[:, 0] * valid).sum(2) / valid.sum(1)
    vectors = data.vectors.copy()
    rise = rain[:, patches] + 0.1 * rng.standard_normal((60, 5, 3))
    vectors[1:, 1] = rise[:-1].cumsum(0)
    vectors[:, 1] *= data.geometry.member_valid
    wet = replace(data, vectors=vectors, vector_present=np.ones((60, 2), bool))
    found = lstm.local_patches(wet, lstm.training_windows(wet, "river_flow")).numpy()
    there = data.geometry.member_valid
    assert np.array_equal(found[there], patches[there])


@pytest.mark.slow
def test_it_is_trained_on_training_days_alone_and_always_alike(long_data: WaterData) -> None:
    images, vectors = long_data.images.copy(), long_data.vectors.copy()
    images[100:] += 3
    vectors[100:] -= 2
    assert long_data.vector_observed is not None
    observed = long_data.vector_observed.copy()
    observed[100:] ^= long_data.geometry.member_valid
    other = replace(long_data, images=images, vectors=vectors, vector_observed=observed)
    before = torch.get_rng_state()
    first, again, others = (
        lstm.fit(each, "river_flow").state_dict() for each in (long_data, long_data, other)
    )
    assert torch.equal(before, torch.get_rng_state())
    for name, value in first.items():
        assert torch.equal(value, again[name]) and torch.equal(value, others[name])
    assert first["head.weight"].any()


def test_without_observed_flow_it_repeats_the_last_day(
    flood_task: WaterMAETask, long_data: WaterData
) -> None:
    nothing = replace(long_data, vector_present=np.zeros_like(long_data.vector_present))
    batch = flood_task.evaluation_batch(long_data, "val", np.arange(2))
    assert torch.equal(
        lstm.fit(nothing, "river_flow").forecast(batch), Persistence(PUBLISHED_SET, 1).forecast(batch)
    )


class Alone(ForecastOnly):
    """Persistence, which reconstructs nothing here."""

    def forecast(self, batch: Batch) -> torch.Tensor:
        return Persistence(PUBLISHED_SET, 1).forecast(batch)


@pytest.mark.slow
def test_it_learns_more_than_persistence(tiny_root: Path) -> None:
    task = WaterMAETask(PRESETS["tiny"].vary(forecast={"share": 0.5}))
    data = task.open(tiny_root)
    ours, theirs = (scores(task, each, data) for each in (lstm.fit(data, "river_flow"), Alone()))
    for lead in LEAD_DAYS[:2]:
        assert ours[f"nse_forecast_{lead}d"] > theirs[f"nse_forecast_{lead}d"]
