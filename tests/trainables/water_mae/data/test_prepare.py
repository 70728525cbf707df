"""A store is prepared in pieces, and goes on where a process was killed."""

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thalweg.data import hdf5
from thalweg.data.hdf5 import DailyGrid
from trainables.water_mae.data import prepare as prepare_module
from trainables.water_mae.data.windows import GEOMETRY, WaterData, open_data
from trainables.water_mae.knobs import PUBLISHED_SET, DataKnobs

_KNOBS = DataKnobs(vector_patch_size=4)


_DIE = """
import os, sys
from pathlib import Path
from trainables.water_mae.data import prepare
from trainables.water_mae.knobs import DataKnobs
from trainables.water_mae.data.windows import open_data

read_days = prepare.read_days

def die(grid):
    for first, days in read_days(grid):
        if "soil_moisture_val" in grid.path.name:
            os.kill(os.getpid(), 9)
        yield first, days

prepare.read_days = die
open_data(Path(sys.argv[1]), "copy", DataKnobs(vector_patch_size=4))
"""


@pytest.mark.slow
def test_a_killed_preparation_goes_on_with_the_modality_that_it_did_not_finish(
    tiny_copy: Path, tiny: WaterData, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.run([sys.executable, "-c", _DIE, str(tiny_copy.parent)], check=False)
    assert killed.returncode == -9
    read: list[str] = []
    read_days = hdf5.read_days

    def note(grid: DailyGrid) -> Iterator[tuple[int, np.ndarray]]:
        read.append(grid.path.name.rsplit("_", 2)[0])
        return read_days(grid)

    monkeypatch.setattr(prepare_module, "read_days", note)
    monkeypatch.setattr(prepare_module, "read_catchments", None)
    data = open_data(tiny_copy.parent, "copy", _KNOBS)
    assert set(read) == {f"{name}_{split}" for name in PUBLISHED_SET.fields[1:] for split in ("train", "val")}
    assert data.fingerprint == tiny.fingerprint
    assert np.array_equal(data.mean, tiny.mean)
    assert data.catchments == tiny.catchments
    for name in ("images", "vectors", "vector_present"):
        assert np.array_equal(getattr(data, name), getattr(tiny, name))
    for name in GEOMETRY:
        assert np.array_equal(getattr(data.geometry, name), getattr(tiny.geometry, name))
    for mine, theirs in zip(data.climatology(), tiny.climatology(), strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("stored_as", ["float32", "float16"])
def test_a_modality_passes_through_memory_in_pieces(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch, stored_as: str
) -> None:
    write_image = prepare_module._write_image
    peaks = []

    def measure(*arguments: Any) -> dict[str, Any]:
        tracemalloc.start()
        result = write_image(*arguments)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        return result

    monkeypatch.setattr(prepare_module, "_write_image", measure)
    knobs = DataKnobs.model_validate(_KNOBS.model_dump() | {"stored_as": stored_as})
    data = open_data(tiny_copy.parent, "copy", knobs)
    assert len(peaks) == 3
    assert max(peaks) < data.images[:, 0].size * 4 / 3
