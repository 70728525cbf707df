"""Baselines equal slow and obvious ones, which look at one hidden patch after the other."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from trainables.water_mae.baselines.simple import all_baselines
from trainables.water_mae.config import WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.knobs import PUBLISHED_SET
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.task import WaterMAETask


def slow_persistence(batch: Batch, name: str, b: int, t: int, patch: int) -> np.ndarray:
    kind, index = PUBLISHED_SET.places[name]
    keep, values = batch[f"{kind}_keep"][b, index], batch[f"{kind}s"][b, index]
    days = [day for day in range(len(keep)) if patch in keep[day].tolist()]
    before = [day for day in days if day < t]
    after = [day for day in days if day > t]
    if not days:
        return np.zeros(values.shape[-1], np.float32)
    return values[before[-1] if before else after[0], patch].numpy()


def slow_nearest(data: WaterData, batch: Batch, name: str, b: int, t: int, patch: int) -> np.ndarray:
    kind, index = PUBLISHED_SET.places[name]
    visible = batch[f"{kind}_keep"][b, index, t].tolist()
    places = data.geometry.patch_rows_cols if kind == "image" else data.vector_positions
    distances = [float(np.hypot(*(places[patch] - places[other]).astype(np.float64))) for other in visible]
    nearest = visible[distances.index(min(distances))]
    values = batch[f"{kind}s"][b, index, t, nearest]
    mean = float(values[batch[f"{kind}_valid"][b, nearest]].mean())
    return np.full(len(values), mean, np.float32)


def slow_interpolation(data: WaterData, batch: Batch, name: str, b: int, t: int, patch: int) -> np.ndarray:
    kind, index = PUBLISHED_SET.places[name]
    values, valid = batch[f"{kind}s"][b, index].double().numpy(), batch[f"{kind}_valid"][b].numpy()
    keep = batch[f"{kind}_keep"][b, index].tolist()
    side = math.isqrt(values.shape[2])
    if kind == "image":
        places = np.array(
            [[(row * side + k // side, col * side + k % side) for k in range(valid.shape[1])]
             for row, col in data.geometry.patch_rows_cols], np.float64,
        )  # fmt: skip
    else:
        places = data.geometry.member_positions.astype(np.float64)
    centres = np.array([where[there].mean(axis=0) for where, there in zip(places, valid, strict=True)])
    near = sorted(keep[t], key=lambda other: float(np.hypot(*(centres[patch] - centres[other]))))[:6]
    days = [day for day in range(len(values)) if patch in keep[day]]
    found = np.zeros(values.shape[2])
    for k in range(len(found)):
        weights = [1 / float(((places[patch, k] - centres[other]) ** 2).sum()) for other in near]
        means = [values[t, other][valid[other]].mean() for other in near]
        found[k] = np.average(means, weights=weights)
        if name == "river_flow" and days and valid[patch, k]:  # np.interp holds the ends
            found[k] = np.interp(t, days, values[days, patch, k])
    return found


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
    kind, index = PUBLISHED_SET.places[name]
    masked = batch[f"{kind}_masked"][:, index]
    predictions = baseline(batch)[name]
    assert predictions.shape == (*masked.shape, batch[f"{kind}s"].shape[-1])
    for b, t, k in np.ndindex(*masked.shape):
        expected = slow(batch, name, b, t, int(masked[b, t, k]))
        np.testing.assert_allclose(predictions[b, t, k].numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PUBLISHED_SET.names)
def test_persistence_repeats_the_last_visible_day_else_the_next(
    data: WaterData, batch: Batch, name: str
) -> None:
    check(batch, name, all_baselines(data)["persistence"], slow_persistence)


@pytest.mark.parametrize("name", PUBLISHED_SET.names)
def test_nearest_takes_the_mean_of_the_nearest_visible_patch(
    data: WaterData, batch: Batch, name: str
) -> None:
    def slow(*arguments: object) -> np.ndarray:
        return slow_nearest(data, *arguments)  # type: ignore[arg-type]

    check(batch, name, all_baselines(data)["nearest"], slow)


@pytest.mark.parametrize("name", PUBLISHED_SET.names)
def test_interpolation_weighs_by_inverse_squares_and_follows_rivers_in_time(
    data: WaterData, batch: Batch, name: str
) -> None:
    def slow(*arguments: object) -> np.ndarray:
        return slow_interpolation(data, *arguments)  # type: ignore[arg-type]

    check(batch, name, all_baselines(data)["interpolation"], slow)


def seasonal_cycle(means: np.ndarray) -> np.ndarray:
    """Two harmonics by Fourier sums over the 366 days, which are orthogonal there."""
    found = np.broadcast_to(means.mean(axis=0), means.shape).astype(np.float64)
    for wave in (1, 2):
        turn = np.exp(2j * np.pi * wave * np.arange(366) / 366).reshape(366, *[1] * (means.ndim - 1))
        found = found + 2 * ((means * turn.conj()).mean(axis=0) * turn).real
    return found


@pytest.mark.parametrize("name", PUBLISHED_SET.names)
def test_anomalies_are_interpolated_and_added_to_the_seasonal_cycle_of_the_place(
    data: WaterData, batch: Batch, name: str
) -> None:
    kind, index = PUBLISHED_SET.places[name]
    means = dict(zip(("image", "vector"), data.climatology(), strict=True))[kind][:, index]
    usual = seasonal_cycle(means)[batch["day_of_year"].numpy()]
    values = batch[f"{kind}s"].clone()
    values[:, index] -= torch.tensor(usual, dtype=torch.float32)
    anomalies = batch | {f"{kind}s": values}

    def slow(_: Batch, name: str, b: int, t: int, patch: int) -> np.ndarray:
        expected: np.ndarray = usual[b, t, patch] + slow_interpolation(data, anomalies, name, b, t, patch)
        return expected

    check(batch, name, all_baselines(data)["anomaly_interpolation"], slow)


def test_both_ways_of_persistence_are_met(batch: Batch) -> None:
    keep = batch["image_keep"][:, 0]
    first = {int(patch) for patch in keep[0, 0]}
    others = {int(patch) for patch in keep[0, 1:].flatten()}
    assert others - first  # hidden on the first day, visible later


def slow_row(data: WaterData, batch: Batch, name: str, place: tuple[int, ...], patch: int) -> list[float]:
    """Lists what a hidden value is regressed on; `place` is its sample, day and number within the patch."""
    kind, index = PUBLISHED_SET.places[name]
    b, t, k = place
    valid, keep = batch[f"{kind}_valid"][b].numpy(), batch[f"{kind}_keep"][b, index].tolist()
    values = batch[f"{kind}s"][b, index].double().numpy()
    means = data.climatology()[0 if kind == "image" else 1][:, index].astype(np.float64)
    usual = means[batch["day_of_year"][b].numpy()]
    positions = data.geometry.pixel_positions if kind == "image" else data.geometry.member_positions
    centres = np.array([where[there].mean(axis=0) for where, there in zip(positions, valid, strict=True)])
    near = sorted(keep[t], key=lambda other: float(np.hypot(*(centres[patch] - centres[other]))))[:6]
    weights = [1 / float(((positions[patch, k] - centres[other]) ** 2).sum()) for other in near]
    there = [values[t, other][valid[other]].mean() for other in near]
    usually = [usual[t, other][valid[other]].mean() for other in near]
    days = [day for day in range(len(values)) if patch in keep[day]]
    own = []
    for which in (
        max((day for day in days if day < t), default=None),
        min((d for d in days if d > t), default=None),
    ):
        apart = -1 if which is None else abs(which - t)
        departure = 0.0 if which is None else values[which, patch, k] - usual[which, patch, k]
        own += [departure if low <= apart <= high else 0.0 for low, high in ((0, 1), (2, 3), (4, 366))]
    departures = [seen - mean for seen, mean in zip(there, usually, strict=True)]
    smooth = [np.average(each, weights=weights) for each in (there, usually)]
    return [1.0, usual[t, patch, k], *smooth, *own, *departures, *[0.0] * (6 - len(near))]


@pytest.mark.parametrize("name", ["temperature", "river_flow"])
def test_the_ridge_solves_least_squares_on_windows_of_train_alone(
    config: WaterMAE, data: WaterData, name: str
) -> None:
    task = WaterMAETask(config)
    part = data.with_training_windows(128)
    first, last = part.starts["train"][[0, -1]]
    assert (first, last + data.sequence_length) == (0, data.ends["train"])
    indices = np.arange(part.num_samples("train"))
    batch = task.evaluation_batch(part, "train", indices)
    kind, index = PUBLISHED_SET.places[name]
    present = np.ones(len(indices)) if kind == "image" else batch["vector_present"][:, index].numpy()
    masked, valid = batch[f"{kind}_masked"][:, index].numpy(), batch[f"{kind}_valid"].numpy()
    features, target = [], []
    for b, t, m in np.ndindex(*masked.shape):
        patch = int(masked[b, t, m])
        for k in np.flatnonzero(valid[b, patch] & (present[b] > 0)):
            features.append(slow_row(data, batch, name, (b, t, int(k)), patch))
            target.append(float(batch[f"{kind}s"][b, index, t, patch, k]))
    root = np.sqrt(1e-3 * len(target)) * np.eye(len(features[0]))
    root[0, 0] = 0
    augmented = np.concatenate([features, root]), np.concatenate([target, np.zeros(len(root))])
    expected = np.linalg.lstsq(*augmented, rcond=None)[0]
    weights = task.baselines(data)["ridge"].get_buffer("weights")[PUBLISHED_SET.names.index(name)]
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-3, atol=2e-5)
    given = task.baselines(data)["ridge"](batch)[name]
    row = slow_row(data, batch, name, (9, 1, 0), int(masked[9, 1, 0]))
    assert float(given[9, 1, 0, 0]) == pytest.approx(float(np.dot(row, expected)), abs=1e-4)


def test_the_stride_of_training_does_not_change_a_baseline(config: WaterMAE, data: WaterData) -> None:
    other = replace(data, starts=data.starts | {"train": data.starts["train"][::3]})
    first, second = (WaterMAETask(config).baselines(each)["ridge"] for each in (data, other))
    assert torch.equal(first.get_buffer("weights"), second.get_buffer("weights"))


def test_baselines_are_the_same_where_the_days_lie_on_a_device(config: WaterMAE, data: WaterData) -> None:
    """The device `meta` holds no values, so that whatever reads the days there fails."""
    here, there = (
        WaterMAETask(config).baselines(each)["ridge"] for each in (data, data.placed(torch.device("meta")))
    )
    assert torch.equal(here.get_buffer("weights"), there.get_buffer("weights"))


def test_no_baseline_reads_what_was_filled(config: WaterMAE, data: WaterData) -> None:
    rng = np.random.default_rng(1)
    images, vectors = (rng.random(each.shape) < 0.8 for each in (data.images, data.vectors))
    partly = replace(data, image_observed=np.packbits(images, axis=-1), vector_observed=vectors)
    filled = replace(
        partly,
        images=np.where(images, data.images, np.float32(50)),
        vectors=np.where(vectors, data.vectors, np.float32(50)),
    )
    task = WaterMAETask(config)
    indices = np.arange(data.num_samples("val"))
    batches = [task.evaluation_batch(each, "val", indices) for each in (partly, filled)]
    for name, baseline in task.baselines(partly).items():
        before, after = (baseline(batch) for batch in batches)
        assert all(torch.equal(before[modality], after[modality]) for modality in PUBLISHED_SET.names), name


def test_no_baseline_sees_what_is_hidden(config: WaterMAE, data: WaterData, batch: Batch) -> None:
    blind = dict(batch)
    for kind in ("image", "vector"):
        values = batch[f"{kind}s"].clone()
        masked = batch[f"{kind}_masked"][..., None].expand(-1, -1, -1, -1, values.shape[-1])
        blind[f"{kind}s"] = values.scatter(3, masked, 1e6)
    baselines = WaterMAETask(config).baselines(data)
    assert {"interpolation", "anomaly_interpolation", "ridge"} <= set(baselines)
    for baseline in baselines.values():
        before, after = baseline(batch), baseline(blind)
        assert all(torch.equal(before[name], after[name]) for name in PUBLISHED_SET.names)


@pytest.mark.slow
def test_vector_patches_lie_where_their_catchments_lie(tiny: WaterData) -> None:
    static, valid = tiny.geometry.static, tiny.geometry.member_valid
    for axis, column in ((0, 1), (1, 0)):  # east from longitude, north from latitude
        means = np.array([row[here, column].mean() for row, here in zip(static, valid, strict=True)])
        assert np.corrcoef(means, tiny.vector_positions[:, axis])[0, 1] == pytest.approx(1, abs=1e-5)
    # 8 degrees of latitude are 890 km; catchments are spread over nearly all of the island.
    assert 300 < np.ptp(tiny.vector_positions[:, 1]) < 890
