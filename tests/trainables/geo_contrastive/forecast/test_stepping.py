"""The propagator: fitted to pairs of training days, what an untrained network steps by, and bounded ever after."""

from typing import Any

import numpy as np
import pytest
import torch

from tests import tasks
from tests.trainables.geo_contrastive.conftest import MakeFields
from tests.trainables.geo_contrastive.forecast.conftest import MakeTask, anomalies_of
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.forecast.measure import ForecastSkill
from trainables.geo_contrastive.forecast.networks import Forecaster
from trainables.geo_contrastive.forecast.propagator import MAX_GAIN, pairs


@pytest.fixture(scope="module")
def data(make_fields: MakeFields) -> FieldData:
    """Fields of 300 days with jumps."""
    return make_fields(300, jumps={40: 3, 200: 2}, noise=0.2)


def _begun(task: Any, data: FieldData) -> HeadedModel:
    """Returns an untrained model whose head has the statistics of the training days."""
    torch.manual_seed(0)
    model = task.build(task.facts(data)).eval()
    tasks.prepare(task.stages()[-1], data, model)
    assert isinstance(model, HeadedModel)
    return model


def _skills(task: Any, data: FieldData, model: HeadedModel) -> dict[str, float]:
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    measure = ForecastSkill(tuple(data.variables))
    with torch.no_grad():
        return measure.summarize(measure.add(task.predict(model, batch), batch))


@pytest.mark.parametrize("stride", [1, 5])
def test_pairs_of_days_cross_no_jump(stride: int) -> None:
    day = np.arange(120)
    day[50:] += 3
    day[90:] += 7
    found = pairs(torch.from_numpy(day), stride)
    place = {value: position for position, value in enumerate(day.tolist())}
    expected = [(place[value], place[value + stride]) for value in day.tolist() if value + stride in place]
    assert list(zip(found.before.tolist(), found.after.tolist(), strict=True)) == expected


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_an_untrained_network_steps_by_the_propagator(
    cell: str, linear: bool, data: FieldData, make_task: MakeTask
) -> None:
    head = _begun(make_task(cell=cell, linear=linear), data).head
    assert isinstance(head, Forecaster)
    operator = head.inside.operator.float()
    assert not torch.allclose(operator, head.propagator.operator.float())
    assert not torch.equal(operator, torch.eye(8))
    assert bool((operator - operator[0, 0] * torch.eye(8)).abs().max() > 1e-3) == linear
    context = torch.randn(2, 3, 8)
    with torch.no_grad():
        first, second = head(context, 2).unbind(1)
    torch.testing.assert_close(first, context[:, -1] @ operator)
    torch.testing.assert_close(second, first @ operator)


def test_amplitudes_are_white_and_latents_come_back(data: FieldData, make_task: MakeTask) -> None:
    anomalies = anomalies_of(_begun(make_task(), data))
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(300, 8, generator=generator) @ torch.randn(8, 8, generator=generator)
    days = torch.arange(300)
    anomalies.fit(latents, days)
    found = anomalies(latents, days)
    torch.testing.assert_close(found.T @ found / 300, torch.eye(8), rtol=0, atol=2e-3)
    torch.testing.assert_close(anomalies.restore(found, days), latents, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_every_roll_out_stays_bounded_and_an_untrained_one_ends_at_the_calendar(
    cell: str, data: FieldData, make_task: MakeTask
) -> None:
    task = make_task(cell=cell, linear=True)
    model = _begun(task, data)
    head = model.head
    assert isinstance(head, Forecaster)
    assert float(torch.linalg.matrix_norm(head.propagator.operator, 2)) <= MAX_GAIN + 1e-6
    days = data.days["train"]
    fields = {name: torch.from_numpy(values[days.start : days.stop]) for name, values in data.fields.items()}
    calendar = torch.from_numpy(data.day_of_year[days.start : days.stop])
    with torch.no_grad():
        started = head.anomalies(model.standardization(model.encode(fields)), calendar)
        path = head(started[:, None].expand(-1, 3, -1), 300)
        lengths = torch.cat([started[:, None], path], dim=1).norm(dim=2)
        assert bool((lengths[:, 1:] <= lengths[:, :-1] * (MAX_GAIN + 1e-5) + 1e-12).all())
        # Whatever it learns, a network adds no more than so much in a step.
        torch.nn.init.normal_(head.change.weight, std=5.0)
        path = head(started[:, None].expand(-1, 3, -1), 300)
        largest = float(torch.linalg.matrix_norm(head.change.weight, 2)) + float(head.change.bias.norm())
        assert float(path.norm(dim=2).max()) <= float(lengths[:, 0].max()) + largest / (1 - MAX_GAIN)


def test_it_forecasts_waves_that_persistence_does_not(data: FieldData, make_task: MakeTask) -> None:
    with_it, without = (
        _skills(task, data, _begun(task, data)) for task in (make_task(linear=True), make_task(linear=False))
    )
    assert with_it["forecast_skill_persistence_1d"] > 0.3
    assert with_it["forecast_skill_climatology_10d"] > 0.5
    assert with_it["forecast_rrmse_3d"] < 0.8 * without["forecast_rrmse_3d"]
    assert without["forecast_skill_climatology_10d"] > -0.05


def test_a_trial_that_goes_on_keeps_the_propagator(data: FieldData, make_task: MakeTask) -> None:
    task = make_task(linear=True)
    model = _begun(task, data)
    names = ("propagator.operator", "anomalies.usual", "anomalies.axes", "anomalies.spread")
    for name in names:
        model.head.get_buffer(name).fill_(1.0)
    tasks.prepare(task.stages()[-1], data, model)
    assert all(bool((model.head.get_buffer(name) == 1.0).all()) for name in names)
