"""Decodes stored numbers into physical values: packing and missing data, by the CF conventions.

Source: CF conventions 1.11, 2.5.1 (missing data, valid range) and 8.1 (packed data); NetCDF Users Guide, appendix A
(``_Unsigned``, default fill values, valid ranges of packed data).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float32, Float64, Shaped

from thalweg.errors import DataError

FLOAT_FILL = 9.969209968386869e36
"""netCDF's default fill value of floating-point numbers."""
NAMES = (
    "_FillValue",
    "missing_value",
    "scale_factor",
    "add_offset",
    "valid_min",
    "valid_max",
    "valid_range",
    "_Unsigned",
    "units",
)
"""CF attributes that define the encoding."""

_INTEGER_FILLS = {
    "i2": -32767,
    "u2": 65535,
    "i4": -2147483647,
    "u4": 4294967295,
    "i8": -9223372036854775806,
    "u8": 18446744073709551614,
}


@dataclass(frozen=True)
class Encoding:
    """The encoding of one array: what its stored numbers mean.

    Attributes:
        dtype: Number format in which the numbers are compared, unsigned if ``_Unsigned`` says so.
        missing: Stored numbers that mark missing data.
        stored_range: Smallest and largest valid stored number.
        range: Smallest and largest valid physical value.
        scale: Physical step of one stored unit.
        offset: Physical value of a stored 0.
        is_packed: Whether scale or offset are declared.
        units: The declared unit, empty if there is none.
    """

    dtype: np.dtype[Any]
    missing: tuple[np.generic, ...] = ()
    stored_range: tuple[float, float] = (-np.inf, np.inf)
    range: tuple[float, float] = (-np.inf, np.inf)
    scale: float = 1.0
    offset: float = 0.0
    is_packed: bool = False
    units: str = ""

    @classmethod
    def of_dataset(cls, dataset: h5py.Dataset, where: str) -> Self:
        """Reads the encoding of an HDF5 dataset; HDF5's own fill value marks missing data too, unless it is 0.

        Raises:
            DataError: An attribute is no number.
        """
        attributes = {name: dataset.attrs[name] for name in set(dataset.attrs) & set(NAMES)}
        return cls.of(attributes, dataset.dtype, where, fill=_own_fill(dataset))

    @classmethod
    def of(
        cls,
        attributes: Mapping[str, Any],
        dtype: npt.DTypeLike,
        where: str,
        *,
        fill: object = None,
        is_netcdf: bool = False,
    ) -> Self:
        """Reads the encoding from attributes.

        Args:
            attributes: Attributes of the array; others than `NAMES` are ignored.
            dtype: Stored number format.
            where: Name of the array for messages.
            fill: Stored number of missing data, used if ``_FillValue`` is not declared.
            is_netcdf: Whether netCDF wrote the array. Its default fill value then marks missing data among integers
                that are not packed, too.

        Raises:
            DataError: An attribute is no number, or a scale is 0.
        """
        stored = np.dtype(dtype)
        if stored.kind not in "fiu":
            return cls(stored)
        unsigned = stored.kind == "i" and _text(attributes.get("_Unsigned", "")).casefold() == "true"
        seen = np.dtype(f"u{stored.itemsize}") if unsigned else stored
        numbers = {
            name: _numbers(attributes[name], f"{name} of {where}")
            for name in NAMES[:-2]
            if name in attributes
        }
        is_packed = "scale_factor" in numbers or "add_offset" in numbers
        if "_FillValue" not in numbers:
            default = _INTEGER_FILLS.get(seen.str[1:]) if is_packed or is_netcdf else None
            own = [each for each in (fill, default) if each is not None]
            numbers["_FillValue"] = np.array(own) if own else np.empty(0)
        missing = [*numbers["_FillValue"], *numbers.get("missing_value", ())]
        if seen.kind == "f":
            missing.append(np.float64(FLOAT_FILL))
        stored_range, physical = _ranges(numbers, seen, is_packed, where)
        return cls(
            dtype=seen,
            missing=tuple(number for each in missing for number in _as_stored(each, seen)),
            stored_range=stored_range,
            range=physical,
            scale=_one(numbers, "scale_factor", 1.0, where),
            offset=_one(numbers, "add_offset", 0.0, where),
            is_packed=is_packed,
            units=_text(attributes.get("units", "")),
        )

    @property
    def precision(self) -> float:
        """Largest rounding error of packing: half a step of packed integers, else 0."""
        return abs(self.scale) / 2 if self.is_packed and self.dtype.kind in "iu" else 0.0

    def decode(self, stored: Shaped[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
        """Returns physical values, NaN for missing data; may be `stored` itself."""
        gone = self._is_missing(stored)
        with np.errstate(over="ignore"):
            values = self._physical(stored).astype(np.float32, copy=False)
        return np.where(gone, np.float32(np.nan), values) if gone.any() else values

    def decode_exactly(self, stored: Shaped[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        """Returns the same as `decode`, in double precision."""
        values: Float64[np.ndarray, "*shape"] = np.where(
            self._is_missing(stored), np.nan, self._physical(stored).astype(np.float64)
        )
        return values

    def _seen(self, stored: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
        return stored.view(self.dtype) if self.dtype.kind == "u" and stored.dtype.kind == "i" else stored

    def _physical(self, stored: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
        seen = self._seen(stored)
        return seen.astype(np.float64) * self.scale + self.offset if self.is_packed else seen

    def _is_missing(self, stored: Shaped[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
        seen = self._seen(stored)
        gone: Bool[np.ndarray, "*shape"] = np.zeros(seen.shape, bool)
        with np.errstate(over="ignore"):
            for number in self.missing:
                # beside double-precision numbers, a single-precision declaration means its rounded value
                narrow = seen.dtype == np.float64 and number.dtype == np.float32
                gone |= (seen.astype(np.float32) if narrow else seen) == number
        low, high = self.stored_range
        if np.isfinite(low) or np.isfinite(high):
            gone |= (seen < low) | (seen > high)
        low, high = self.range
        if np.isfinite(low) or np.isfinite(high):
            values, slack = self._physical(stored), self.precision
            gone |= (values < low - slack) | (values > high + slack)
        return gone


def _own_fill(dataset: h5py.Dataset) -> object:
    """Returns HDF5's own fill value; None if it is the default, 0, or of one byte."""
    if dataset.dtype.kind not in "fiu" or dataset.dtype.itemsize == 1:
        return None
    is_chosen = (
        dataset.id.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED
        and dataset.fillvalue != 0
    )
    return dataset.fillvalue if is_chosen else None


def _text(value: object) -> str:
    """Returns an attribute as text; HDF5 stores texts as bytes, as str, or as an array of one."""
    value = value.ravel()[0] if isinstance(value, np.ndarray) and value.size == 1 else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _numbers(value: object, where: str) -> Shaped[np.ndarray, " number"]:
    """Returns the numbers of an attribute; some programs write them as text."""
    try:
        if isinstance(value, str | bytes):
            value = [float(part) for part in _text(value).replace(",", " ").split()]
        numbers = np.atleast_1d(np.asarray(value))
        if numbers.dtype.kind not in "fiu":
            numbers = numbers.astype(np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.ndim != 1 or not numbers.size:
        raise DataError(f"{where} must be a number, got {value!r}; correct the attribute")
    return numbers


def _one(
    numbers: Mapping[str, Shaped[np.ndarray, " number"]], name: str, default: float, where: str
) -> float:
    given = numbers.get(name, np.array([default]))
    value = float(given[0])
    if given.size != 1 or not np.isfinite(value) or (name == "scale_factor" and not value):
        law = "one finite number" + (" other than 0" if name == "scale_factor" else "")
        raise DataError(f"{name} of {where} must be {law}, got {given.tolist()}; correct the attribute")
    return value


def _as_stored(number: Any, dtype: np.dtype[Any]) -> list[np.generic]:
    """Returns a declared number in the stored format, in a list; an empty list if the format cannot hold it."""
    if np.isnan(number):
        return []
    if dtype.kind == "f":
        is_narrower = number.dtype.kind == "f" and number.dtype.itemsize < dtype.itemsize
        with np.errstate(over="ignore"):
            return [number if is_narrower else dtype.type(number)]
    whole = int(number) if np.isfinite(number) else None
    if whole is None or whole != number:
        return []
    limits = np.iinfo(dtype)
    if dtype.kind == "u" and -(limits.max + 1) // 2 <= whole < 0:  # written in the signed twin of the format
        whole += limits.max + 1
    return [dtype.type(whole)] if limits.min <= whole <= limits.max else []


def _ranges(
    numbers: Mapping[str, Shaped[np.ndarray, " number"]], dtype: np.dtype[Any], is_packed: bool, where: str
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Returns the valid range of stored numbers and that of physical values; one of them is infinite.

    Integers are packed: an integer range refers to stored numbers, any other to physical values.
    """
    ends = [numbers.get(name) for name in ("valid_min", "valid_max")]
    if "valid_range" in numbers:
        given = numbers["valid_range"]
        if given.size != 2:
            raise DataError(
                f"valid_range of {where} must be two numbers, got {given.tolist()}; correct the attribute"
            )
        ends = [given[:1], given[1:]]
    known = [end for end in ends if end is not None]
    is_physical = is_packed and any(
        end.dtype.kind == "f" and (dtype.kind != "f" or end.dtype.itemsize > dtype.itemsize) for end in known
    )
    low, high = (
        default if end is None or np.isnan(end[0]) else float(_as_limit(end[0], dtype, is_physical))
        for end, default in zip(ends, (-np.inf, np.inf), strict=True)
    )
    if low > high:
        raise DataError(
            f"the valid range of {where} must not end below its beginning, got {low:g} to {high:g}; "
            "correct the attributes"
        )
    everything = (-np.inf, np.inf)
    return (everything, (low, high)) if is_physical else ((low, high), everything)


def _as_limit(end: Any, dtype: np.dtype[Any], is_physical: bool) -> Any:
    if is_physical:
        return end
    found = _as_stored(end, dtype)
    return found[0] if found else end
