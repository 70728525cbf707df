"""A forecaster whose forecasts are known, and windows that begin on every day."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests import tasks
from trainables.water_mae.config import ForecastKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.forecast.forecast import LEAD_DAYS, ForecastOnly
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.task import WaterMAETask

NUM_DAYS, FIRST_OF_VAL = 200, 100


class Told(ForecastOnly):
    """Forecasts the flow to come with some errors that depend on the day and the place."""

    def __init__(self, data: WaterData, error: float) -> None:
        super().__init__()
        self.register_buffer("noise", noise(data, error), persistent=False)
        self.noise: Tensor

    def forecast(self, batch: Batch) -> Tensor:
        if "forecast_day" not in batch:  # of training windows
            return batch["forecast_target"]
        day = batch["forecast_day"] - 10_000
        leads = torch.arange(len(LEAD_DAYS))
        return batch["forecast_target"] + self.noise[day.clamp(max=len(self.noise) - 1), leads]


def noise(data: WaterData, error: float) -> Tensor:
    """Errors (day, lead, patch, member) of normalised log flow."""
    generator = torch.Generator().manual_seed(1)
    shape = (len(data.vectors), len(LEAD_DAYS), *data.vectors.shape[2:])
    return error * torch.randn(shape, generator=generator)


@pytest.fixture
def flood_task(config: WaterMAE) -> WaterMAETask:
    return WaterMAETask(config.model_copy(update={"forecast": ForecastKnobs(share=0.5)}))


@pytest.fixture
def long_data(make_data: Callable[..., WaterData]) -> WaterData:
    """Smooth flows of 200 days with gaps, from 100 on for validation, windows on every day."""
    data = make_data(num_days=NUM_DAYS)
    rng = np.random.default_rng(3)
    vectors = data.vectors.copy()
    walk = rng.standard_normal((NUM_DAYS + 2, *vectors.shape[2:]))
    vectors[:, 1] = (walk[2:] + walk[1:-1] + walk[:-2]) * data.geometry.member_valid
    observed = (rng.random(vectors.shape) > 0.03) & data.geometry.member_valid
    starts = np.arange(0, NUM_DAYS - 2)
    return replace(
        data,
        vectors=vectors,
        vector_observed=observed,
        vector_present=np.ones((NUM_DAYS, 2), bool),
        starts={"train": starts[: FIRST_OF_VAL - 3], "val": starts[FIRST_OF_VAL:]},
        ends={"train": FIRST_OF_VAL, "val": NUM_DAYS},
        std=np.array([1.0, 1.0, 1.0, 1.0, 0.7]),
    )


@pytest.fixture
def told(long_data: WaterData) -> Told:
    return Told(long_data, 0.5)


def scores(task: WaterMAETask, model: torch.nn.Module, data: WaterData, size: int = 100) -> dict[str, float]:
    """The metrics of the validation split, from batches of some size."""
    indices = np.arange(data.num_samples("val"))

    def states() -> Iterator[dict[str, object]]:
        for start in range(0, len(indices), size):
            batch = task.evaluation_batch(data, "val", indices[start : start + size])
            yield tasks.evaluate(task, model, batch)

    return tasks.summarize(task, tasks.added(states()))


def pairs(data: WaterData, told: Told, number: int) -> Iterator[tuple[int, tuple[int, int], float, float]]:
    """Yields day, place, observed and forecast normalised log flow of each day that counts at a lead time."""
    assert data.vector_observed is not None
    for start in data.starts["val"]:
        day = int(start) + data.sequence_length - 1 + LEAD_DAYS[number]
        if day >= data.ends["val"]:
            continue
        for patch, member in np.argwhere(data.vector_observed[day, 1]):
            seen = float(data.vectors[day, 1, patch, member])
            yield day, (patch, member), seen, seen + float(told.noise[day, number, patch, member])
