"""Baselines equal slow and obvious ones, which look at one hidden patch after the other."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from trainables.water_mae.baselines import all_baselines
from trainables.water_mae.config import MODALITIES, WaterMAE
from trainables.water_mae.data import WaterData
from trainables.water_mae.model import Batch, kind_and_index
from trainables.water_mae.task import WaterMAETask


def slow_persistence(batch: Batch, name: str, b: int, t: int, patch: int) -> np.ndarray:
    kind, index = kind_and_index(name)
    keep, values = batch[f"{kind}_keep"][b, index], batch[f"{kind}s"][b, index]
    days = [day for day in range(len(keep)) if patch in keep[day].tolist()]
    before = [day for day in days if day < t]
    after = [day for day in days if day > t]
    if not days:
        return np.zeros(values.shape[-1], np.float32)
    return values[before[-1] if before else after[0], patch].numpy()


def slow_nearest(data: WaterData, batch: Batch, name: str, b: int, t: int, patch: int) -> np.ndarray:
    kind, index = kind_and_index(name)
    visible = batch[f"{kind}_keep"][b, index, t].tolist()
    places = data.geometry.patch_rows_cols if kind == "image" else data.vector_positions
    distances = [float(np.hypot(*(places[patch] - places[other]).astype(np.float64))) for other in visible]
    nearest = visible[distances.index(min(distances))]
    values = batch[f"{kind}s"][b, index, t, nearest]
    mean = float(values[batch[f"{kind}_valid"][b, nearest]].mean())
    return np.full(len(values), mean, np.float32)


@pytest.fixture(params=[0.5, 0.8])
def batch(config: WaterMAE, data: WaterData, request: pytest.FixtureRequest) -> Batch:
    masking = config.masking.model_copy(
        update={
            "image_mask_ratio": request.param,
            "vector_mask_ratio": request.param,
            "mask_mode": "independent",
        }
    )
    task = WaterMAETask(config.model_copy(update={"masking": masking}))
    return task.training_batch(data, np.array([7, 8, 10, 11]), np.arange(4, dtype=np.uint64))


def check(batch: Batch, name: str, baseline: torch.nn.Module, slow: Callable[..., np.ndarray]) -> None:
    kind, index = kind_and_index(name)
    masked = batch[f"{kind}_masked"][:, index]
    predictions = baseline(batch)[name]
    assert predictions.shape == (*masked.shape, batch[f"{kind}s"].shape[-1])
    for b, t, k in np.ndindex(*masked.shape):
        expected = slow(batch, name, b, t, int(masked[b, t, k]))
        np.testing.assert_allclose(predictions[b, t, k].numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODALITIES)
def test_persistence_repeats_the_last_visible_day_else_the_next(
    data: WaterData, batch: Batch, name: str
) -> None:
    check(batch, name, all_baselines(data)["persistence"], slow_persistence)


@pytest.mark.parametrize("name", MODALITIES)
def test_nearest_takes_the_mean_of_the_nearest_visible_patch(
    data: WaterData, batch: Batch, name: str
) -> None:
    def slow(*arguments: object) -> np.ndarray:
        return slow_nearest(data, *arguments)  # type: ignore[arg-type]

    check(batch, name, all_baselines(data)["nearest"], slow)


def test_both_ways_of_persistence_are_met(batch: Batch) -> None:
    keep = batch["image_keep"][:, 0]
    first = {int(patch) for patch in keep[0, 0]}
    others = {int(patch) for patch in keep[0, 1:].flatten()}
    assert others - first  # hidden on the first day, visible later


def test_no_baseline_sees_what_is_hidden(data: WaterData, batch: Batch) -> None:
    blind = dict(batch)
    for kind in ("image", "vector"):
        values = batch[f"{kind}s"].clone()
        masked = batch[f"{kind}_masked"][..., None].expand(-1, -1, -1, -1, values.shape[-1])
        blind[f"{kind}s"] = values.scatter(3, masked, 1e6)
    for baseline in all_baselines(data).values():
        before, after = baseline(batch), baseline(blind)
        assert all(torch.equal(before[name], after[name]) for name in MODALITIES)


def test_vector_patches_lie_where_their_catchments_lie(tiny: WaterData) -> None:
    static, valid = tiny.geometry.static, tiny.geometry.member_valid
    for axis, column in ((0, 1), (1, 0)):  # east from longitude, north from latitude
        means = np.array([row[here, column].mean() for row, here in zip(static, valid, strict=True)])
        assert np.corrcoef(means, tiny.vector_positions[:, axis])[0, 1] == pytest.approx(1, abs=1e-5)
    # 8 degrees of latitude are 890 km; catchments are spread over nearly all of the island.
    assert 300 < np.ptp(tiny.vector_positions[:, 1]) < 890
