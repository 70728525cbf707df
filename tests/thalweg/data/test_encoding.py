"""Stored numbers become the physical values that the CF conventions say, and NaN where these say that there is none."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data.encoding import FLOAT_FILL, Encoding
from thalweg.errors import DataError

NAN = np.nan


def decoded(attributes: dict[str, Any], stored: np.ndarray, **how: Any) -> np.ndarray:
    return Encoding.of(attributes, stored.dtype, "data", **how).decode(stored)


def through_a_file(
    tmp_path: Path, attributes: dict[str, Any], stored: np.ndarray, fillvalue: Any = None
) -> np.ndarray:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("data", data=stored, fillvalue=fillvalue)
        data.attrs.update(attributes)
    with h5py.File(tmp_path / "x.h5") as file:
        return Encoding.of_dataset(file["data"], "data").decode(file["data"][...])


@pytest.mark.parametrize(
    ("attributes", "stored", "expected"),
    [
        ({}, np.array([1.5, -99999, np.inf], np.float32), [1.5, -99999, np.inf]),
        ({}, np.array([1, -9999, -32767, 0], np.int16), [1, -9999, -32767, 0]),
        ({}, np.array([1, FLOAT_FILL], np.float32), [1, NAN]),
        ({}, np.array([1, FLOAT_FILL]), [1, NAN]),
        (
            {"_FillValue": 1e20},
            np.array([1, 1e20], np.float32),
            [1, NAN],
        ),  # single precision beside a Python number
        ({"_FillValue": np.float32(-9999.9)}, np.array([1.0, np.float32(-9999.9)]), [1, NAN]),
        ({"_FillValue": b"-9999"}, np.array([1, -9999], np.float32), [1, NAN]),
        ({"_FillValue": np.array([-9999.0])}, np.array([1, -9999], np.int32), [1, NAN]),
        ({"missing_value": [-999, -9999]}, np.array([1, -999, -9999, -99], np.float32), [1, NAN, NAN, -99]),
        ({"_FillValue": -1, "missing_value": -2}, np.array([-1, -2, -3], np.int8), [NAN, NAN, -3]),
        ({"valid_min": 0}, np.array([-0.5, 0, 9], np.float32), [NAN, 0, 9]),
        ({"valid_max": 0.1}, np.array([0.1, 0.2], np.float32), [np.float32(0.1), NAN]),
        ({"valid_range": [0, 5]}, np.array([-1, 0, 5, 6], np.int16), [NAN, 0, 5, NAN]),
        # packed: whole numbers of a range are stored ones, others are physical
        (
            {"scale_factor": 0.1, "add_offset": 5.0, "_FillValue": -32768},
            np.array([-32768, 0, 100], np.int16),
            [NAN, 5, 15],
        ),
        (
            {"scale_factor": 0.1, "valid_range": np.array([0, 100], np.int16)},
            np.array([-1, 100, 101], np.int16),
            [NAN, 10, NAN],
        ),
        ({"scale_factor": 0.1, "valid_max": 10.0}, np.array([100, 101], np.int16), [10, NAN]),
        ({"scale_factor": -0.1, "valid_min": 0.0}, np.array([-10, 10], np.int16), [1, NAN]),
        (
            {"scale_factor": 0.1},
            np.array([10, -32767], np.int16),
            [1, NAN],
        ),  # the default fill of packed numbers
        ({"scale_factor": 1.0}, np.array([255], np.uint8), [255]),  # bytes have none
        ({"add_offset": 273.15}, np.array([0, FLOAT_FILL], np.float32), [np.float32(273.15), NAN]),
        (
            {"_Unsigned": "true", "scale_factor": 0.5, "_FillValue": np.int8(-1)},
            np.array([-1, -2, 4], np.int8),
            [NAN, 127, 2],
        ),
        (
            {"_Unsigned": b"true", "valid_range": np.array([0, -2], np.int8)},
            np.array([-1, -2, 4], np.int8),
            [NAN, 254, 4],
        ),
    ],
)
def test_attributes_say_what_stored_numbers_mean(
    tmp_path: Path, attributes: dict[str, Any], stored: np.ndarray, expected: list[float]
) -> None:
    values = through_a_file(tmp_path, attributes, stored)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.array(expected, np.float32))
    np.testing.assert_array_equal(decoded(attributes, stored), np.array(expected, np.float32))


def test_the_fill_value_of_hdf5_itself_counts_unless_it_is_zero(tmp_path: Path) -> None:
    stored = np.array([0, 1, -9999], np.float32)
    assert through_a_file(tmp_path, {}, stored, fillvalue=-9999).tolist()[:2] == [0, 1]
    assert np.isnan(through_a_file(tmp_path, {}, stored, fillvalue=-9999)[2])
    assert through_a_file(tmp_path, {}, stored, fillvalue=0).tolist() == [0, 1, -9999]
    assert through_a_file(tmp_path, {"_FillValue": 1.0}, stored, fillvalue=-9999)[2] == -9999


def test_default_fills_of_netcdf_are_missing_in_its_variables_alone() -> None:
    stored = np.array([3, -2147483647], np.int32)
    assert decoded({}, stored).tolist() == [3, np.float32(-2147483647)]
    np.testing.assert_array_equal(decoded({}, stored, is_netcdf=True), [3, NAN])
    np.testing.assert_array_equal(decoded({}, np.array([255], np.uint8), is_netcdf=True), [255])
    assert decoded({"_FillValue": 3}, stored, is_netcdf=True)[1] == np.float32(-2147483647)


@pytest.mark.parametrize(
    ("attributes", "match"),
    [
        ({"_FillValue": "none"}, "_FillValue of rain must be a number, got 'none'; correct the attribute"),
        ({"scale_factor": 0.0}, r"scale_factor of rain must be one finite number other than 0, got \[0.0\]"),
        ({"add_offset": np.nan}, r"add_offset of rain must be one finite number, got \[nan\]"),
        ({"scale_factor": [1.0, 2.0]}, r"scale_factor of rain must be one .* got \[1.0, 2.0\]"),
        ({"valid_range": [1.0]}, r"valid_range of rain must be two numbers, got \[1.0\]"),
        ({"valid_range": [3.0, 1.0]}, "range of rain must not end below its beginning, got 3 to 1"),
    ],
)
def test_attributes_that_mean_nothing_are_refused(attributes: dict[str, Any], match: str) -> None:
    with pytest.raises(DataError, match=match):
        Encoding.of(attributes, np.int16, "rain")


fields = st.lists(st.floats(-90, 90, width=32) | st.none(), min_size=1, max_size=20)


@given(
    fields,
    st.sampled_from([np.int16, np.int32, np.uint16, np.uint32]),
    st.floats(0.006, 5),
    st.floats(-100, 100),
    st.booleans(),
    st.sampled_from(["_FillValue", "missing_value", "both", "default"]),
)
def test_whatever_is_packed_comes_out_within_half_a_step(
    field: list[float | None], dtype: Any, scale: float, offset: float, is_flipped: bool, how: str
) -> None:
    limits = np.iinfo(dtype)
    offset = offset if limits.min < 0 else -100.0  # unsigned numbers count up from the lowest value
    scale = -scale if is_flipped and limits.min < 0 else scale
    fill = {np.int16: -32767, np.int32: -2147483647, np.uint16: 65535, np.uint32: 4294967295}[dtype]
    fill = fill if how == "default" else limits.max
    known = np.array([value is not None for value in field])
    physical = np.array([value if value is not None else 0.0 for value in field])
    stored = np.where(known, np.round((physical - offset) / scale), fill).astype(dtype)
    attributes: dict[str, Any] = {"scale_factor": scale, "add_offset": offset}
    attributes |= {name: dtype(fill) for name in ("_FillValue", "missing_value") if how in (name, "both")}
    values = decoded(attributes, stored)
    assert np.array_equal(np.isnan(values), ~known)
    slack = abs(scale) / 2 + 1e-6 * (np.abs(physical) + abs(offset) + abs(scale))
    assert (np.abs(values - physical)[known] <= slack[known]).all()


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=20), st.data())
def test_packed_numbers_are_those_of_xarray(stored: list[int], data: st.DataObject) -> None:
    """xarray decodes the same but for valid ranges and default fills, which it leaves."""
    fill = np.int16(data.draw(st.sampled_from([*stored, 7])))
    attributes = {
        "scale_factor": data.draw(st.floats(0.001, 10)),
        "add_offset": data.draw(st.floats(-300, 300)),
        "_FillValue": fill,
    }
    raw = xr.Dataset({"x": ("i", np.array(stored, np.int16), attributes)})
    expected = xr.decode_cf(raw)["x"].values
    encoding = Encoding.of(attributes, np.int16, "x")
    np.testing.assert_allclose(encoding.decode_exactly(np.array(stored, np.int16)), expected, rtol=1e-12)


@given(st.lists(st.integers(-(2**15), 2**15 - 1)), st.sampled_from([np.int16, np.int32, np.int64]))
def test_whole_numbers_without_attributes_stay_what_they_are(stored: list[int], dtype: Any) -> None:
    assert decoded({"units": "mm", "long_name": "rain"}, np.array(stored, dtype)).tolist() == stored


def test_how_far_packing_moves_a_value_is_known() -> None:
    assert Encoding.of({"scale_factor": -0.5}, np.int16, "x").precision == 0.25
    assert Encoding.of({"scale_factor": 0.5}, np.float32, "x").precision == 0
    assert Encoding.of({}, np.int16, "x").precision == 0
