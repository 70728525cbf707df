"""A forecast's task on small fields in memory."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from thalweg.stage_contract import Stage
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.forecast.anomalies import LatentAnomalies
from trainables.geo_contrastive.forecast.networks import Forecaster
from trainables.geo_contrastive.forecast.task import ForecastTask

MakeTask = Callable[..., ForecastTask]


def _task(patterns: int = 8, **downstream: Any) -> ForecastTask:
    knobs: dict[str, Any] = {"hidden": 8, "context": 3, "horizon": 2} | downstream
    return ForecastTask(
        PRESETS["tiny_forecast"].vary(
            encoder={"latent_dim": 8, "width": 4, "patterns": patterns}, downstream=knobs
        )
    )


def built(task: ForecastTask, data: Any) -> HeadedModel:
    """Returns the model of a task in evaluation mode, with a head that does not persist, and that forecasts follow."""
    torch.manual_seed(0)
    model = task.build(task.facts(data)).eval()
    assert isinstance(model, HeadedModel)
    torch.nn.init.normal_(model.head.change.weight, std=0.3)  # type: ignore[arg-type, union-attr]
    torch.nn.init.constant_(model.head.trust.steps, 1.0)  # type: ignore[arg-type, union-attr]
    return model


def anomalies_of(model: HeadedModel) -> LatentAnomalies:
    """Returns what tells a head of amplitudes."""
    assert isinstance(model.head, Forecaster)
    return model.head.anomalies


def head_stage(task: ForecastTask) -> Stage:
    """Returns the stage of the head."""
    return task.stages()[-1]


@pytest.fixture(scope="session")
def make_task() -> MakeTask:
    """Makes the tiny task; its arguments are the number of patterns of the encoder and knobs of the forecast."""
    return _task
