"""The linear part of forecasts: fitted to pairs of training days, and what an untrained network steps by."""

from typing import Any

import numpy as np
import pytest
import torch

from tests import tasks
from tests.trainables.geo_contrastive.conftest import MakeFields
from tests.trainables.geo_contrastive.forecast.conftest import MakeTask
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.downstream.regression import LatentRegression
from trainables.geo_contrastive.forecast.measure import ForecastSkill
from trainables.geo_contrastive.forecast.stepping import changes


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
def test_changes_over_a_stride_cross_no_jump(stride: int) -> None:
    rng = np.random.default_rng(0)
    day = np.arange(120)
    day[50:] += 3
    day[90:] += 7
    latents = torch.from_numpy(rng.normal(size=(120, 3)))
    before, change = changes(latents, torch.from_numpy(day), stride)
    place = {value: position for position, value in enumerate(day.tolist())}
    pairs = [(place[value], place[value + stride]) for value in day.tolist() if value + stride in place]
    assert len(pairs) == len(before)
    for (first, second), row, moved in zip(pairs, before, change, strict=True):
        assert torch.equal(row, latents[first])
        assert torch.equal(moved, latents[second] - latents[first])


@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_an_untrained_network_steps_by_the_regression(
    cell: str, data: FieldData, make_task: MakeTask
) -> None:
    task = make_task(cell=cell, linear=True)
    head = _begun(task, data).head
    assert isinstance(head.regression, LatentRegression)
    assert head.regression.weights.any()
    context = torch.randn(2, 3, 8)
    with torch.no_grad():
        first, second = head(context, 2).unbind(1)
    torch.testing.assert_close(first, context[:, -1] + head.regression(context[:, -1]))
    torch.testing.assert_close(second, first + head.regression(first))


def test_it_forecasts_waves_that_persistence_does_not(data: FieldData, make_task: MakeTask) -> None:
    with_it, without = (
        _skills(task, data, _begun(task, data)) for task in (make_task(linear=True), make_task(linear=False))
    )
    assert with_it["forecast_skill_persistence_1d"] > 0.3
    assert with_it["forecast_skill_climatology_10d"] > 0.5
    assert with_it["forecast_rrmse_3d"] < 0.8 * without["forecast_rrmse_3d"]


def test_a_trial_that_goes_on_keeps_the_regression(data: FieldData, make_task: MakeTask) -> None:
    task = make_task(linear=True)
    model = _begun(task, data)
    kept = torch.ones_like(model.head.get_buffer("regression.weights"))
    model.head.get_buffer("regression.weights").copy_(kept)
    tasks.prepare(task.stages()[-1], data, model)
    assert torch.equal(model.head.get_buffer("regression.weights"), kept)
