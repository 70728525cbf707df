"""Values that were filled or interpolated are shown to a model and count in no metric."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from trainables.water_mae.baselines import Climatology
from trainables.water_mae.config import ForecastKnobs, WaterMAE
from trainables.water_mae.data import WaterData
from trainables.water_mae.task import WaterMAETask


@pytest.fixture
def task(config: WaterMAE) -> WaterMAETask:
    return WaterMAETask(config.model_copy(update={"forecast": ForecastKnobs(share=0.5)}))


@pytest.fixture
def partly(data: WaterData) -> WaterData:
    """Random data of which a tenth is marked as filled."""
    rng = np.random.default_rng(1)
    images = rng.random(data.images.shape) < 0.9
    vectors = rng.random(data.vectors.shape) < 0.9
    return replace(data, image_observed=np.packbits(images, axis=-1), vector_observed=vectors)


def _metrics(task: WaterMAETask, data: WaterData) -> dict[str, float]:
    """Evaluates a predictor that sees nothing."""
    model = Climatology(*map(torch.tensor, data.climatology()))
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    sums: dict[str, Tensor] = dict(task.evaluate(model, batch))
    return task.summarize(sums)


def test_what_was_filled_changes_no_metric_whatever_it_is(task: WaterMAETask, partly: WaterData) -> None:
    observed = partly.observed("val", np.arange(partly.num_samples("val")))
    assert 0.85 < observed["image_observed"].mean() < 0.95
    assert partly.image_observed is not None and partly.vector_observed is not None
    seen = np.unpackbits(partly.image_observed, axis=-1, count=4).view(bool)
    other = replace(
        partly,
        images=np.where(seen, partly.images, np.float32(3)),
        vectors=np.where(partly.vector_observed, partly.vectors, np.float32(3)),
    )
    expected = _metrics(task, partly)
    assert set(expected) == set(task.measured())
    assert _metrics(task, other) == pytest.approx(expected, nan_ok=True)
    everything = replace(other, image_observed=None, vector_observed=None)
    for name, value in _metrics(task, everything).items():
        assert value != pytest.approx(expected[name]), name


def test_what_was_filled_stays_in_training_batches_and_their_shapes(
    task: WaterMAETask, data: WaterData, partly: WaterData
) -> None:
    indices = np.arange(4)
    before, after = (each.windows("train", indices) for each in (data, partly))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert not any(
        name.endswith("s_observed")
        for name in task.training_batch(partly, indices, indices.astype(np.uint64))
    )


def test_the_protocol_says_what_counts(task: WaterMAETask) -> None:
    assert task.protocol()["counted"] == "observed"


def test_interpolated_days_of_a_catchment_are_marked(tiny_root: Path, tiny: WaterData) -> None:
    (path,) = (tiny_root / "tiny").glob("*.parquet")
    table = pd.read_parquet(path)
    for number, column in enumerate(("evaporation", "riverflow")):
        series = table.pivot(index="date", columns="ID", values=column)[list(tiny.catchments)]
        for split in ("train", "val"):
            indices = np.arange(tiny.num_samples(split))
            found = tiny.observed(split, indices)["vector_observed"][:, number]
            for window, start in zip(found, tiny.starts[split], strict=True):
                known = series.iloc[start : start + 30].notna().to_numpy()
                assert np.array_equal(window.reshape(30, -1)[:, : len(tiny.catchments)], known)
                assert not window.reshape(30, -1)[:, len(tiny.catchments) :].any()
    assert tiny.vector_observed is not None
    gaps = ~tiny.vector_observed[:, 1].reshape(len(tiny.vectors), -1)[30:, : len(tiny.catchments)]
    assert gaps.any()
