"""Days that lie on the device that trains: the same batches, uploaded once per lane."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thalweg.contract import SplitName
from thalweg.data import placement
from thalweg.training.session import DataCache
from trainables.water_mae.config import ForecastKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.task import WaterMAETask

CPU = torch.device("cpu")


def assert_equal_bit_for_bit(found: Batch, expected: Batch) -> None:
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, name
        assert found[name].stride() == values.stride(), name
        torch.testing.assert_close(found[name], values, rtol=0, atol=0, equal_nan=True, msg=name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.sampled_from(["train", "val"]),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2**64 - 1)), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from([np.float32, np.float16]),
    st.booleans(),
)
def test_batches_of_placed_data_equal_those_of_the_file_bit_for_bit(
    config: WaterMAE,
    make_data: Callable[..., WaterData],
    split: SplitName,
    drawn: list[tuple[int, int]],
    forecasts: bool,
    stored_as: type[np.floating],
    gaps: bool,
) -> None:
    data = make_data()
    data = replace(data, images=data.images.astype(stored_as), vectors=data.vectors.astype(stored_as))
    data = with_gaps(data) if gaps else data
    task = WaterMAETask(config.model_copy(update={"forecast": ForecastKnobs(share=0.5 * forecasts)}))
    indices, keys = np.array([one for one, _ in drawn]), np.array([key for _, key in drawn], np.uint64)
    placed = data.placed(CPU)
    assert_equal_bit_for_bit(
        task.training_batch(placed, indices, keys), task.training_batch(data, indices, keys)
    )
    assert_equal_bit_for_bit(
        task.evaluation_batch(placed, split, indices), task.evaluation_batch(data, split, indices)
    )


def with_gaps(data: WaterData) -> WaterData:
    rng = np.random.default_rng(1)
    images, vectors = rng.random(data.images.shape) < 0.9, rng.random(data.vectors.shape) < 0.9
    return replace(data, image_observed=np.packbits(images, axis=-1), vector_observed=vectors)


def test_what_is_data_does_not_travel_either(config: WaterMAE, data: WaterData) -> None:
    batch = WaterMAETask(config).training_batch(
        with_gaps(data).placed(torch.device("meta")), np.array([0, 3]), np.array([1, 2], np.uint64)
    )
    assert {batch[f"{kind}_observed"].device.type for kind in ("image", "vector")} == {"meta"}


def test_only_numbers_masks_and_the_calendar_travel(config: WaterMAE, data: WaterData) -> None:
    """On the device `meta`, which holds no values, whatever a batch still has on the CPU is what travels."""
    batch = WaterMAETask(config).training_batch(
        data.placed(torch.device("meta")), np.array([0, 3]), np.array([1, 2], np.uint64)
    )
    travel = {name for name, values in batch.items() if values.device.type == "cpu"}
    masks = {f"{kind}_{part}" for kind in ("image", "vector") for part in ("keep", "masked")}
    assert travel == {*masks, "vector_present", "day_of_year"}


def test_a_second_trial_of_a_lane_uploads_nothing(
    config: WaterMAE, data: WaterData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(placement, "free_bytes", lambda device: 2**30)
    monkeypatch.setattr(WaterMAETask, "open", lambda self, root: data)
    uploads: list[int] = []

    def upload(array: np.ndarray, device: torch.device) -> torch.Tensor:
        uploads.append(array.nbytes)
        return placement.upload(array, device)

    monkeypatch.setattr("trainables.water_mae.data.windows.upload", upload)
    cache = DataCache()
    first = cache.open(WaterMAETask(config), tmp_path, CPU)
    assert isinstance(first, WaterData) and first.resident is not None
    after_one = list(uploads)
    assert sum(after_one) == data.num_bytes + data.geometry.pixel_valid.size + data.geometry.member_valid.size
    other = config.model_copy(update={"seed": 1})
    second = cache.open(WaterMAETask(other), tmp_path, CPU)
    assert isinstance(second, WaterData) and second.resident is not None
    assert uploads == after_one
    assert second.resident.images.data_ptr() == first.resident.images.data_ptr()


def test_a_device_without_room_is_told_of_and_gets_each_batch(
    config: WaterMAE, data: WaterData, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    monkeypatch.setattr(placement, "free_bytes", lambda device: 4 * data.num_bytes - 1)
    device = torch.device("cuda", 1)
    assert WaterMAETask(config).place(data, device) is data
    [said] = logged
    assert "cuda:1 has no room for the days (0 MiB): each batch is copied there" in said


def test_on_a_cpu_the_days_stay_in_the_file_and_nothing_is_said(
    config: WaterMAE, data: WaterData, logged: list[str]
) -> None:
    assert WaterMAETask(config).place(data, CPU) is data
    assert logged == []
