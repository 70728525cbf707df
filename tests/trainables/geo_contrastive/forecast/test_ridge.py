"""Ridge regression on leading patterns: better than what needs no fit, fitted to training days alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.geo_contrastive.conftest import MakeFields
from tests.trainables.geo_contrastive.forecast.conftest import MakeTask
from trainables.geo_contrastive.downstream import ridge as fits
from trainables.geo_contrastive.forecast import ridge
from trainables.geo_contrastive.forecast.measure import ForecastSkill


@pytest.fixture(scope="module")
def data(make_fields: MakeFields) -> Any:
    """Fields of 300 days with jumps."""
    return make_fields(300, jumps={40: 3, 200: 2}, sea=0.2, noise=0.2)


def _batch(task: Any, data: Any) -> dict[str, torch.Tensor]:
    batch: dict[str, torch.Tensor] = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    return batch


def test_it_forecasts_travelling_waves_better_than_calendar_and_persistence(
    data: Any, make_task: MakeTask
) -> None:
    fitted = ridge.fit(data)
    assert fitted is not None
    batch = _batch(make_task(), data)
    measure = ForecastSkill(tuple(data.variables))
    found = measure.summarize(measure.add(fitted(batch), batch))
    # The waves are linear: what is left is noise, 0.04 of a variance of about 0.4.
    assert found["forecast_skill_climatology_10d"] > 0.7
    assert found["forecast_skill_persistence_1d"] > 0.3


def test_it_learns_from_training_days_alone_and_reads_nothing_to_come(data: Any, make_task: MakeTask) -> None:
    first = data.days["val"].start + 10
    other = {name: values.copy() for name, values in data.fields.items()}
    for values in other.values():
        values[first:] += 1.0
    changed = replace(data, fields=other)
    fitted, again = ridge.fit(data), ridge.fit(changed)
    assert fitted is not None
    assert again is not None
    for name, values in fitted.named_buffers():
        assert torch.equal(values, again.get_buffer(name))
    before, after = (fitted(_batch(make_task(), each)) for each in (data, changed))
    for name, fields in before.items():
        assert torch.equal(fields[:10], after[name][:10])
        assert not torch.equal(fields[10:], after[name][10:])


def test_too_few_days_leave_it_out(make_fields: MakeFields, make_task: MakeTask) -> None:
    data = make_fields(60, jumps=dict.fromkeys(range(5, 60, 5), 2))
    assert ridge.fit(data) is None
    assert "forecast_ridge" not in make_task().baselines(data)


def test_it_is_the_solution_of_the_normal_equations() -> None:
    generator = torch.Generator().manual_seed(0)
    members = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    target = torch.randn(50, 2, generator=generator, dtype=torch.float64)
    found = fits._solve(members, target, 0.1)
    penalty = 0.1 * (members.square().sum(0).mean())
    gradient = members.T @ (members @ found - target) + penalty * found
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-10)
