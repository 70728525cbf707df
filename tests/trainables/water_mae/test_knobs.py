"""Every knob of data, masks and loss weights changes what it should, and nothing else."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from tests import tasks
from thalweg.stage_contract import Progress
from trainables.water_mae.config import WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.knobs import PUBLISHED, PUBLISHED_SET
from trainables.water_mae.task import WaterMAETask

NOW = Progress(samples=0, total_samples=100, stage="train", stage_ratio=0.0)
KEYS = np.array([5, 6, 7], np.uint64)
WINDOWS = np.array([0, 8, 10])

ALTERNATIVES: Mapping[str, Any] = {
    "data.modalities": [row.model_dump() for row in PUBLISHED if row.name != "evaporation"],
    "data.attributes": ("catchment-area", "dpsbar"),
    "data.sequence_length": 4,
    "data.stride": 1,
    "data.evaluation_stride": 1,
    "data.patch_size": 5,
    "data.vector_patch_size": 4,
    "data.land_threshold": 0.3,
    "data.max_missing_ratio": 0.2,
    "data.max_common_gap": 3,
    "data.fill_precipitation": "zero",
    "data.fill_soil_moisture": "nearest",
    "data.fill_temperature": "median",
    "data.stored_as": "float16",
    "masking.image_mask_ratio": 0.7,
    "masking.vector_mask_ratio": 0.7,
    "masking.mask_mode": "independent",
    "masking.image_kept_mask_ratio": 0.2,
    "masking.vector_kept_mask_ratio": 0.2,
    "loss_weights.precipitation": 2.0,
    "loss_weights.soil_moisture": 2.0,
    "loss_weights.temperature": 2.0,
    "loss_weights.evaporation": 2.0,
    "loss_weights.river_flow": 2.0,
}


def altered(config: WaterMAE, knob: str) -> WaterMAE:
    group, name = knob.split(".")
    values = config.model_dump()
    assert values[group][name] != ALTERNATIVES[knob]
    values[group][name] = ALTERNATIVES[knob]
    return WaterMAE.model_validate(values)


def test_every_knob_outside_the_model_is_tried_below(config: WaterMAE) -> None:
    groups = ("data", "masking", "loss_weights")  # those of `loss` are tried beside the loss
    assert set(ALTERNATIVES) == {
        f"{group}.{name}" for group in groups for name in type(getattr(config, group)).model_fields
    }


@pytest.mark.parametrize("knob", [name for name in ALTERNATIVES if name.startswith("data.")])
def test_every_data_knob_opens_other_data_under_another_protocol(config: WaterMAE, knob: str) -> None:
    task, other = WaterMAETask(config), WaterMAETask(altered(config, knob))
    assert task.data_key() != other.data_key()
    assert (task.protocol() == other.protocol()) == (knob == "data.stride")  # which concerns training alone


def test_the_default_of_the_evaluation_is_the_same_protocol_as_its_value(config: WaterMAE) -> None:
    knobs = config.data.model_copy(update={"evaluation_stride": config.data.evaluated_every})
    other = config.model_copy(update={"data": knobs})
    assert config.data.evaluation_stride is None
    assert WaterMAETask(config).protocol() == WaterMAETask(other).protocol()


def test_tasks_share_data_whatever_else_differs(config: WaterMAE) -> None:
    other = altered(altered(config, "masking.image_mask_ratio"), "loss_weights.river_flow")
    assert WaterMAETask(config).data_key() == WaterMAETask(other).data_key()
    elsewhere = config.model_copy(update={"dataset": "elsewhere"})
    assert WaterMAETask(config).data_key() != WaterMAETask(elsewhere).data_key()


@pytest.mark.parametrize("knob", [name for name in ALTERNATIVES if name.startswith("masking.")])
def test_every_masking_knob_changes_training(config: WaterMAE, data: WaterData, knob: str) -> None:
    batches = [
        WaterMAETask(each).training_batch(data, WINDOWS, KEYS) for each in (config, altered(config, knob))
    ]
    kinds = {
        f"masking.{kind}_{name}_ratio": {kind}
        for kind in ("image", "vector")
        for name in ("mask", "kept_mask")
    }
    differing = {
        kind
        for kind in ("image", "vector")
        if not torch.equal(*(batch[f"{kind}_masked"] for batch in batches))
    }
    assert differing == kinds.get(knob, {"image", "vector"})


@pytest.mark.parametrize("knob", [name for name in ALTERNATIVES if name.startswith("loss_weights.")])
def test_every_loss_weight_reaches_its_part(config: WaterMAE, knob: str) -> None:
    before = tasks.weights(WaterMAETask(config), NOW)
    after = tasks.weights(WaterMAETask(altered(config, knob)), NOW)
    assert tuple(before) == PUBLISHED_SET.names
    assert {name for name in PUBLISHED_SET.names if before[name] != after[name]} == {knob.split(".")[1]}
