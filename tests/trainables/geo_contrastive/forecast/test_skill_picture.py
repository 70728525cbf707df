"""Errors over lead time, as a picture and as numbers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from tests.trainables.geo_contrastive.conftest import MakeFields
from tests.trainables.geo_contrastive.forecast.conftest import MakeTask, built
from thalweg.contract import Batch
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.forecast.skill_picture import draw_skill, errors_over_leads


@pytest.fixture(scope="module")
def data(make_fields: MakeFields) -> FieldData:
    return make_fields(days=250, jumps={170: 3}, sea=0.2)


def forecasting(make_task: MakeTask, data: FieldData, kind: str) -> Callable[[np.ndarray], Batch]:
    task = make_task()

    def fetch(indices: np.ndarray) -> Batch:
        batch = task.evaluation_batch(data, "val", indices)
        for name in data.variables:
            known = {
                "persistence": batch[f"clean/{name}"][:, None].expand(-1, len(LEADS), -1, -1),
                "climatology": batch[f"ahead_climatology/{name}"],
                "half": 0.5 * batch[f"ahead/{name}"],
            }
            batch[f"forecast/{name}"] = known[kind]
        return batch

    return fetch


@pytest.mark.parametrize("kind", ["persistence", "climatology"])
def test_a_forecast_that_is_a_baseline_has_its_curve(kind: str, make_task: MakeTask, data: FieldData) -> None:
    days = np.arange(data.num_samples("val"))
    curves = errors_over_leads(data, forecasting(make_task, data, kind), days)
    assert curves["forecast"] == pytest.approx(curves[kind], rel=1e-6)
    assert curves["persistence"] != pytest.approx(curves["climatology"], rel=0.05)


def test_an_error_is_that_of_the_days_that_exist(make_task: MakeTask, data: FieldData) -> None:
    found = errors_over_leads(data, forecasting(make_task, data, "half"), np.arange(40))
    assert found["forecast"] == pytest.approx([0.5] * len(LEADS))
    start, slow = data.days["val"].start, []
    for lead in LEADS:
        pairs = [
            (position, position + lead)
            for position in range(start, start + 40)
            if position + lead < data.days["val"].stop
            and data.day[position + lead] - data.day[position] == lead
        ]
        errors = []
        for name in data.variables:
            weights = data.grids["8x4"].weights * data.valid[name]
            fields = data.fields[name].astype(np.float64)
            error = sum(float((weights * (fields[now] - fields[then]) ** 2).sum()) for now, then in pairs)
            errors.append(
                (error / sum(float((weights * fields[then] ** 2).sum()) for _, then in pairs)) ** 0.5
            )
        slow.append(sum(errors) / len(errors))
    assert found["persistence"] == pytest.approx(slow, rel=1e-5)


@pytest.mark.slow
def test_the_pictures_of_a_trained_forecast_hold_its_curve(
    make_task: MakeTask, data: FieldData, tmp_path: Path
) -> None:
    task = make_task()
    task.draw(built(task, data), data, tmp_path)
    image = imread(tmp_path / "forecast_skill.png")
    assert image.shape[0] > 300 and image.std() > 0.05


def test_nothing_is_drawn_where_no_day_follows(
    make_task: MakeTask, make_fields: MakeFields, tmp_path: Path
) -> None:
    alone = make_fields(days=60, jumps=dict.fromkeys(range(1, 60), 1))
    draw_skill(alone, forecasting(make_task, alone, "half"), tmp_path)
    assert not list(tmp_path.iterdir())
    assert torch.is_grad_enabled()
