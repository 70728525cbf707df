"""Opened data equal a slow, obvious reading of the files."""

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from trainables.water_mae.data import prepare as prepare_module
from trainables.water_mae.data.windows import REFERENCE_GEOMETRY, WaterData, open_data
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PUBLISHED_SET, DataKnobs

pytestmark = pytest.mark.slow

_KNOBS = DataKnobs(vector_patch_size=4)
_NUM_TRAIN = 1095  # 2001 to 2003
_DROPPED = 1001 + 7 * 7


def _grid(folder: Path, name: str, split: str) -> np.ndarray:
    (path,) = folder.glob(f"{name}_{split}_*.h5")
    with h5py.File(path) as file:
        return np.asarray(file["data"][:])


def _series(folder: Path, column: str) -> pd.DataFrame:
    (path,) = folder.glob("*.parquet")
    return pd.read_parquet(path).pivot(index="date", columns="ID", values=column)


@pytest.fixture(scope="module")
def folder(tiny_root: Path) -> Path:
    return tiny_root / "tiny"


@pytest.mark.parametrize("number", range(3))
def test_images_are_normalised_land_patches(folder: Path, tiny: WaterData, number: int) -> None:
    name = PUBLISHED_SET.fields[number]
    grids = [_grid(folder, name, split) for split in ("train", "val")]
    land = np.load(folder / "land_mask_40x40.npy") == 1
    on_land = grids[0][:, land].astype(np.float64)
    assert tiny.mean[number] == pytest.approx(on_land.mean())
    assert tiny.std[number] == pytest.approx(on_land.std())
    grid = (np.concatenate(grids) - on_land.mean()) / on_land.std()
    expected = []
    for row in range(4):
        for col in range(4):
            inside = np.s_[10 * row : 10 * row + 10, 10 * col : 10 * col + 10]
            if land[inside].mean() >= 0.5:
                expected.append(np.where(land[inside], grid[:, *inside], 0).reshape(-1, 100))
    assert len(expected) < 16
    np.testing.assert_allclose(tiny.images[:, number], np.stack(expected, axis=1), atol=1e-4)


def test_geometry_says_where_land_is(folder: Path, tiny: WaterData) -> None:
    land = np.load(folder / "land_mask_40x40.npy") == 1
    geometry = tiny.geometry
    for patch, (row, col) in enumerate(geometry.patch_rows_cols):
        inside = land[10 * row : 10 * row + 10, 10 * col : 10 * col + 10]
        assert np.array_equal(geometry.pixel_valid[patch], inside.ravel())
    partial = geometry.pixel_valid.mean(axis=1) < 1
    assert partial.sum() >= 3
    assert geometry.num_patches == len(geometry.patch_rows_cols) == tiny.images.shape[2]


@pytest.mark.parametrize("number", [0, 1])
def test_vectors_are_filled_and_normalised_series(folder: Path, tiny: WaterData, number: int) -> None:
    series = _series(folder, ("evaporation", "riverflow")[number]).drop(columns=_DROPPED)
    logged = pd.DataFrame(np.log(series + 1e-6)) if number else series
    seen = logged.loc[:"2003-12-31"].to_numpy()
    mean, std = np.nanmean(seen), np.nanstd(seen)
    scores = (logged - mean) / std
    assert scores.isna().to_numpy().any() == (number == 1)
    patches = [scores.iloc[:, first : first + 4] for first in range(0, scores.shape[1], 4)]
    filled = [  # by those that were observed that day
        patch.where(patch.notna(), patch.mean(axis=1), axis=0) for patch in patches
    ]
    expected = pd.concat(filled, axis=1).fillna(0.0).to_numpy()
    assert tiny.mean[3 + number] == pytest.approx(mean, rel=1e-5)
    assert tiny.std[3 + number] == pytest.approx(std, rel=1e-5)
    flat = tiny.vectors[:, number].reshape(len(tiny.vectors), -1)
    np.testing.assert_allclose(flat[:, : expected.shape[1]], expected, atol=2e-5)
    assert not flat[:, expected.shape[1] :].any()


def test_catchments_with_many_gaps_are_dropped_and_padding_is_marked(tiny: WaterData) -> None:
    assert len(tiny.catchments) == 47
    assert _DROPPED not in tiny.catchments
    assert tiny.geometry.member_valid.sum() == 47
    assert tiny.geometry.member_valid[-1].tolist() == [True, True, True, False]


