"""Scans and images that two splits share are found, whatever their files are called."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thalweg.search.checks.leakage import Origins
from trainables.rgb_lidar.config import CLASSES, RGBLidar
from trainables.rgb_lidar.data.scenes import RGBLidarData, open_data
from trainables.rgb_lidar.task import task_for


def faults(data: RGBLidarData) -> list[str]:
    return list(Origins.of(task_for(RGBLidar(dataset="mini")), data).faults())


def name(data: RGBLidarData, row: int) -> str:
    return f"{CLASSES[data.labels[row]]}/{data.numbers[row]}"


def test_a_world_without_leaks_has_none_and_nothing_is_untold(data: RGBLidarData) -> None:
    told = Origins.of(task_for(RGBLidar(dataset="mini")), data)
    assert told.kinds == ["image", "scan", "scene"]
    assert not list(told.faults()) and not list(told.untold())


@pytest.mark.parametrize(("sensor", "suffix", "kind"), [("lidar", "npy", "scan"), ("rgb", "png", "image")])
def test_a_copy_under_another_number_is_found(
    sensor: str, suffix: str, kind: str, data: RGBLidarData, copy: Path
) -> None:
    """A copy of one sensor's file alone, which twice stands in train too, so that equal samples are nothing special."""
    first, second, third = data.rows["train"][0], data.rows["train"][1], data.rows["val"][0]
    files = [
        copy / CLASSES[data.labels[row]] / sensor / f"{data.numbers[row]:04d}.{suffix}"
        for row in (first, second, third)
    ]
    for target in files[1:]:
        shutil.copy(files[0], target)
    (fault,) = faults(open_data(copy.parent, copy.name, 1.0))
    same = name(data, min(first, second, third))
    assert fault == f"train and val must have no {kind} in common, got {same}; divide the data by {kind}"


def test_a_scene_in_two_splits_is_found(data: RGBLidarData) -> None:
    row = data.rows["test"][2]
    leaking = replace(data, rows={**data.rows, "train": np.append(data.rows["train"], row)})
    found = faults(leaking)
    assert len(found) == 3 and all(f"got {name(data, row)}; divide" in fault for fault in found)


def test_scans_without_a_return_are_alike_and_no_leak(data: RGBLidarData) -> None:
    depth = np.array(data.depth)
    depth[[data.rows["train"][0], data.rows["val"][0]]] = 50.0
    assert not faults(replace(data, depth=depth))
