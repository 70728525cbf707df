"""Values that were filled count in no metric and no loss, and patches without data show nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests import tasks
from thalweg.stage_contract import Progress
from trainables.water_mae.baselines.simple import Climatology
from trainables.water_mae.config import ForecastKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.knobs import PUBLISHED_SET
from trainables.water_mae.model import loss
from trainables.water_mae.model.autoencoder import seen
from trainables.water_mae.task import WaterMAETask

RIVER_FLOW = PUBLISHED_SET.places["river_flow"].position


def usual(data: WaterData) -> Climatology:
    images, vectors = map(torch.tensor, data.climatology())
    return Climatology(images, vectors, PUBLISHED_SET, RIVER_FLOW)


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
    model = usual(data)
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    return tasks.metrics(task, model, batch)


def test_what_was_filled_changes_no_metric_whatever_it_is(task: WaterMAETask, partly: WaterData) -> None:
    observed = partly.observed("val", np.arange(partly.num_samples("val")))
    assert 0.85 < observed["image_observed"].mean() < 0.95
    assert partly.image_observed is not None and partly.vector_observed is not None
    known = np.unpackbits(partly.image_observed, axis=-1, count=4).view(bool)
    other = replace(
        partly,
        images=np.where(known, partly.images, np.float32(3)),
        vectors=np.where(partly.vector_observed, partly.vectors, np.float32(3)),
    )
    expected = _metrics(task, partly)
    assert set(expected) == set(tasks.names(task))
    assert _metrics(task, other) == pytest.approx(expected, nan_ok=True)
    everything = replace(other, image_observed=None, vector_observed=None)
    for name, value in _metrics(task, everything).items():
        assert value != pytest.approx(expected[name]), name


def test_what_was_filled_is_no_target_of_training_whatever_it_is(
    task: WaterMAETask, partly: WaterData
) -> None:
    assert partly.image_observed is not None and partly.vector_observed is not None
    known = np.unpackbits(partly.image_observed, axis=-1, count=4).view(bool)
    other = replace(
        partly,
        images=np.where(known, partly.images, np.float32(3)),
        vectors=np.where(partly.vector_observed, partly.vectors, np.float32(3)),
    )
    model = usual(partly)
    indices = np.arange(8, 14)
    batches = [task.training_batch(each, indices, indices.astype(np.uint64)) for each in (partly, other)]
    assert not torch.equal(batches[0]["images"], batches[1]["images"])
    for norm_target in (False, True):
        losses = [
            loss.reconstruction(model(batch), batch, PUBLISHED_SET.places, norm_target=norm_target)
            for batch in batches
        ]
        for name in PUBLISHED_SET.names:
            assert torch.equal(losses[0][name], losses[1][name])
            assert losses[0][name].all()


def test_a_sample_of_which_nothing_hidden_is_data_does_not_count(task: WaterMAETask, data: WaterData) -> None:
    vectors = np.ones(data.vectors.shape, bool)
    vectors[16:19, 1] = False
    gappy = replace(data, vector_observed=vectors & data.geometry.member_valid)
    indices = np.array([8, 10])  # windows of 3 days that begin on days 16 and 20
    batch = task.training_batch(gappy, indices, indices.astype(np.uint64))
    counts = tasks.counts(task, batch, Progress(samples=0, total_samples=100, stage="train", stage_ratio=0.0))
    assert counts["river_flow"] == 1
    assert counts["evaporation"] == counts["temperature"] == 2


def test_a_patch_without_data_shows_nothing_but_its_place(task: WaterMAETask, data: WaterData) -> None:
    images = np.broadcast_to(data.geometry.pixel_valid, data.images.shape).copy()
    vectors = np.broadcast_to(data.geometry.member_valid, data.vectors.shape).copy()
    without = np.zeros(images.shape, bool), np.zeros(vectors.shape, bool)
    without[0][::2, :, 2], without[1][1::2, :, 3] = True, True
    images, vectors = images & ~without[0], vectors & ~without[1]
    gappy = replace(data, image_observed=np.packbits(images, axis=-1), vector_observed=vectors)
    other = replace(
        gappy,
        images=np.where(without[0], np.float32(3), data.images),
        vectors=np.where(without[1], np.float32(3), data.vectors),
    )
    torch.manual_seed(0)
    model = task.build(task.facts(data)).eval()
    indices = np.arange(8, 12)
    given = [
        model(task.training_batch(each, indices, indices.astype(np.uint64))) for each in (gappy, other, data)
    ]
    for name in PUBLISHED_SET.names:
        assert torch.equal(given[0][name], given[1][name])
        assert not torch.equal(given[0][name], given[2][name])


def test_a_window_that_lacks_a_field_for_long_neither_shows_nor_counts_it(
    task: WaterMAETask, data: WaterData
) -> None:
    present = np.ones((len(data.images), 3), bool)
    present[16, 2] = False
    marks = np.packbits(np.broadcast_to(data.geometry.pixel_valid, data.images.shape), axis=-1)
    gappy = replace(data, image_present=present, image_observed=marks)
    indices = np.array([8, 10])
    batch = task.training_batch(gappy, indices, indices.astype(np.uint64))
    counts = tasks.counts(task, batch, Progress(samples=0, total_samples=100, stage="train", stage_ratio=0.0))
    assert counts["temperature"] == 1
    shown = seen(batch, PUBLISHED_SET.places["temperature"])
    assert shown is not None
    assert not shown[0].any() and shown[1].all()


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
