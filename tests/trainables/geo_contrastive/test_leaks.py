"""Planted leaks between splits of weather fields are found by what the family tells of its days."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thalweg.data.normalization import of_runs
from thalweg.search.checks.leakage import Origins
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.data import layout, prepare
from trainables.geo_contrastive.data.calendars import Calendar
from trainables.geo_contrastive.data.fields import FieldData, open_fields
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.data.layout import Described
from trainables.geo_contrastive.data.pairs import index_of
from trainables.geo_contrastive.knobs import DataKnobs
from trainables.geo_contrastive.task import task_for

GLOBE = Grid("6x3", -180 + 60.0 * np.arange(6), np.array([-60.0, 0, 60]), geographic=True)
DAYS = np.arange(10_000, 10_400)

Open = Callable[[], FieldData]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Prepares 400 days of one variable, and opens them."""
    (tmp_path / "a").mkdir()
    described = Described("slp", "Pa", GLOBE.name)
    fields = np.random.default_rng(3).normal(101_300, 900, (len(DAYS), *GLOBE.shape)).astype(np.float32)
    layout.write_variable(tmp_path / "a", described, GLOBE, DAYS, Calendar("standard"), [fields])
    layout.write_table(tmp_path / "a", [described], Calendar("standard"), "random numbers")
    return partial(open_fields, tmp_path, "a", DataKnobs(variables=("slp",)))


def faults(data: FieldData) -> list[str]:
    return list(Origins.of(task_for(PRESETS["tiny"]), data).faults())


def test_the_days_of_statistics_are_those_of_train(opened: Open) -> None:
    data = opened()
    assert of_runs(data.fitted) == DAYS[:240].tolist()
    assert not faults(data)


@pytest.mark.parametrize(
    ("step", "statistics"), [("_write", "z-scores"), ("_write_climatology", "climatology")]
)
def test_statistics_of_all_days_are_found(
    step: str, statistics: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = getattr(prepare, step)

    def leaking(writer: Any, kept: Any, train: range, file: Any) -> Any:
        return written(writer, kept, range(len(DAYS)), file)

    monkeypatch.setattr(prepare, step, leaking)
    (fault,) = faults(opened())
    assert fault.startswith("statistics must be fitted on train alone, got day 10240 of val, 10241 of val")


def test_a_day_in_two_splits_is_found(opened: Open) -> None:
    data = opened()
    leaking = replace(data, days={**data.days, "val": range(239, 320)})
    first, second = faults(leaking)
    assert first == "train and val must have no day in common, got 10239; divide the data by day"
    assert second.endswith("got day 10239 of val; fit them after the data are split")


def test_a_store_of_an_earlier_version_tells_no_days_of_statistics(opened: Open) -> None:
    (note,) = Origins.of(task_for(PRESETS["tiny"]), replace(opened(), fitted=())).untold()
    assert note == "not compared, for the family does not tell: what statistics were fitted on"


def test_a_part_of_a_split_has_an_index_of_its_own(opened: Open) -> None:
    data = opened()
    part = replace(data, days={**data.days, "train": range(64)})
    assert [len(index_of(one, "train").day) for one in (part, data)] == [64, 240]
