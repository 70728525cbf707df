"""Broken data are refused when opened, with the law, the value and the way out."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from thalweg.errors import DataError
from trainables.water_mae.data.windows import open_data
from trainables.water_mae.knobs import DataKnobs

pytestmark = pytest.mark.slow

_KNOBS = DataKnobs(vector_patch_size=4)


def _refused(folder: Path, match: str, knobs: DataKnobs = _KNOBS) -> None:
    with pytest.raises(DataError, match=match):
        open_data(folder.parent, folder.name, knobs)
    assert not list((folder / ".store").glob("*/facts.json"))


def _file(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def _change_h5(folder: Path, pattern: str, change: Callable[[h5py.File], None]) -> None:
    path = _file(folder, pattern)
    changed = path.with_suffix(".new")
    shutil.copy(path, changed)
    with h5py.File(changed, "a") as file:
        change(file)
    changed.replace(path)


def _change_series(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = _file(folder, "*.parquet")
    table = change(pd.read_parquet(path))
    path.unlink()
    table.to_parquet(path)


def _change_attributes(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = folder / "Catchment_attributes_nrfa.csv"
    table = change(pd.read_csv(path))
    path.unlink()
    table.to_csv(path, index=False)


def _change_mask(folder: Path, mask: np.ndarray) -> None:
    path = _file(folder, "*mask*.npy")
    path.unlink()
    np.save(path, mask)


def _mask(folder: Path) -> np.ndarray:
    return np.asarray(np.load(_file(folder, "*mask*.npy")))


def _set_land(folder: Path, split: str, day: int, count: int, value: float) -> None:
    rows, cols = np.nonzero(_mask(folder))

    def change(file: h5py.File) -> None:
        grid = file["data"][day]
        grid[rows[:count], cols[:count]] = value
        file["data"][day] = grid

    _change_h5(folder, f"temperature_{split}_*.h5", change)


def test_a_missing_data_set_names_the_commands_that_write_one(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"`thalweg data make water_mae` .* `thalweg data import gb-hydrology"
    ):
        open_data(tmp_path, "nope", _KNOBS)


@pytest.mark.parametrize(
    "pattern", ["precipitation_train_*.h5", "temperature_val_*.h5", "*.parquet", "*.csv", "land_mask_*.npy"]
)
def test_a_missing_file_is_named(tiny_copy: Path, pattern: str) -> None:
    _file(tiny_copy, pattern).unlink()
    _refused(tiny_copy, "must hold one file .* got none; copy it there")


def test_two_files_for_one_role_are_named(tiny_copy: Path) -> None:
    path = _file(tiny_copy, "soil_moisture_train_*.h5")
    shutil.copy(path, path.with_name("soil_moisture_train_1989_2010.h5"))
    _refused(
        tiny_copy, "got soil_moisture_train_1989_2010.h5, soil_moisture_train_2001_2003.h5; move all but one"
    )


def test_a_truncated_grid_is_refused(tiny_copy: Path) -> None:
    path = _file(tiny_copy, "precipitation_val_*.h5")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    _refused(tiny_copy, "precipitation_val_.* must be a complete HDF5 file")


def test_a_truncated_parquet_is_refused(tiny_copy: Path) -> None:
    path = _file(tiny_copy, "*.parquet")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    _refused(tiny_copy, "must be a complete parquet file")


def test_grids_of_different_shape_are_refused(tiny_copy: Path) -> None:
    def change(file: h5py.File) -> None:
        days = file["data"][:, :30]
        del file["data"]
        file["data"] = days

    _change_h5(tiny_copy, "temperature_val_*.h5", change)
    _refused(tiny_copy, r"all grids must have one shape, got \(30, 40\)")


def test_grids_of_float64_are_refused(tiny_copy: Path) -> None:
    def change(file: h5py.File) -> None:
        days = file["data"][:].astype(np.float64)
        del file["data"]
        file["data"] = days

    _change_h5(tiny_copy, "temperature_val_*.h5", change)
    _refused(tiny_copy, "must be float32 of shape .* got float64")


@pytest.mark.parametrize("name", ["data", "dates"])
def test_a_grid_file_without_a_dataset_is_refused(tiny_copy: Path, name: str) -> None:
    def change(file: h5py.File) -> None:
        del file[name]

    _change_h5(tiny_copy, "soil_moisture_train_*.h5", change)
    _refused(tiny_copy, "must hold the datasets 'data' and 'dates'")


def _shorten(file: h5py.File, days: slice) -> None:
    data, dates = file["data"][days], file["dates"][days]
    del file["data"], file["dates"]
    file["data"], file["dates"] = data, dates


def test_modalities_with_other_days_are_refused(tiny_copy: Path) -> None:
    _change_h5(tiny_copy, "temperature_val_*.h5", lambda file: _shorten(file, slice(1, None)))
    _refused(tiny_copy, "must cover the same days, got 2004-01-02 to 2004-12-31 in .*temperature_val")


def test_a_missing_day_is_refused(tiny_copy: Path) -> None:
    def change(file: h5py.File) -> None:
        keep = np.delete(np.arange(len(file["dates"])), 100)
        data, dates = file["data"][:][keep], file["dates"][:][keep]
        del file["data"], file["dates"]
        file["data"], file["dates"] = data, dates

    _change_h5(tiny_copy, "precipitation_train_*.h5", change)
    _refused(tiny_copy, r"consecutive days, got \['2001-04-10', '2001-04-12'\]")


def test_overlapping_splits_are_refused(tiny_copy: Path) -> None:
    for name in ("precipitation", "soil_moisture", "temperature"):
        _file(tiny_copy, f"{name}_val_*.h5").unlink()
        train = _file(tiny_copy, f"{name}_train_*.h5")
        shutil.copy(train, train.with_name(f"{name}_val_2003_2003.h5"))
        _change_h5(tiny_copy, f"{name}_val_*.h5", lambda file: _shorten(file, slice(1000, None)))
    _refused(tiny_copy, "val must begin after train ends, got 2003-09-28 and 2003-12-31")


def test_a_sentinel_on_land_is_counted_and_dated(tiny_copy: Path) -> None:
    _set_land(tiny_copy, "train", 40, 7, -99999.0)
    _set_land(tiny_copy, "train", 90, 5, -99999.0)
    _refused(tiny_copy, "got 12 values without, first the sentinel -99999 on 2001-02-10; fill them")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_land_that_is_not_finite_is_counted_and_dated(tiny_copy: Path, value: float) -> None:
    _set_land(tiny_copy, "val", 1, 3, value)
    _refused(tiny_copy, "got 3 values without, first NaN, infinity or a fill value on 2004-01-02")


def test_a_sentinel_in_the_ocean_is_no_fault(tiny_root: Path) -> None:
    ocean = np.load(tiny_root / "tiny" / "land_mask_40x40.npy") == 0
    with h5py.File(next((tiny_root / "tiny").glob("temperature_train_*.h5"))) as file:
        assert (file["data"][0][ocean] == -99999).all()
    assert np.isfinite(open_data(tiny_root, "tiny", _KNOBS).images).all()


def test_a_field_that_never_varies_is_refused(tiny_copy: Path) -> None:
    def change(file: h5py.File) -> None:
        file["data"][...] = np.float32(0.25)

    _change_h5(tiny_copy, "soil_moisture_train_*.h5", change)
    _refused(tiny_copy, "soil_moisture must vary over the training split, got 0.25 everywhere")


@pytest.mark.parametrize("value", [0.1, 1.0, 3.7])
def test_a_river_flow_that_never_varies_is_refused(tiny_copy: Path, value: float) -> None:
    (path,) = tiny_copy.glob("*.parquet")
    table = pd.read_parquet(path).assign(riverflow=np.float32(value))
    path.unlink()
    table.to_parquet(path)
    _refused(tiny_copy, "river_flow must vary over the training split")


@pytest.mark.parametrize("column", ["date", "ID", "evaporation", "riverflow"])
def test_a_parquet_without_a_column_is_refused(tiny_copy: Path, column: str) -> None:
    _change_series(tiny_copy, lambda table: table.drop(columns=column))
    _refused(tiny_copy, f"must have the columns .* got no {column}; its columns are")


def test_a_parquet_that_does_not_cover_the_splits_is_refused(tiny_copy: Path) -> None:
    _change_series(tiny_copy, lambda table: table[table["date"] <= "2004-12-24"])
    _refused(tiny_copy, "must cover every day of the splits, got no rows on 7 days, first 2004-12-25")


def test_a_parquet_of_other_years_is_one_fault(tiny_copy: Path) -> None:
    _change_series(tiny_copy, lambda table: table.assign(date=table["date"] + pd.Timedelta(days=7305)))
    with pytest.raises(DataError) as caught:
        open_data(tiny_copy.parent, tiny_copy.name, _KNOBS)
    assert type(caught.value) is DataError  # not one of several
    assert "must cover every day of the splits, got no rows on" in str(caught.value)


def test_a_catchment_of_other_years_is_one_fault(tiny_copy: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        late = table["date"] + pd.Timedelta(days=7305)
        return table.assign(date=table["date"].where(table["ID"] != 1015, late))

    _change_series(tiny_copy, change)
    with pytest.raises(
        DataError, match="must have rows within the splits, got none for 1015; remove it"
    ) as caught:
        open_data(tiny_copy.parent, tiny_copy.name, _KNOBS)
    assert type(caught.value) is DataError


def test_two_rows_for_one_day_are_refused(tiny_copy: Path) -> None:
    _change_series(tiny_copy, lambda table: pd.concat([table, table.iloc[[5]]]))
    _refused(tiny_copy, "one row per date and ID, got 2 for 2001-01-06 and 1001")


def test_dates_that_are_no_dates_are_refused(tiny_copy: Path) -> None:
    _change_series(tiny_copy, lambda table: table.assign(date="day " + table["ID"].astype(str)))
    _refused(tiny_copy, "date in .* must be dates")


def test_ids_that_are_no_numbers_are_refused(tiny_copy: Path) -> None:
    _change_series(tiny_copy, lambda table: table.assign(ID=table["ID"] + 0.5))
    _refused(tiny_copy, "ID in .* must be whole numbers")


def test_series_that_are_no_numbers_are_refused(tiny_copy: Path) -> None:
    _change_series(tiny_copy, lambda table: table.assign(riverflow="about " + table["riverflow"].astype(str)))
    _refused(tiny_copy, "riverflow in .* must be numbers, got 'about ")


def test_all_faults_of_both_tables_are_told_at_once(tiny_copy: Path) -> None:
    _change_series(tiny_copy, lambda table: table.assign(date="day", ID=table["ID"] + 0.5))
    _change_attributes(tiny_copy, lambda table: table.drop(columns="bfihost").assign(propwet="wet"))
    _refused(
        tiny_copy,
        r"(?s)got 4 faults:.*date in .*ID in .* must be whole numbers.*got no bfihost.*propwet in .* got 'wet'",
    )


@pytest.mark.parametrize("value", [-1.0, -99999.0, np.inf])
def test_an_impossible_river_flow_is_refused(tiny_copy: Path, value: float) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[(table["ID"] == 1008) & (table["date"] == "2002-03-01"), "riverflow"] = value
        return table

    _change_series(tiny_copy, change)
    _refused(
        tiny_copy,
        "riverflow in .* within 0 and 5000 mm/day, got 1 other value in 1 place, first .* on 2002-03-01 at 1008",
    )


def test_a_sentinel_in_evaporation_is_refused(tiny_copy: Path) -> None:
    _change_series(tiny_copy, lambda table: table.assign(evaporation=-99999.0))
    _refused(tiny_copy, "evaporation in .* within -100 and 100 mm/day, got 70,128 other values in 48 places")


def test_a_catchment_without_any_flow_is_named(tiny_copy: Path) -> None:
    _change_series(
        tiny_copy, lambda table: table.assign(riverflow=table["riverflow"].where(table["ID"] != 1015))
    )
    _refused(tiny_copy, "must have some riverflow within the splits, got none for 1015; remove it")


def test_a_data_set_whose_catchments_are_all_dropped_is_refused(tiny_copy: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        odd = (table["date"].dt.day + table["ID"]) % 2 == 1
        return table.assign(riverflow=table["riverflow"].where(odd))

    _change_series(tiny_copy, change)
    _refused(tiny_copy, "must miss at most 0.05 of its days, got none of 48; raise data.max_missing_ratio")


def test_river_flow_absent_from_training_is_refused(tiny_copy: Path) -> None:
    _change_series(
        tiny_copy,
        lambda table: table.assign(riverflow=table["riverflow"].where(table["date"] >= "2004-01-01")),
    )
    _refused(tiny_copy, "river_flow must be known on some day of the training split")


def test_attributes_without_a_column_are_refused(tiny_copy: Path) -> None:
    _change_attributes(tiny_copy, lambda table: table.drop(columns="bfihost"))
    _refused(tiny_copy, "must have the columns id, .* got no bfihost")


def test_attributes_without_a_catchment_are_refused(tiny_copy: Path) -> None:
    _change_attributes(tiny_copy, lambda table: table[table["id"] != 1008])
    _refused(tiny_copy, "a row for every catchment, got none for 1008; add the rows")


def test_attributes_of_a_dropped_catchment_may_be_missing(tiny_copy: Path) -> None:
    _change_attributes(tiny_copy, lambda table: table[table["id"] != 1050])
    assert len(open_data(tiny_copy.parent, tiny_copy.name, _KNOBS).catchments) == 47


def test_attributes_with_two_rows_for_a_catchment_are_refused(tiny_copy: Path) -> None:
    _change_attributes(tiny_copy, lambda table: pd.concat([table, table.iloc[[0]]]))
    _refused(tiny_copy, "one row per id, got several for 1001")


def test_attributes_that_are_no_numbers_are_refused(tiny_copy: Path) -> None:
    _change_attributes(
        tiny_copy, lambda table: table.assign(propwet=["wet", *table["propwet"].astype(str)[1:]])
    )
    _refused(tiny_copy, "propwet in .* must be numbers, got 'wet'")


def test_an_attribute_known_nowhere_is_refused(tiny_copy: Path) -> None:
    _change_attributes(tiny_copy, lambda table: table.assign(dpsbar=np.nan))
    _refused(tiny_copy, "dpsbar in .* must be known for at least one kept catchment")


def test_a_mask_of_another_shape_is_refused(tiny_copy: Path) -> None:
    _change_mask(tiny_copy, _mask(tiny_copy)[:30])
    _refused(tiny_copy, r"the shape of the grids, got \(30, 40\) in .* for \(40, 40\)")


def test_a_mask_with_other_values_is_refused(tiny_copy: Path) -> None:
    _change_mask(tiny_copy, _mask(tiny_copy) * 2)
    _refused(tiny_copy, r"must be a 2-D array of 0 \(ocean\) and 1 \(land\)")


def test_a_mask_without_land_is_refused(tiny_copy: Path) -> None:
    _change_mask(tiny_copy, np.zeros_like(_mask(tiny_copy)))
    _refused(tiny_copy, "must have land, got none")


def test_a_file_that_is_no_mask_is_refused(tiny_copy: Path) -> None:
    path = _file(tiny_copy, "*mask*.npy")
    path.unlink()
    path.write_bytes(b"not an array")
    _refused(tiny_copy, "must be a complete npy file, got ValueError")
    with path.open("wb") as file:
        np.savez(file, np.ones((40, 40)))
    _refused(tiny_copy, "must be a complete npy file, got ValueError")


def test_a_threshold_that_keeps_no_patch_is_refused(tiny_copy: Path) -> None:
    rows, cols = np.indices((40, 40))
    _change_mask(tiny_copy, _mask(tiny_copy) * ((rows + cols) % 2).astype(np.uint8))
    _refused(tiny_copy, "must have a land share of 0.6, got 0.50 at most", DataKnobs(land_threshold=0.6))


def test_a_split_shorter_than_a_window_is_refused(tiny_copy: Path) -> None:
    for name in ("precipitation", "soil_moisture", "temperature"):
        _change_h5(tiny_copy, f"{name}_val_*.h5", lambda file: _shorten(file, slice(0, 29)))
    with pytest.raises(DataError, match=r"val of .* must hold a window of 30 days, got 29 days; lower"):
        open_data(tiny_copy.parent, tiny_copy.name, _KNOBS)


def test_a_torch_file_that_is_no_mask_is_refused(tiny_copy: Path) -> None:
    _file(tiny_copy, "*mask*.npy").unlink()
    (tiny_copy / "land_mask_40x40.pt").write_bytes(b"not a tensor")
    _refused(tiny_copy, "must be an array that torch wrote")


def test_two_masks_are_named(tiny_copy: Path) -> None:
    torch.save(torch.tensor(_mask(tiny_copy)), tiny_copy / "land_mask_40x40.pt")
    _refused(tiny_copy, "got land_mask_40x40.npy, land_mask_40x40.pt; move all but one away")


def test_a_test_split_must_hold_all_grids(tiny_copy: Path) -> None:
    path = _file(tiny_copy, "temperature_val_*.h5")
    path.rename(path.with_name("temperature_test_2004_2004.h5"))
    _refused(tiny_copy, "must hold one file precipitation_test_")


def test_values_beyond_float16_are_refused(tiny_copy: Path) -> None:
    def change(file: h5py.File) -> None:
        file["data"][...] = (
            np.float32(7) + np.random.default_rng(0).random(file["data"].shape, np.float32) * 1e-3
        )

    _change_h5(tiny_copy, "temperature_train_*.h5", change)
    _set_land(tiny_copy, "val", 7, 40 * 40, 90)
    _refused(
        tiny_copy,
        "normalised temperature must fit into float16, got .*; set data.stored_as to float32",
        _KNOBS.model_copy(update={"stored_as": "float16"}),
    )
