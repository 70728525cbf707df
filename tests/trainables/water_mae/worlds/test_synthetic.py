"""Synthetic worlds are deterministic, irregular like the real thing, and have something to learn."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from thalweg.errors import OutputError
from trainables.water_mae.data.layout import Period
from trainables.water_mae.data.windows import WaterData, open_data
from trainables.water_mae.datasets import WORLDS
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PUBLISHED_SET, DataKnobs
from trainables.water_mae.worlds.synthetic import TINY, Island, write_island

_KNOBS = DataKnobs(vector_patch_size=4)


def _series(root: Path) -> pd.DataFrame:
    (path,) = (root / "tiny").glob("*.parquet")
    return pd.read_parquet(path)


def _attributes(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "tiny" / "Catchment_attributes_nrfa.csv", index_col="id")


@pytest.mark.slow
def test_a_world_is_the_same_every_time(tmp_path: Path, tiny: WaterData) -> None:
    write_island(replace(TINY, test=None), tmp_path / "again")
    assert open_data(tmp_path, "again", _KNOBS).fingerprint == tiny.fingerprint


@pytest.mark.slow
def test_the_other_splits_do_not_depend_on_the_test_split(tmp_path: Path, tiny: WaterData) -> None:
    WORLDS["tiny"].make(tmp_path / "whole")
    whole = open_data(tmp_path, "whole", _KNOBS)
    assert (whole.num_samples("test"), tiny.num_samples("test")) == (17, 0)  # windows of 30 of 365 days
    assert whole.image_observed is tiny.image_observed is None
    for name in ("images", "vectors", "vector_observed"):
        mine, other = getattr(whole, name), getattr(tiny, name)
        assert np.array_equal(mine[: len(other)], other), name
        assert len(mine) == len(other) + 365
    assert np.array_equal(whole.geometry.static, tiny.geometry.static)
    assert np.array_equal(whole.std, tiny.std)
    assert np.abs(whole.images[-365:] - whole.images[-730:-365]).mean() > 0.5  # weather of its own


def test_another_seed_is_another_world(tmp_path: Path) -> None:
    days = Period(np.datetime64("2001-01-01"), np.datetime64("2001-02-28"))
    later = Period(np.datetime64("2001-03-01"), np.datetime64("2001-04-30"))
    prints = set()
    for seed in range(2):
        island = Island(rows=30, cols=30, num_catchments=9, train=days, val=later, seed=seed)
        write_island(island, tmp_path / str(seed))
        prints.add(open_data(tmp_path, str(seed), _KNOBS).fingerprint)
    assert len(prints) == 2


def test_files_have_the_layout_of_the_real_data(tiny_root: Path) -> None:
    names = {path.name for path in (tiny_root / "tiny").iterdir() if path.is_file()}
    assert names == {
        *(f"{name}_train_2001_2003.h5" for name in PUBLISHED_SET.fields),
        *(f"{name}_val_2004_2004.h5" for name in PUBLISHED_SET.fields),
        "riverflow_evaporation_48catchments_2001_2004.parquet",
        "Catchment_attributes_nrfa.csv",
        "land_mask_40x40.npy",
    }
    with h5py.File(tiny_root / "tiny" / "temperature_val_2004_2004.h5") as file:
        data, dates = file["data"], file["dates"]
        assert (data.shape, data.dtype, data.chunks) == ((366, 40, 40), np.float32, (30, 40, 40))
        assert (data.compression, data.compression_opts) == ("gzip", 4)
        assert (dates.dtype, dates[0], dates[-1]) == (np.dtype("S10"), b"2004-01-01", b"2004-12-31")
    assert np.load(tiny_root / "tiny" / "land_mask_40x40.npy").dtype == np.uint8
    assert list(_series(tiny_root).columns) == ["date", "ID", "evaporation", "riverflow"]
    assert tuple(_attributes(tiny_root).columns) == NRFA_ATTRIBUTES


def test_the_irregularities_of_real_archives_are_there(tiny_root: Path) -> None:
    flow = _series(tiny_root).pivot(index="date", columns="ID", values="riverflow")
    missing = flow.iloc[30:].isna().mean()
    assert (missing > 0.05).sum() == 1
    assert ((missing > 0) & (missing <= 0.05)).sum() == 2
    assert _attributes(tiny_root).isna().any(axis=1).sum() == 1


def test_rivers_on_permeable_ground_are_steadier(tiny_root: Path) -> None:
    flow = _series(tiny_root).pivot(index="date", columns="ID", values="riverflow")
    bfihost = _attributes(tiny_root)["bfihost"]
    flashiness = flow.diff().abs().mean() / flow.mean()
    assert flashiness.corr(bfihost, method="spearman") < -0.8


def test_soil_moisture_follows_rain_and_rivers_follow_soil(tiny: WaterData) -> None:
    valid = tiny.geometry.pixel_valid
    rain, soil = (tiny.images[:, number][:, valid].mean(axis=1) for number in (0, 1))
    flow = (
        tiny.vectors[:, 1].reshape(len(tiny.vectors), -1)[:, tiny.geometry.member_valid.ravel()].mean(axis=1)
    )
    rain_before = np.convolve(rain, np.ones(10))[:-9]
    assert np.corrcoef(rain_before[40:], soil[40:])[0, 1] > 0.4
    assert np.corrcoef(soil[40:], flow[40:])[0, 1] > 0.6


def _patch_means(data: WaterData, number: int) -> np.ndarray:
    valid = data.geometry.pixel_valid
    return np.asarray((data.images[:, number] * valid).sum(axis=2) / valid.sum(axis=1))


@pytest.mark.parametrize("number", range(3))
def test_visible_patches_tell_more_about_hidden_ones_than_the_calendar(tiny: WaterData, number: int) -> None:
    means, usual = _patch_means(tiny, number), tiny.climatology()[0][:, number]
    valid = tiny.geometry.pixel_valid
    usual = (usual * valid).sum(axis=2) / valid.sum(axis=1)
    num_train = int(tiny.starts["val"][0])
    hidden, visible = means[:, ::2], np.c_[means[:, 1::2], np.ones(len(means))]
    fit, *_ = np.linalg.lstsq(visible[:num_train], hidden[:num_train], rcond=None)
    from_neighbours = np.square(visible[num_train:] @ fit - hidden[num_train:]).mean()
    from_calendar = np.square(usual[tiny.day_of_year[num_train:], ::2] - hidden[num_train:]).mean()
    assert from_neighbours < from_calendar / 3


def test_a_world_is_not_written_over_files(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(OutputError, match="must be new or empty"):
        WORLDS["tiny"].make(tmp_path)


@pytest.mark.slow
def test_the_small_world_opens(tmp_path: Path) -> None:
    WORLDS["small"].make(tmp_path / "small")
    data = open_data(tmp_path, "small", DataKnobs())
    assert len(data.catchments) == 199
    assert data.geometry.num_patches > 40
    assert (data.num_samples("train"), data.num_samples("val")) == (72, 17)
