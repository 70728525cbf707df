"""Forecasts at the leads and their skill: against loops, and without reading what is to come."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests import tasks
from tests.trainables.geo_contrastive.conftest import MakeFields
from tests.trainables.geo_contrastive.forecast.conftest import MakeTask, anomalies_of, built, head_stage
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.forecast.baselines import CalendarForecast, PersistenceForecast
from trainables.geo_contrastive.forecast.measure import ForecastSkill, at
from trainables.geo_contrastive.forecast.predict import predict


@pytest.fixture(scope="module")
def data(make_fields: MakeFields) -> Any:
    """Fields of 190 days with a jump in each split."""
    return make_fields(190, jumps={12: 3, 118: 2, 156: 4}, sea=0.2)


def _all(task: Any, data: Any, split: str = "val") -> dict[str, torch.Tensor]:
    batch: dict[str, torch.Tensor] = task.evaluation_batch(data, split, np.arange(data.num_samples(split)))
    return batch


def _forecast(task: Any, model: Any, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return predict(model, batch, task.head_knobs)


def test_metrics_are_those_of_loops_over_days_and_cells(data: Any, make_task: MakeTask) -> None:
    task = make_task()
    model = built(task, data)
    tasks.prepare(head_stage(task), data, model)
    batch = _all(task, data)
    outputs = _forecast(task, model, batch)
    measure = ForecastSkill(tuple(data.variables))
    found = measure.summarize(measure.add(outputs, batch))
    days = data.days["val"]
    for place, lead in enumerate(LEADS):
        by_variable = []
        for name in data.variables:
            areas = data.grids[data.variables[name].grid].weights * data.valid[name]
            sums = np.zeros(4)
            for row, position in enumerate(days):
                then = position + lead
                if then >= days.stop or data.day[then] - data.day[position] != lead:
                    continue
                truth = data.fields[name][then].astype(np.float64)
                usual = data.climatology[name][data.day_of_year[then]]
                others = (
                    outputs[f"forecast/{name}"][row, place].numpy(),
                    0,
                    usual,
                    data.fields[name][position],
                )
                sums += [((truth - other) ** 2 * areas).sum() / areas.sum() for other in others]
            error, power, climatology, persistence = sums
            by_variable.append([(error / power) ** 0.5, 1 - error / climatology, 1 - error / persistence])
        rrmse, over_climatology, over_persistence = np.mean(by_variable, axis=0)
        name = "forecast_rrmse" if lead == 1 else at("forecast_rrmse", lead)
        assert found[name] == pytest.approx(rrmse, rel=1e-5)
        assert found[at("forecast_skill_climatology", lead)] == pytest.approx(over_climatology, rel=1e-5)
        assert found[at("forecast_skill_persistence", lead)] == pytest.approx(over_persistence, rel=1e-5)
    for name in ("forecast_skill_climatology", "forecast_skill_persistence"):
        assert found[name] == pytest.approx(np.mean([found[at(name, lead)] for lead in LEADS]))
    assert set(found) == {metric.name for metric in measure.metrics}


def test_the_calendar_and_the_day_of_issue_have_no_skill_against_themselves(
    data: Any, make_task: MakeTask
) -> None:
    batch = _all(make_task(), data)
    names = tuple(data.variables)
    measure = ForecastSkill(names)
    for kind, other in ((CalendarForecast, "climatology"), (PersistenceForecast, "persistence")):
        found = measure.summarize(measure.add(kind(names)(batch), batch))
        assert found[f"forecast_skill_{other}"] == pytest.approx(0, abs=1e-12)
        assert found["forecast_rrmse"] > 0


@pytest.mark.parametrize(
    ("context", "stride", "rest"),
    [(1, 1, "persists"), (3, 1, "dropped"), (3, 5, "dropped"), (3, 20, "dropped")],
)
def test_a_forecast_reads_neither_its_target_nor_anything_to_come(
    context: int, stride: int, rest: str, data: Any, make_task: MakeTask
) -> None:
    task = make_task(context=context, stride=stride, rest=rest)
    model = built(task, data)
    tasks.prepare(head_stage(task), data, model)
    days = data.days["val"]
    first = days.start + 8
    other = {name: values.copy() for name, values in data.fields.items()}
    for values in other.values():
        values[first:] += 1.0
    before = _forecast(task, model, _all(task, data))
    after = _forecast(task, model, _all(task, replace(data, fields=other)))
    for name, fields in before.items():
        same = (fields - after[name]).abs().amax((1, 2, 3)) < 1e-5
        assert same[:8].all()
        assert not same[8:].any()


@pytest.mark.parametrize("stride", [1, 5, 10, 20])
def test_a_lead_between_two_steps_lies_between_them(stride: int, data: Any, make_task: MakeTask) -> None:
    task = make_task(stride=stride, context=1, rest="dropped")
    model = built(task, data)
    tasks.prepare(head_stage(task), data, model)
    batch = _all(task, data)
    found = _forecast(task, model, batch)
    with torch.no_grad():
        latents = model.encode({name: batch[f"clean/{name}"] for name in data.variables})
        today = anomalies_of(model)(model.standardization(latents), batch["context_day_of_year"][:, -1])
        steps = model.head(today[:, None], -(-max(LEADS) // stride))
        path = [today, *model.head.combined(today[:, None], steps).unbind(1)]  # type: ignore[operator]
        path.append(path[-1])  # beyond the last lead, with a share of 0
        for place, lead in enumerate(LEADS):
            step, rest = divmod(lead, stride)
            amplitudes = path[step] + (path[step + 1] - path[step]) * (rest / stride)
            latent = anomalies_of(model).restore(amplitudes, batch["ahead_day_of_year"][:, place])
            for name, field in model.decode(model.standardization.restore(latent)).items():
                torch.testing.assert_close(found[f"forecast/{name}"][:, place], field, rtol=1e-4, atol=1e-5)


def test_trials_are_measured_on_the_same_days_whatever_they_read(data: Any, make_task: MakeTask) -> None:
    batches = [
        _all(make_task(context=context, stride=stride), data)
        for context, stride in ((1, 1), (30, 1), (5, 20))
    ]
    names = ["has_ahead", *(f"{what}/{name}" for name in data.variables for what in ("ahead", "clean"))]
    for name in names:
        assert torch.equal(batches[0][name], batches[1][name])
        assert torch.equal(batches[0][name], batches[2][name])
    assert make_task(context=1).protocol() == make_task(context=30, stride=5).protocol()


def test_the_rest_of_the_day_of_issue_is_added_as_long_as_it_lasts(data: Any, make_task: MakeTask) -> None:
    found = {}
    for rest in ("dropped", "persists"):
        task = make_task(rest=rest, patterns=0)  # with patterns the rest would be noise
        model = built(task, data)
        tasks.prepare(head_stage(task), data, model)
        batch = _all(task, data)
        found[rest] = _forecast(task, model, batch)
    days = data.days["train"]
    with torch.no_grad():
        for number, name in enumerate(data.variables):
            rests, areas = [], data.grids[data.variables[name].grid].weights * data.valid[name]
            for part in ("train", "val"):
                span = data.days[part]
                fields = {
                    key: torch.from_numpy(each[span.start : span.stop]) for key, each in data.fields.items()
                }
                rests.append(
                    (fields[name] - model.decode(model.encode(fields))[name]).numpy().astype(np.float64)
                )
            pairs = [day for day in range(len(days) - 1) if data.day[day + 1] - data.day[day] == 1]
            products = sum((rests[0][day] * rests[0][day + 1] * areas).sum() for day in pairs)
            memory = products / sum((rests[0][day] ** 2 * areas).sum() for day in pairs)
            assert 0 < memory < 1
            assert float(model.head.get_buffer("memory.daily")[number]) == pytest.approx(memory, rel=1e-3)
            usual = model.standardization.restore(anomalies_of(model).usual.float())
            hidden = data.climatology[name] - model.decode(usual)[name].numpy()
            today = hidden[data.day_of_year[data.days["val"].start : data.days["val"].stop]]
            for place, lead in enumerate(LEADS):
                added = (
                    found["persists"][f"forecast/{name}"][:, place]
                    - found["dropped"][f"forecast/{name}"][:, place]
                )
                exists = batch["has_ahead"][:, place].numpy()
                to_come = hidden[batch["ahead_day_of_year"][:, place].numpy()]
                expected = (to_come + memory**lead * (rests[1] - today))[exists]
                np.testing.assert_allclose(added.numpy()[exists], expected, rtol=1e-2, atol=2e-3)
