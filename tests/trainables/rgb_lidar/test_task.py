import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tasks
from thalweg.stage_contract import Progress
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.knobs import DataKnobs
from trainables.rgb_lidar.task import task_for

NOW = Progress(samples=0, total_samples=100, stage="train", stage_ratio=0.0)
KEYS = np.zeros(4, np.uint64)


def test_the_loss_is_the_sum_of_what_the_metric_averages(config: RGBLidar, data: RGBLidarData) -> None:
    task = task_for(config)
    model = task.build(task.facts(data))
    batch = task.training_batch(data, np.arange(4), KEYS)
    loss = float(tasks.losses(task, model, batch, NOW)["cross_entropy"].detach())
    mean = tasks.metrics(task, model, batch)["cross_entropy"]
    assert loss / tasks.counts(task, batch, NOW)["cross_entropy"] == pytest.approx(mean, rel=1e-5)


def test_a_batch_of_one_scene_keeps_its_axis(config: RGBLidar, data: RGBLidarData) -> None:
    task = task_for(config)
    batch = task.evaluation_batch(data, "val", np.array([5]))
    assert batch["label"].shape == (1,)
    assert task.build(task.facts(data))(batch).shape == (1, 2)


@pytest.mark.parametrize(
    ("knobs", "rgb", "lidar"),
    [
        (DataKnobs(), 4, 4),
        (DataKnobs(rgb_channels=3), 3, 4),
        (DataKnobs(lidar_repr="depth"), 4, 1),
    ],
)
def test_a_batch_has_the_channels_that_the_knobs_say(
    config: RGBLidar, data: RGBLidarData, knobs: DataKnobs, rgb: int, lidar: int
) -> None:
    task = task_for(config.model_copy(update={"data": knobs}))
    batch = task.training_batch(data, np.arange(4), KEYS)
    assert batch["rgb"].shape == (4, rgb, 16, 16)
    assert batch["lidar"].shape == (4, lidar, 16, 16)
    assert 0 <= float(batch["rgb"].min()) <= float(batch["rgb"].max()) <= 1
    assert task.build(task.facts(data))(batch).shape == (4, 2)


@pytest.mark.parametrize("change", [{"lidar_norm": "raw"}, {"lidar_norm": "masked"}, {"lidar_repr": "depth"}])
def test_every_convention_of_the_scan_changes_what_a_model_sees(
    config: RGBLidar, data: RGBLidarData, change: dict[str, Any]
) -> None:
    other = config.model_copy(update={"data": DataKnobs.model_validate(change)})
    before, after = (task_for(c).training_batch(data, np.arange(4), KEYS)["lidar"] for c in (config, other))
    assert not (before.shape == after.shape and torch.equal(before, after))


def test_labels_are_those_of_the_scenes(config: RGBLidar, data: RGBLidarData) -> None:
    batch = task_for(config).evaluation_batch(data, "test", np.arange(12))
    assert batch["label"].tolist() == data.labels[data.rows["test"]].tolist()


def test_only_the_data_set_and_the_share_decide_what_is_opened(config: RGBLidar) -> None:
    def key(**changes: Any) -> str:
        return task_for(config.model_copy(update={"data": DataKnobs(**changes)})).data_key()

    assert key() == key(rgb_channels=3) == key(lidar_repr="depth") == key(lidar_norm="raw")
    assert key() != key(data_fraction=0.5)


def test_a_share_is_comparable_with_the_whole(config: RGBLidar, root: Path, data: RGBLidarData) -> None:
    tenth = task_for(config.model_copy(update={"data": DataKnobs(data_fraction=0.1)}))
    assert tenth.protocol() == task_for(config).protocol()
    assert tenth.open(root).num_samples("train") == 6


def test_the_majority_class_knows_the_shares_of_training_only(config: RGBLidar, data: RGBLidarData) -> None:
    task = task_for(config)
    rows = data.rows["train"][data.labels[data.rows["train"]] == 1][:9]
    cubes = data.rows["train"][data.labels[data.rows["train"]] == 0][: 3 * len(rows)]
    few = np.concatenate((rows, cubes))
    skewed = RGBLidarData(**{**vars(data), "rows": {**data.rows, "train": few}})
    batch = task.evaluation_batch(data, "val", np.arange(12))
    metrics = tasks.metrics(task, task.baselines(skewed)["majority_class"], batch)
    assert metrics["accuracy"] == 0.5
    assert metrics["recall"] == 0
    assert metrics["cross_entropy"] == pytest.approx(-(math.log(0.25) + math.log(0.75)) / 2, rel=1e-4)


def test_unpaired_files_are_told_by_name(config: RGBLidar, root: Path, data: RGBLidarData) -> None:
    (note,) = data.notes
    assert note.startswith("3 files of mini have no partner of the other sensor and are left out: ")
    assert all(name in note for name in data.unpaired)
    many = RGBLidarData(**{**vars(data), "unpaired": tuple(f"spheres/lidar/{n:04d}.npy" for n in range(41))})
    assert many.notes[0].startswith("41 files of mini have no partner")
    assert many.notes[0].endswith("spheres/lidar/0009.npy and 31 more")
    (one,) = RGBLidarData(**{**vars(data), "unpaired": data.unpaired[:1]}).notes
    assert one.startswith("1 file of mini has no partner of the other sensor and is left out: spheres")
    assert RGBLidarData(**{**vars(data), "unpaired": ()}).notes == ()
