"""Monthly files become one: in the order of time, the same each time, with gaps told."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from thalweg.data.hdf5 import open_daily, read_days
from thalweg.data.merging import find_days, merge
from thalweg.errors import DataError, OutputError

DATES = np.arange("2001-01-20", "2001-04-10", dtype="datetime64[D]")
SENTINEL = -99999.0


def grid(day: np.datetime64) -> np.ndarray:
    values = np.random.default_rng(int(day.astype(int))).standard_normal((5, 4)).astype(np.float32)
    values[0, 0] = SENTINEL
    return values


def write_months(folder: Path, dates: np.ndarray = DATES, *, prefix: str = "rain") -> list[Path]:
    """Writes one file per month; names sort the wrong way round, and so do the days in them."""
    paths = []
    for month in np.unique(dates.astype("datetime64[M]")):
        path = folder / f"{prefix}_{99 - int(month.astype(int)) % 12}.h5"
        with h5py.File(path, "w") as file:
            for day in dates[dates.astype("datetime64[M]") == month][::-1]:
                file[str(day)] = grid(day)
        paths.append(path)
    return sorted(paths)


def content(path: Path) -> tuple[np.ndarray, np.ndarray]:
    daily = open_daily(path)
    return daily.dates, np.concatenate([piece for _, piece in read_days(daily)])


def test_days_are_merged_in_the_order_of_time(tmp_path: Path) -> None:
    files = write_months(tmp_path)
    assert len(files) == 4
    found = find_days(files)
    assert list(found) == list(DATES)
    merged = merge(found, DATES, tmp_path / "merged.h5")
    dates, values = content(tmp_path / "merged.h5")
    assert np.array_equal(dates, DATES)
    assert np.array_equal(values, np.stack([grid(day) for day in DATES]))
    assert (merged.num_files, merged.num_days, merged.gaps, merged.written) == (4, len(DATES), (), True)


def test_only_the_days_of_the_period_are_taken(tmp_path: Path) -> None:
    period = np.arange("2001-02-10", "2001-02-20", dtype="datetime64[D]")
    merged = merge(find_days(write_months(tmp_path)), period, tmp_path / "merged.h5")
    assert merged.num_files == 1
    assert np.array_equal(content(tmp_path / "merged.h5")[0], period)


def test_merging_again_changes_nothing(tmp_path: Path) -> None:
    days = find_days(write_months(tmp_path))
    target = tmp_path / "merged.h5"
    merge(days, DATES, target)
    before, stamp = target.read_bytes(), target.stat().st_mtime_ns
    again = merge(days, DATES, target)
    assert not again.written
    assert target.stat().st_mtime_ns == stamp
    target.unlink()
    merge(days, DATES, target)
    assert target.read_bytes() == before
    assert not list(tmp_path.glob(".merged*"))


def test_a_file_that_changed_is_merged_anew(tmp_path: Path) -> None:
    files = write_months(tmp_path)
    target = tmp_path / "merged.h5"
    merge(find_days(files), DATES, target)
    with h5py.File(files[0], "a") as file:
        name = min(file)
        file[name][2, 2] = 77.0
    assert merge(find_days(files), DATES, target).written
    assert content(target)[1][np.datetime64(name) == DATES, 2, 2] == 77.0


def test_gaps_are_told_and_refused(tmp_path: Path) -> None:
    files = write_months(tmp_path, np.delete(DATES, [5, 6, 30]))
    with pytest.raises(
        DataError, match="got none for 2001-01-25 to 2001-01-26, 2001-02-19 to 2001-02-19; add"
    ):
        merge(find_days(files), DATES, tmp_path / "merged.h5")
    assert not (tmp_path / "merged.h5").exists()


def test_gaps_can_be_interpolated_and_sentinels_stay(tmp_path: Path) -> None:
    files = write_months(tmp_path, np.delete(DATES, [5, 6, 30]))
    merged = merge(find_days(files), DATES, tmp_path / "merged.h5", missing="interpolate", sentinel=SENTINEL)
    assert merged.gaps == (("2001-01-25", "2001-01-26"), ("2001-02-19", "2001-02-19"))
    assert "gaps: 2001-01-25 to 2001-01-26, 2001-02-19" in str(merged)
    values = content(tmp_path / "merged.h5")[1]
    for number, left, right in ((5, 4, 7), (6, 4, 7), (30, 29, 31)):
        share = (number - left) / (right - left)
        expected = (1 - share) * grid(DATES[left]) + share * grid(DATES[right])
        np.testing.assert_allclose(values[number].ravel()[1:], expected.ravel()[1:], atol=1e-6)
    assert (values[:, 0, 0] == SENTINEL).all()
    assert np.flatnonzero(open_daily(tmp_path / "merged.h5").interpolated).tolist() == [5, 6, 30]


def test_a_file_without_gaps_marks_nothing(tmp_path: Path) -> None:
    merge(find_days(write_months(tmp_path)), DATES, tmp_path / "merged.h5", missing="interpolate")
    with h5py.File(tmp_path / "merged.h5") as file:
        assert sorted(file) == ["data", "dates"]
    assert not open_daily(tmp_path / "merged.h5").interpolated.any()


def test_marks_that_are_no_marks_are_refused(tmp_path: Path) -> None:
    merge(find_days(write_months(tmp_path)), DATES, tmp_path / "merged.h5")
    with h5py.File(tmp_path / "merged.h5", "a") as file:
        file["interpolated"] = np.zeros(3, bool)
    with pytest.raises(DataError, match=r"interpolated in .* for each of 80 days, got bool \(3,\)"):
        open_daily(tmp_path / "merged.h5")


def test_a_cell_that_loses_its_data_beside_a_gap_has_none_in_it(tmp_path: Path) -> None:
    files = write_months(tmp_path, np.delete(DATES, 5))
    for path in files:
        with h5py.File(path, "a") as file:
            if str(DATES[4]) in file:
                file[str(DATES[4])][1, 1] = SENTINEL
                file[str(DATES[4])][2, 1] = np.nan
    merge(find_days(files), DATES, tmp_path / "merged.h5", missing="interpolate", sentinel=SENTINEL)
    values = content(tmp_path / "merged.h5")[1]
    assert values[5, 1, 1] == SENTINEL
    assert np.isnan(values[5, 2, 1])


@pytest.mark.parametrize("number", [0, -1])
def test_the_ends_of_a_period_are_not_invented(tmp_path: Path, number: int) -> None:
    files = write_months(tmp_path, np.delete(DATES, number))
    with pytest.raises(DataError, match="must hold every day from 2001-01-20 to 2001-04-09"):
        merge(find_days(files), DATES, tmp_path / "merged.h5", missing="interpolate")


def test_a_day_in_two_files_is_refused(tmp_path: Path) -> None:
    files = write_months(tmp_path) + write_months(tmp_path, DATES[:3], prefix="again")
    with pytest.raises(DataError, match="each day must be in one file, got 2001-01-2"):
        find_days(files)


@pytest.mark.parametrize("name", ["mean", "2001-1-5", "2001-01", "20010105"])
def test_a_dataset_that_is_no_day_is_refused(tmp_path: Path, name: str) -> None:
    (path, *_) = write_months(tmp_path)
    with h5py.File(path, "a") as file:
        file[name] = np.zeros((5, 4), np.float32)
    with pytest.raises(DataError, match=f"named YYYY-MM-DD, got '{name}'"):
        find_days([path])


def test_days_of_another_shape_are_refused(tmp_path: Path) -> None:
    files = write_months(tmp_path)
    with h5py.File(files[0], "a") as file:
        name = max(file)
        del file[name]
        file[name] = np.zeros((5, 3), np.float32)
    with pytest.raises(DataError, match=rf"one shape, got \(5, 3\) for {name} .* and \(5, 4\)"):
        merge(find_days(files), DATES, tmp_path / "merged.h5")
    assert not list(tmp_path.glob("*merged*"))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (path, *_) = write_months(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match="must be a complete HDF5 file"):
        find_days([path])


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    days = find_days(write_months(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="must be writable, got"):
        merge(days, DATES, tmp_path / "file" / "merged.h5")