def test_a_larger_missing_ratio_keeps_the_catchment(tiny_root: Path) -> None:
    data = open_data(tiny_root, "tiny", DataKnobs(vector_patch_size=4, max_missing_ratio=0.5))
    assert _DROPPED in data.catchments


def test_static_attributes_are_scores_with_the_mean_for_unknown_values(folder: Path, tiny: WaterData) -> None:
    table = pd.read_csv(folder / "Catchment_attributes_nrfa.csv", index_col="id").loc[list(tiny.catchments)]
    assert table.isna().to_numpy().any()
    filled = table[list(NRFA_ATTRIBUTES)].fillna(table.mean())
    std = table[list(NRFA_ATTRIBUTES)].std(ddof=0)
    expected = ((filled - filled.mean()) / std).to_numpy()
    flat = tiny.geometry.static.reshape(-1, 11)
    np.testing.assert_allclose(flat[:47], expected, atol=1e-5)
    assert not flat[47:].any()


def test_a_modality_absent_everywhere_is_marked_and_zero(tiny: WaterData) -> None:
    assert np.flatnonzero(~tiny.vector_present[:, 1]).tolist() == list(range(30))
    assert tiny.vector_present[:, 0].all()
    assert not tiny.vectors[:30, 1].any()


def test_nothing_of_the_training_split_depends_on_validation(tiny_copy: Path, tiny: WaterData) -> None:
    (path,) = tiny_copy.glob("*.parquet")
    table = pd.read_parquet(path)
    table.loc[table["date"] >= "2004-01-01", ["riverflow", "evaporation"]] *= 3
    path.unlink()
    table.to_parquet(path)
    for path in tiny_copy.glob("*_val_*.h5"):
        changed = path.with_suffix(".new")
        shutil.copy(path, changed)
        with h5py.File(changed, "a") as file:
            file["data"][...] = file["data"][:] * 0.5 + 0.1
        changed.replace(path)
    other = open_data(tiny_copy.parent, "copy", _KNOBS)
    assert other.fingerprint != tiny.fingerprint
    assert np.array_equal(other.mean, tiny.mean)
    assert np.array_equal(other.std, tiny.std)
    assert np.array_equal(other.images[:_NUM_TRAIN], tiny.images[:_NUM_TRAIN])
    assert np.array_equal(other.vectors[:_NUM_TRAIN], tiny.vectors[:_NUM_TRAIN])
    for mine, theirs in zip(other.climatology(), tiny.climatology(), strict=True):
        assert np.array_equal(mine, theirs)


def test_windows_hold_the_days_they_name(tiny: WaterData) -> None:
    batch = tiny.windows("val", np.array([3, 0]))
    days = _NUM_TRAIN + np.array([60, 0])
    for sample, day in enumerate(days):
        assert np.array_equal(batch["images"][sample], tiny.images[day : day + 30].swapaxes(0, 1))
        assert np.array_equal(batch["vectors"][sample], tiny.vectors[day : day + 30].swapaxes(0, 1))
    new_year = int(np.datetime64("2004-01-01").astype(int))
    assert batch["window"].tolist() == [new_year + 60, new_year]
    assert batch["day_of_year"][1].tolist() == list(range(30))
    assert {name: array.dtype.name for name, array in batch.items()} == {
        "images": "float32",
        "vectors": "float32",
        "vector_present": "float32",
        "day_of_year": "int64",
        "window": "uint64",
    }


def test_the_last_day_of_a_leap_year_is_day_365(tiny: WaterData) -> None:
    assert tiny.day_of_year[-1] == 365
    assert tiny.day_of_year[_NUM_TRAIN - 1] == 364


def test_windows_say_which_modalities_are_present_throughout(tiny: WaterData) -> None:
    present = tiny.windows("train", np.arange(4))["vector_present"]
    assert present.tolist() == [[1, 0], [1, 0], [1, 1], [1, 1]]


def test_windows_are_counted_by_split(tiny: WaterData) -> None:
    assert tiny.num_samples("train") == (_NUM_TRAIN - 30) // 20 + 1
    assert tiny.num_samples("val") == (366 - 30) // 20 + 1
    assert tiny.num_samples("test") == 0


