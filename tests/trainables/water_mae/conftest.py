"""The synthetic world `tiny`, written once, copies of it to damage, and random numbers in memory."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from trainables.water_mae.config import ModelKnobs, WaterMAE
from trainables.water_mae.data.layout import Period
from trainables.water_mae.data.windows import Geometry, WaterData, open_data
from trainables.water_mae.evaluation import metrics
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PUBLISHED_SET, DataKnobs
from trainables.water_mae.worlds.synthetic import TINY, Island, write_island

TINY_KNOBS = DataKnobs(vector_patch_size=4)
KNOBS = DataKnobs(vector_patch_size=4, sequence_length=10, stride=10)
FILLED = KNOBS.model_copy(update={f"fill_{name}": "nearest" for name in PUBLISHED_SET.fields})
TRAIN, VAL = "2001-01-01:2001-03-31", "2001-04-01:2001-04-30"


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The family's data folder, which holds the data set ``tiny``, without a test split."""
    root = tmp_path_factory.mktemp("water_mae")
    write_island(replace(TINY, test=None), root / "tiny")
    return root


@pytest.fixture(scope="session")
def tiny(tiny_root: Path) -> WaterData:
    """The opened world."""
    return open_data(tiny_root, "tiny", TINY_KNOBS)


@pytest.fixture
def tiny_copy(tiny_root: Path, tmp_path: Path) -> Path:
    """A data set folder of hard links to the world, without its store; replace files, never edit them."""
    target = tmp_path / "copy"
    shutil.copytree(
        tiny_root / "tiny", target, copy_function=os.link, ignore=shutil.ignore_patterns(".store")
    )
    return target


SEQUENCE_LENGTH = 3
FIRST_DAY_WITH_RIVERS = 12
NUM_TRAIN_DAYS = 40


@pytest.fixture
def config() -> WaterMAE:
    """Sizes for which a forward pass takes milliseconds; without dropout."""
    return WaterMAE(
        dataset="memory",
        data=DataKnobs(sequence_length=SEQUENCE_LENGTH, stride=2),
        model=ModelKnobs(
            dim=16,
            num_heads=2,
            image_depth=2,
            vector_depth=2,
            mlp_ratio=2,
            dropout=0.0,
            decoder_dim=12,
            decoder_num_heads=2,
            decoder_depth=2,
        ),
    )


@pytest.fixture
def make_data() -> Callable[..., WaterData]:
    """Makes random numbers of a given geometry."""
    return in_memory


@pytest.fixture
def data() -> WaterData:
    """Six land patches of 4 cells, 13 catchments in 5 patches of 3; rivers are absent at first."""
    return in_memory()


def _positions(member_valid: np.ndarray) -> np.ndarray:
    drawn = 100 * np.random.default_rng(1).standard_normal((*member_valid.shape, 2))
    positions: np.ndarray = (drawn * member_valid[..., None]).astype(np.float32)
    return positions


def in_memory(
    *,
    num_patches: int = 6,
    num_pixels: int = 4,
    num_catchments: int = 13,
    num_members: int = 3,
    sequence_length: int = SEQUENCE_LENGTH,
    num_days: int = 60,
) -> WaterData:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    shape = (-(-num_catchments // num_members), num_members)
    member_valid = np.arange(shape[0] * shape[1]).reshape(shape) < num_catchments
    pixel_valid = rng.random((num_patches, num_pixels)) < 0.8
    pixel_valid[:, 0] = True
    present = np.ones((num_days, 2), bool)
    present[:FIRST_DAY_WITH_RIVERS, 1] = False
    starts = np.arange(0, num_days - sequence_length + 1, 2)
    return WaterData(
        modalities=PUBLISHED_SET,
        attributes=NRFA_ATTRIBUTES,
        units=tuple(row.unit for row in PUBLISHED_SET),
        geometry=Geometry(
            pixel_valid=pixel_valid,
            patch_rows_cols=np.stack(np.divmod(np.arange(num_patches) * 2, 4), axis=1),
            grid_shape=(-(-num_patches // 2) + 1, 5),
            member_valid=member_valid,
            static=normal(*shape, 11) * member_valid[..., None],
            member_positions=_positions(member_valid),
        ),
        images=normal(num_days, 3, num_patches, num_pixels) * pixel_valid,
        vectors=normal(num_days, 2, *shape) * member_valid * present[:, :, None, None],
        vector_present=present,
        day_of_year=(np.arange(num_days) % 366).astype(np.int16),
        epoch_day=np.arange(num_days) + 10_000,
        mean=np.zeros(5),
        std=np.ones(5),
        catchments=tuple(range(num_catchments)),
        sequence_length=sequence_length,
        starts={
            "train": starts[starts < NUM_TRAIN_DAYS - sequence_length],
            "val": starts[starts >= NUM_TRAIN_DAYS],
        },
        ends={"train": NUM_TRAIN_DAYS, "val": num_days},
        fingerprint="memory",
        _climatology=(normal(366, 3, num_patches, num_pixels), normal(366, 2, *shape)),
    )


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small island; all values are data."""
    folder = tmp_path_factory.mktemp("values") / "world"
    train, val = (Period(*(np.datetime64(day) for day in text.split(":"))) for text in (TRAIN, VAL))
    write_island(Island(rows=20, cols=20, num_catchments=12, train=train, val=val), folder)
    (series,) = folder.glob("*.parquet")
    table = pd.read_parquet(series)
    table["riverflow"] = table["riverflow"].fillna(1.0)
    table.to_parquet(series, index=False)
    return folder


@pytest.fixture(scope="session")
def whole(world: Path) -> WaterData:
    return open_data(world.parent, world.name, KNOBS)


def opened(folder: Path, knobs: DataKnobs = KNOBS) -> WaterData:
    return open_data(folder.parent, folder.name, knobs)


def cell(folder: Path) -> tuple[int, int]:
    """The sixth land cell."""
    row, col = np.argwhere(np.load(next(folder.glob("*mask*"))))[5]
    return int(row), int(col)


def hide(table: pd.DataFrame, column: str, value: Any) -> pd.DataFrame:
    """Puts a value on 3 days of 1008."""
    table.loc[(table["ID"] == 1008) & table["date"].between("2001-02-03", "2001-02-05"), column] = value
    return table


def with_metadata(table: pd.DataFrame, column: str, **attributes: str) -> pa.Table:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    number = arrow.schema.get_field_index(column)
    field = arrow.schema.field(number).with_metadata(attributes)
    return arrow.set_column(number, field, arrow.column(number))


def change_series(folder: Path, change: Callable[[pd.DataFrame], pa.Table]) -> None:
    (series,) = folder.glob("*.parquet")
    pq.write_table(change(pd.read_parquet(series)), series)


def catchment_sums(
    prediction: Tensor, target: Tensor, counts: Tensor, patches: Tensor, num_patches: int
) -> dict[str, Tensor]:
    """Sums the moments of flow of each catchment, (patch, member), of days of one year."""
    moments = metrics.flow_moments(prediction, target, counts)
    years = torch.zeros(counts.shape[:2], dtype=torch.int64)
    table = metrics.by_place_and_year(moments, patches, num_patches, years)
    sums = metrics.named(table.values, metrics.MOMENTS)
    return {name: value.reshape(num_patches, -1) for name, value in sums.items()}
