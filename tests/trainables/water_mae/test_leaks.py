"""Planted leaks between splits of windows are found by what the family tells of its days."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thalweg.data.normalization import of_runs, runs
from thalweg.search.checks.leakage import Origins
from trainables.water_mae.config import WaterMAE
from trainables.water_mae.data import prepare
from trainables.water_mae.data.values import survey_training
from trainables.water_mae.data.windows import WaterData, open_data
from trainables.water_mae.knobs import DataKnobs
from trainables.water_mae.task import WaterMAETask

KNOBS = DataKnobs(vector_patch_size=4)


def faults(data: WaterData) -> list[str]:
    return list(Origins.of(WaterMAETask(WaterMAE(dataset="memory")), data).faults())


def test_windows_that_reach_into_another_split_are_found(data: WaterData) -> None:
    sound = replace(data, fitted=tuple(runs(data.epoch_day[:40].tolist())))
    assert not faults(sound)
    early = replace(sound, starts={**data.starts, "val": data.starts["val"] - 3})
    first, second = faults(early)
    assert first.startswith("train and val must have no day in common, got 100")
    assert second.startswith("statistics must be fitted on train alone, got day 100")


def test_days_of_train_that_no_window_holds_are_no_leak(data: WaterData) -> None:
    sparse = replace(data, starts={**data.starts, "train": data.starts["train"][::5]})
    assert not faults(replace(sparse, fitted=tuple(runs(data.epoch_day[:40].tolist()))))


@pytest.mark.slow
def test_the_days_of_statistics_are_those_of_train(tiny: WaterData) -> None:
    assert of_runs(tiny.fitted) == tiny.epoch_day[:1095].tolist()
    assert not faults(tiny)


def _fields_of_val_first(row: Any, grids: Sequence[Any], *rest: Any, **options: Any) -> Any:
    return SURVEY(row, grids[::-1], *rest, **options)


SURVEY = survey_training


def _whole(written: Callable[..., Any], content: Any, inputs: Any, *rest: Any) -> Any:
    return written(content, replace(inputs, spans={"train": range(len(inputs.dates))}), *rest)


@pytest.mark.slow
@pytest.mark.parametrize("leak", ["fields", "series", "climatology"])
def test_statistics_of_other_days_are_found(
    leak: str, tiny: WaterData, tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if leak == "fields":
        monkeypatch.setattr(prepare, "survey_training", _fields_of_val_first)
    else:
        step = {"series": "_write_vectors", "climatology": "_write_image_climatology"}[leak]
        written = getattr(prepare, step)
        monkeypatch.setattr(prepare, step, lambda *given: _whole(written, *given))
    (fault,) = faults(open_data(tiny_copy.parent, "copy", KNOBS))
    first = int(tiny.epoch_day[tiny.starts["val"][0]])
    assert fault.startswith(
        f"statistics must be fitted on train alone, got day {first} of val, {first + 1} of val"
    )


def test_the_split_of_windows_in_memory_is_as_the_leaks_assume(data: WaterData) -> None:
    assert int(data.starts["val"][0]) == 40 and np.diff(data.epoch_day).max() == 1
