"""Flow that was predicted as a logarithm is measured as a mean in mm/day, for models and baselines alike."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests import tasks
from tests.trainables.water_mae.conftest import catchment_sums
from trainables.water_mae.baselines.simple import Climatology, Persistence
from trainables.water_mae.config import ForecastKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.evaluation import metrics
from trainables.water_mae.forecast import forecast
from trainables.water_mae.knobs import PUBLISHED_SET
from trainables.water_mae.task import WaterMAETask

SIGMA = 1.2


class MeanLog(Climatology):
    """Knows the mean of the logarithm, 0, and nothing else."""

    def __init__(self, data: WaterData) -> None:
        images, vectors = (torch.zeros(each.shape) for each in data.climatology())
        super().__init__(images, vectors, data.modalities, data.modalities.places["river_flow"].position)


@pytest.fixture
def lognormal(make_data: Callable[..., WaterData]) -> WaterData:
    """Independent flows exp(1.2 x normal) of 6 catchments: the mean is exp(0.72), 2.05 times the exponential of 0."""
    made = make_data(num_days=1500, num_catchments=6, num_members=2, num_patches=2)
    starts = np.arange(0, 1500 - made.sequence_length + 1, 2)
    return replace(
        made,
        starts={"train": starts[starts < 700 - made.sequence_length], "val": starts[starts >= 700]},
        ends={"train": 700, "val": 1500},
        std=np.array([1, 1, 1, 1, SIGMA]),
        vector_present=np.ones_like(made.vector_present),
        vectors=np.random.default_rng(3).standard_normal(made.vectors.shape).astype(np.float32),
    )


def moments(sums: dict[str, Any], name: str) -> dict[str, torch.Tensor]:
    """Those of each catchment over all years."""
    return metrics.named(sums[f"Efficiency.{name}"].by(0).values, metrics.MOMENTS)


def everything(task: WaterMAETask, data: WaterData) -> dict[str, Any]:
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    return dict(tasks.evaluate(task, MeanLog(data), batch))


def test_the_mean_of_a_lognormal_has_nse_zero_and_no_bias(config: WaterMAE, lognormal: WaterData) -> None:
    task = WaterMAETask(config)
    sums = everything(task, lognormal)
    factor = metrics.mean_factor(moments(sums, "training"))
    assert float(factor.mean()) == pytest.approx(math.exp(SIGMA**2 / 2), rel=0.1)
    found = tasks.summarize(task, sums)
    assert found["nse_river_flow"] == pytest.approx(0, abs=0.03)
    # No correlation, no variability, no bias: Knoben et al. (2019), doi:10.5194/hess-23-4323-2019, Eq. 4.
    assert found["kge_river_flow"] == pytest.approx(1 - math.sqrt(2), abs=0.03)
    plain = moments(sums, "flow")
    assert metrics.median(metrics.nse(plain)) < -0.05
    assert metrics.median(metrics.kge(plain)) < 1 - math.sqrt(2) - 0.05


def test_forecasts_are_means_too(config: WaterMAE, lognormal: WaterData) -> None:
    task = WaterMAETask(config.model_copy(update={"forecast": ForecastKnobs(share=0.5)}))
    found = tasks.summarize(task, everything(task, lognormal))
    for days in forecast.LEAD_DAYS:
        assert found[f"nse_forecast_{days}d"] == pytest.approx(0, abs=0.03)


def test_the_factor_is_the_ratio_of_seen_to_given_water_with_ten_pooled_days() -> None:
    rng = np.random.default_rng(0)
    seen, given = rng.lognormal(size=(2, 7, 5, 2))
    counts = rng.random((7, 5, 2)) < 0.7
    counts[:, 4] = False  # two catchments that were never hidden
    patches = torch.arange(5).expand(1, 7, 5)
    there = torch.tensor(counts)[None]
    sums = catchment_sums(torch.tensor(given)[None], torch.tensor(seen)[None], there, patches, 5)
    factor = metrics.mean_factor(sums)
    pooled = seen[counts].sum() / given[counts].sum()
    for patch, member in np.ndindex(5, 2):
        here = counts[:, patch, member]
        count = here.sum()
        own = seen[here, patch, member].sum() / given[here, patch, member].sum() if count else 1.0
        expected = (count * own + 10 * pooled) / (count + 10)
        assert float(factor[patch, member]) == pytest.approx(expected)
    both = metrics.scaled(sums, factor)
    again = catchment_sums(
        (torch.tensor(given) * factor)[None], torch.tensor(seen)[None], torch.tensor(counts)[None], patches, 5
    )
    assert all(torch.allclose(both[name], again[name]) for name in again)


def test_where_nothing_was_hidden_or_given_flow_stays_as_it_is() -> None:
    names = ("count", "seen", "seen_square", "given", "given_square", "product")
    nothing = {name: torch.zeros(2, 3, dtype=torch.float64) for name in names}
    assert metrics.mean_factor(nothing).tolist() == [[1.0] * 3] * 2
    broken = nothing | {
        "count": nothing["count"] + 4,
        "seen": nothing["seen"] + 1,
        "given": nothing["given"] * math.nan,
    }
    assert metrics.mean_factor(broken).tolist() == [[1.0] * 3] * 2


def test_the_factor_knows_the_training_split_alone(config: WaterMAE, lognormal: WaterData) -> None:
    task = WaterMAETask(config)
    late = np.arange(len(lognormal.vectors))[:, None, None, None] >= 700
    other = replace(lognormal, vectors=np.where(late, np.float32(2), lognormal.vectors))
    first, second = (
        metrics.mean_factor(moments(everything(task, each), "training")) for each in (lognormal, other)
    )
    assert torch.equal(first, second)


def test_the_factor_does_not_follow_a_searched_knob(config: WaterMAE, lognormal: WaterData) -> None:
    task = WaterMAETask(config)
    other = replace(lognormal, starts=lognormal.starts | {"train": lognormal.starts["train"][::5]})
    first, second = (tasks.tensors(everything(task, each)) for each in (lognormal, other))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_batches_and_their_order_change_no_sum(config: WaterMAE, lognormal: WaterData) -> None:
    task, predictor = WaterMAETask(config), Persistence(PUBLISHED_SET)
    count = lognormal.num_samples("val")
    batches = [
        task.evaluation_batch(lognormal, "val", part)
        for part in (np.arange(count), *np.array_split(np.arange(count), 9)[::-1])
    ]
    whole, *parts = (tasks.evaluate(task, predictor, batch) for batch in batches)
    summed = tasks.tensors(tasks.added(parts))
    for name, value in tasks.tensors(whole).items():
        torch.testing.assert_close(summed[name], value)