def test_a_patch_size_that_does_not_divide_the_grid_pads_with_ocean(tiny_root: Path, tiny: WaterData) -> None:
    data = open_data(tiny_root, "tiny", DataKnobs(vector_patch_size=4, patch_size=12, land_threshold=0.01))
    land = np.load(tiny_root / "tiny" / "land_mask_40x40.npy")
    assert data.geometry.pixel_valid.sum() == land.sum()
    assert data.geometry.patch_rows_cols.max() == 3
    assert data.mean == pytest.approx(tiny.mean)


def test_reopening_reads_only_the_store(
    tiny_root: Path, tiny: WaterData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("prepared again")

    monkeypatch.setattr(prepare_module, "prepare", refuse)
    again = open_data(tiny_root, "tiny", _KNOBS)
    assert again.fingerprint == tiny.fingerprint
    assert np.array_equal(again.images, tiny.images)


def test_stride_and_length_share_one_store(
    tiny_root: Path, tiny: WaterData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "prepare", None)
    other = open_data(tiny_root, "tiny", DataKnobs(vector_patch_size=4, sequence_length=15, stride=5))
    assert other.windows("train", np.array([0]))["images"].shape[2] == 15
    assert other.num_samples("train") == (_NUM_TRAIN - 15) // 5 + 1
    assert other.fingerprint != tiny.fingerprint


@pytest.mark.parametrize("stride", [2, 5, 10, 20])
def test_evaluations_are_the_same_for_every_stride(
    tiny_root: Path, tiny: WaterData, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    monkeypatch.setattr(prepare_module, "prepare", None)
    other = open_data(tiny_root, "tiny", _KNOBS.model_copy(update={"stride": stride}))
    assert other.num_samples("train") == (_NUM_TRAIN - 30) // stride + 1
    assert np.array_equal(other.starts["val"], tiny.starts["val"])
    assert other.fingerprint == tiny.fingerprint
    finer = open_data(tiny_root, "tiny", _KNOBS.model_copy(update={"evaluation_stride": stride}))
    assert np.array_equal(finer.starts["train"], tiny.starts["train"])
    assert len(finer.starts["val"]) == (len(tiny.images) - _NUM_TRAIN - 30) // stride + 1
    assert (finer.fingerprint == tiny.fingerprint) == (stride == 20)


@pytest.mark.parametrize(
    "knobs",
    [{"patch_size": 8}, {"vector_patch_size": 5}, {"land_threshold": 0.9}, {"max_missing_ratio": 0.5}],
)
def test_every_knob_that_changes_samples_changes_the_fingerprint(
    tiny_root: Path, tiny: WaterData, knobs: dict[str, float]
) -> None:
    values = _KNOBS.model_dump() | knobs
    assert open_data(tiny_root, "tiny", DataKnobs(**values)).fingerprint != tiny.fingerprint


def test_equal_content_in_other_bytes_has_the_same_fingerprint(tiny_copy: Path, tiny: WaterData) -> None:
    for path in list(tiny_copy.glob("*.h5")):
        with h5py.File(path) as file:
            days, dates = file["data"][:], file["dates"][:]
        path.unlink()
        with h5py.File(path, "w") as file:
            file.create_dataset("data", data=days, chunks=(7, 40, 40))
            file.create_dataset("dates", data=dates)
    (path,) = tiny_copy.glob("*.parquet")
    table = pd.read_parquet(path).sample(frac=1, random_state=0)
    path.unlink()
    table.to_parquet(path, compression=None)
    assert open_data(tiny_copy.parent, "copy", _KNOBS).fingerprint == tiny.fingerprint


def _with_gaps(folder: Path, name: str) -> np.ndarray:
    """Takes the data of some land cells away, always and on single days; returns where."""
    land = np.load(folder / "land_mask_40x40.npy") == 1
    rng = np.random.default_rng(0)
    forever: np.ndarray = land & (rng.random(land.shape) < 0.04)
    for path in folder.glob(f"{name}_*.h5"):
        changed = path.with_suffix(".new")
        shutil.copy(path, changed)
        with h5py.File(changed, "a") as file:
            days = file["data"][:]
            days[:, forever] = -99999.0
            days[5:9, 20, 15:18] = np.nan
            file["data"][...] = days
        changed.replace(path)
    return forever


@pytest.mark.parametrize("method", ["zero", "nearest", "median"])
def test_land_cells_without_data_are_filled_and_told(tiny_copy: Path, tiny: WaterData, method: str) -> None:
    forever = _with_gaps(tiny_copy, "precipitation")
    knobs = DataKnobs.model_validate(_KNOBS.model_dump() | {"fill_precipitation": method})
    data = open_data(tiny_copy.parent, "copy", knobs)
    land = np.load(tiny_copy / "land_mask_40x40.npy") == 1
    grids = [_grid(tiny_copy, "precipitation", split) for split in ("train", "val")]
    seen = grids[0][:, land].astype(np.float64)
    seen = seen[np.isfinite(seen) & (seen != -99999)]
    assert data.mean[0] == pytest.approx(seen.mean(), rel=1e-6)
    assert data.std[0] == pytest.approx(seen.std(), rel=1e-6)
    assert np.isfinite(data.images).all()
    (note,) = (note for note in data.notes if "filled" in note)
    num_days = _NUM_TRAIN + 366
    assert f"precipitation: {forever.sum() * num_days + 8 * 3:,} values" in note
    assert f"on {num_days:,} days had no data and were filled by {method} from the same patch" in note
    raw = data.images[1000, 0] * data.std[0] + data.mean[0]
    day = grids[0][1000]
    for patch, (row, col) in enumerate(data.geometry.patch_rows_cols):
        inside = np.s_[10 * row : 10 * row + 10, 10 * col : 10 * col + 10]
        for pixel in np.flatnonzero(forever[inside].ravel()):
            seen_here = (land & ~forever)[inside]
            expected = {
                "zero": 0.0,
                "median": float(np.median(day[inside][seen_here])),
                "nearest": _nearest(day[inside], seen_here, int(pixel) // 10, int(pixel) % 10),
            }[method]
            assert raw[patch, pixel] == pytest.approx(expected, abs=1e-4)
    assert data.fingerprint != tiny.fingerprint
    assert np.array_equal(data.images[:, 1:], tiny.images[:, 1:])
    seen = np.ones((len(grids[1]), *land.shape), bool)
    seen[:, forever] = False
    seen[5:9, 20, 15:18] = False
    observed = data.observed("val", np.array([0]))["image_observed"][0]
    for patch, (row, col) in enumerate(data.geometry.patch_rows_cols):
        inside = np.s_[10 * row : 10 * row + 10, 10 * col : 10 * col + 10]
        expected = (seen & land)[:30, *inside].reshape(30, -1)
        assert np.array_equal(observed[0, :, patch], expected)
        assert (observed[1:, :, patch] == land[inside].ravel()).all()


def _nearest(day: np.ndarray, known: np.ndarray, row: int, col: int) -> float:
    places = np.argwhere(known)
    squares = ((places - (row, col)) ** 2).sum(axis=1)
    return float(day[tuple(places[squares.argmin()])])


def test_whole_data_are_not_filled_and_nothing_is_told(tiny_root: Path, tiny: WaterData) -> None:
    knobs = DataKnobs.model_validate(_KNOBS.model_dump() | {"fill_temperature": "nearest"})
    data = open_data(tiny_root, "tiny", knobs)
    assert data.notes == tiny.notes
    assert not any("filled" in note for note in data.notes)
    assert (
        "river_flow: windows without it, for more than 7 days in a row have no data: 2 of 54 of train, 0 of 17 of val"
        in tiny.notes
    )
    assert np.array_equal(data.images, tiny.images)


def test_half_the_bytes_hold_nearly_the_same_days_and_say_how_nearly(
    tiny_root: Path, tiny: WaterData
) -> None:
    data = open_data(tiny_root, "tiny", DataKnobs(vector_patch_size=4, stored_as="float16"))
    assert data.images.nbytes * 2 == tiny.images.nbytes
    assert data.vectors.nbytes * 2 == tiny.vectors.nbytes
    (note,) = (note for note in data.notes if "stored as" in note)
    kinds = {"images": PUBLISHED_SET.fields, "vectors": PUBLISHED_SET.series}
    for kind, names in kinds.items():
        for number, name in enumerate(names):
            exact, rounded = getattr(tiny, kind)[:, number], getattr(data, kind)[:, number]
            error = np.abs(rounded.astype(np.float32) - exact).max()
            assert 0 < error < 0.01
            assert f"{name} {error:.2g}" in note
    batch, exact_batch = (each.windows("val", np.array([2])) for each in (data, tiny))
    assert batch["images"].dtype == batch["vectors"].dtype == np.float16
    np.testing.assert_allclose(batch["images"], exact_batch["images"], atol=0.01)
    assert data.fingerprint != tiny.fingerprint
    assert np.array_equal(data.mean, tiny.mean)


def _split_off_test(folder: Path, first: int) -> None:
    """Makes the last days of val a split of their own."""
    for path in list(folder.glob("*_val_*.h5")):
        with h5py.File(path) as file:
            days, dates = file["data"][:], file["dates"][:]
        path.unlink()
        for split, part in (("val", slice(0, first)), ("test", slice(first, None))):
            with h5py.File(path.with_name(path.name.replace("_val_", f"_{split}_")), "w") as file:
                file["data"], file["dates"] = days[part], dates[part]


def test_a_test_split_is_served_when_there_is_one(tiny_copy: Path, tiny: WaterData) -> None:
    _split_off_test(tiny_copy, 200)
    data = open_data(tiny_copy.parent, "copy", _KNOBS)
    assert (data.num_samples("val"), data.num_samples("test")) == ((200 - 30) // 20 + 1, (166 - 30) // 20 + 1)
    assert np.array_equal(data.images, tiny.images)
    first = data.windows("test", np.array([0]))
    assert np.array_equal(first["images"][0], tiny.images[_NUM_TRAIN + 200 : _NUM_TRAIN + 230].swapaxes(0, 1))
    for mine, theirs in zip(data.climatology(), tiny.climatology(), strict=True):
        assert np.array_equal(mine, theirs)


def test_no_window_of_a_split_reaches_into_another(tiny_copy: Path) -> None:
    _split_off_test(tiny_copy, 200)
    for length, stride in ((30, 20), (7, 2), (1, 1)):
        knobs = _KNOBS.model_copy(update={"sequence_length": length, "stride": stride})
        data = open_data(tiny_copy.parent, "copy", knobs)
        spans = {"train": (0, _NUM_TRAIN), "val": (_NUM_TRAIN, _NUM_TRAIN + 200)}
        spans["test"] = (_NUM_TRAIN + 200, len(data.images))
        for split, (start, stop) in spans.items():
            firsts = data.starts[split]  # type: ignore[index]
            assert firsts[0] == start
            assert (firsts >= start).all()
            assert (firsts + length <= stop).all()


def test_names_of_the_reference_experiment_are_found(tiny_copy: Path, tiny: WaterData) -> None:
    for path in tiny_copy.glob("soil_moisture_val_*.h5"):
        path.rename(path.with_name(path.name.replace("soil_moisture", "soil")))
    mask = tiny_copy / "land_mask_40x40.npy"
    torch.save(torch.tensor(np.load(mask)), tiny_copy / "gb_temp_valid_mask_40x40.pt")
    mask.unlink()
    assert open_data(tiny_copy.parent, "copy", _KNOBS).fingerprint == tiny.fingerprint


_TOUCH = """
import sys
from pathlib import Path
import numpy as np
import psutil
from trainables.water_mae.knobs import DataKnobs
from trainables.water_mae.data.windows import open_data

knobs = DataKnobs(vector_patch_size=4)
data = open_data(Path(sys.argv[1]), "tiny", knobs)
data.windows("train", np.arange(2))
before = psutil.Process().memory_full_info()
for _ in range(3):
    data = open_data(Path(sys.argv[1]), "tiny", knobs)
    for index in range(data.num_samples("train")):
        data.windows("train", np.array([index]))
after = psutil.Process().memory_full_info()
anonymous = lambda info: info.rss - info.shared
print(anonymous(after) - anonymous(before), data.images.nbytes)
"""


def test_a_reader_needs_little_private_memory(tiny_root: Path, tiny: WaterData) -> None:
    command = [sys.executable, "-c", _TOUCH, str(tiny_root)]
    grown, mapped = map(int, subprocess.check_output(command, text=True).split())
    assert mapped > 20e6
    assert grown < 4e6


def test_the_reference_geometry_has_the_published_counts() -> None:
    geometry = REFERENCE_GEOMETRY
    counts = (geometry.num_patches, geometry.num_pixels, geometry.num_vector_patches, geometry.num_members)
    assert counts == (94, 100, 76, 8)
    assert geometry.member_valid.sum() == 604
    assert geometry.static.shape == (76, 8, 11)
