"""Units of both sensors: backscatter in dB, reflectance times 10,000, and which files say otherwise.

A file's own scale gives reflectance; an offset without a scale gives numbers. Floats of at most about 1 are reflectance
too. What its unit cannot be, such as -9999, is refused: then something is not declared.

Since processing baseline 04.00 (25 January 2022) the numbers of Sentinel-2 products are 10000 * reflectance + 1000. The
shift is known from a file's own scale and offset, its tags, its product's name, or the data set's table. Where nothing
tells, it shows: no pixel is below 1000 in all bands. Source: Sentinel-2 Products Specification 14.9, RADIO_ADD_OFFSET.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from thalweg.errors import DataError
from thalweg.wording import counted, some
from trainables.sentinel_supcon.data.contents import Unit

REFLECTANCE = 10_000.0
"""Number that stands for a reflectance of 1."""
SHIFT = -1000.0
"""What is added to the numbers of processing baseline 04.00 and later."""
TELLING_BANDS = frozenset(("B11", "B12"))
"""Short-wave infrared, in which snow is dark: without it a place may be bright in all bands."""
DIM = 20.0
"""Numbers of a data set that are all at most this are no ten thousandths of reflectance."""
_DARK = 1e-3  # share of pixels that may be darker than the shift: reflectance may be just below 0
_PRODUCT = re.compile(r"_N(\d{2})(\d{2})(?:_|\.|$)")
_BASELINE_TAGS = ("PROCESSING_BASELINE", "BASELINE")
_OFFSET_TAGS = ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
_TEST_BASELINE = "99.99"  # of reprocessed products, which says nothing
OFFSET_TAG = _OFFSET_TAGS[0]
"""Tag of a file that says what is to be added to its numbers."""
# What nearly all of an image's reflectance is below, as a fraction and in percent.
_FRACTION, _PERCENT = 2.0, 100.0
_LEAST_NUMBER, _MOST_NUMBER = -2000.0, 65_535.0
_DECIBELS = (-100.0, 60.0)
_TAKEN_OFF = 500.0  # that hold the offset of baseline 04.00, numbers are not below this: reflectance is -0.05


def shift_of_baseline(baseline: str) -> float:
    """Returns what is to be added to the numbers of a processing baseline, such as ``05.09``.

    Raises:
        DataError: The text is no baseline.
    """
    if not re.fullmatch(r"\d{1,2}\.\d{1,2}", baseline):
        raise DataError(f"a processing baseline must be like 04.00, got {baseline!r}; correct it")
    return SHIFT if float(baseline) >= 4 else 0.0


def known_shift(path: Path, tags: Mapping[str, str], baseline: str) -> float | None:
    """Returns what is to be added to the numbers of an optical image; None if nothing tells.

    Args:
        path: Its file, whose name may hold that of the product.
        tags: Tags of the file.
        baseline: What the data set's table says; empty if it says nothing.

    Raises:
        DataError: A tag or the table says something else than an offset or a baseline.
    """
    upper = {key.upper(): str(value).strip() for key, value in tags.items()}
    for key in _OFFSET_TAGS:
        if key in upper:
            return _offset(upper[key], f"{key} of {path}")
    told = next((upper[key] for key in _BASELINE_TAGS if key in upper), baseline)
    if not told and (match := _PRODUCT.search(path.name)):
        told = f"{match[1]}.{match[2]}"
    if not told or told == _TEST_BASELINE:
        return None
    try:
        return shift_of_baseline(told)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _offset(text: str, where: str) -> float:
    """Returns the number that a tag holds, once or for each band."""
    try:
        (found,) = {float(part) for part in re.split(r"[\s,;\[\](){}]+", text) if part}
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise DataError(f"{where} must be a number, or the same one for each band, got {text!r}; correct it")
    return found


def numbers(
    values: Float32[np.ndarray, "band row col"],
    path: Path,
    *,
    dtype: np.dtype[Any],
    has_scale: bool,
    full: float | None = None,
) -> Float32[np.ndarray, "band row col"]:
    """Returns an optical image as numbers, 10,000 for a reflectance of 1.

    Args:
        values: Its bands in order, scaled as the file says.
        path: The file.
        dtype: Type of the numbers in it.
        has_scale: Whether it says what its numbers are multiplied with.
        full: Number for a reflectance of 1 if it does not, 1 or 10,000; None tells it from the numbers.

    Raises:
        DataError: The file holds numbers that cannot be these.
    """
    as_they_are = full == REFLECTANCE and not has_scale
    found = values if as_they_are else _numbers(values, path, dtype, has_scale or full == 1)
    _require_numbers(found, path)
    return found


def _numbers(
    values: Float32[np.ndarray, "band row col"], path: Path, dtype: np.dtype[Any], has_scale: bool
) -> Float32[np.ndarray, "band row col"]:
    if has_scale:
        return values * np.float32(REFLECTANCE)
    if dtype.itemsize == 1:
        raise DataError(
            f"optical numbers must reach {REFLECTANCE:.0f} for a reflectance of 1, got {dtype} in {path}; take the "
            "product itself, or write the file's scale"
        )
    known = values[np.isfinite(values)] if dtype.kind == "f" else values[:0]
    most = float(np.quantile(known, 0.99)) if known.size else math.inf
    if most > _PERCENT:
        return values
    if most <= _FRACTION:
        return values * np.float32(REFLECTANCE)
    if np.array_equal(known, np.round(known)):
        return values
    raise DataError(
        f"optical numbers must be reflectance, or {REFLECTANCE:.0f} for a reflectance of 1, got fractions up to "
        f"{most:g} in {path}; if these are percent, write the file's scale of 0.01"
    )


def _require_numbers(image: Float32[np.ndarray, "band row col"], path: Path) -> None:
    if np.isnan(image).all():
        return
    if (least := float(np.nanmin(image))) < _LEAST_NUMBER:
        raise DataError(
            f"optical numbers must be at least {_LEAST_NUMBER:.0f}, got {least:.0f} in {path}; if it stands for no "
            "data, make it the file's nodata value, or NaN"
        )
    if np.nanmax(image) <= _MOST_NUMBER:
        return
    if (most := float(np.nanmean(image, dtype=np.float64))) > _MOST_NUMBER:
        raise DataError(
            f"optical numbers must be {REFLECTANCE:.0f} for a reflectance of 1, got a mean of {most:.0f} in {path}; "
            "write the file's scale, or correct it"
        )


def backscatter(
    values: Float32[np.ndarray, "2 row col"], unit: Unit, path: Path
) -> Float32[np.ndarray, "2 row col"]:
    """Returns backscatter in dB, or in counts if that is the unit; NaN where power is not above 0.

    Raises:
        DataError: The values cannot be of the unit.
    """
    known = values[np.isfinite(values)]
    if unit == "counts" or not known.size:
        return values
    if unit == "linear":
        if float(np.median(known)) <= 0:
            raise DataError(
                f"backscatter must be linear power as the unit says, above 0, got {np.median(known):g} as the "
                f"middle of {path}; say another unit, in scenes.json or as the option backscatter of an import"
            )
        return decibels(values)
    low, high = float(known.min()), float(known.max())
    if low < _DECIBELS[0] or high > _DECIBELS[1]:
        odd = low if low < _DECIBELS[0] else high
        raise DataError(
            f"backscatter must be from {_DECIBELS[0]:.0f} to {_DECIBELS[1]:.0f} dB, got {odd:g} in {path}; if it "
            "stands for no data, make it the file's nodata value, or NaN"
        )
    return values


def darkest(image: Float32[np.ndarray, "band row col"]) -> float:
    """Returns the number below which a thousandth of an image's pixels are in some band; infinity without data.

    At least 1000 in all images of a place shows the shift of baseline 04.00, if they hold `TELLING_BANDS`.
    """
    least = np.where(np.isfinite(image), image, np.inf).min(0)
    seen = least[np.isfinite(least)]
    return float(np.quantile(seen, _DARK)) if seen.size else float("inf")


@dataclass(frozen=True)
class WaysOut:
    """What messages of `Seen.require` say to do, in the words of the door that scenes come through.

    Attributes:
        power: About backscatter that is power.
        dim: About optical numbers that are too small.
        taken_off: About offsets that have been taken off, beside writing a tag.
    """

    power: str
    dim: str
    taken_off: str = ""


@dataclass
class Seen:
    """What scenes show of their units.

    Attributes:
        never_negative: Names of scenes without any backscatter below 0.
        any_bright: Whether any optical number is above `DIM`.
        offsets: Place of each scene, what is to be added to its optical numbers (None if nothing tells), and what
            `darkest` returned for them.
    """

    never_negative: list[str] = field(default_factory=list)
    any_bright: bool = False
    offsets: list[tuple[str, float | None, float]] = field(default_factory=list)

    def add_images(
        self, name: str, s1: Float32[np.ndarray, "2 row col"], s2: Float32[np.ndarray, "band row col"]
    ) -> None:
        """Notes what the images of a scene, or of a part of one, show."""
        # As linear power is, and dB are not.
        if bool(np.nanmin(s1) >= 0):
            self.never_negative.append(name)
        self.any_bright |= bool(np.nanmax(s2) > DIM)

    def add_offset(self, place: str, shift: float | None, s2: Float32[np.ndarray, "band row col"]) -> float:
        """Notes what a scene shows of the offset of its numbers; returns what `darkest` does."""
        dark = darkest(s2)
        self.offsets.append((place, shift, dark))
        return dark

    def require(self, where: Path, unit: Unit, ways_out: WaysOut) -> None:
        """Checks that units are what they are said to be.

        Args:
            where: The data set, or what names its scenes.
            unit: Unit of the radar images.
            ways_out: What to do otherwise.

        Raises:
            DataError: Backscatter in dB is power, optical numbers are too small, or their offset is taken off already.
        """
        if unit == "dB" and self.never_negative:
            raise DataError(
                f"backscatter in {where} must be in dB, some of it below 0 in each scene, got none in "
                f"{some(self.never_negative)}, as linear power is; {ways_out.power}"
            )
        if not self.any_bright:
            raise DataError(
                f"optical numbers in {where} must be {REFLECTANCE:.0f} for a reflectance of 1, got none above "
                f"{DIM:.0f}; {ways_out.dim}"
            )
        if taken := self._taken_off_before():
            raise DataError(
                f"numbers of processing baseline 04.00 and later must hold their offset of {-SHIFT:.0f}, got scenes of "
                f"{counted(len(taken), 'place')} in {where} whose dark pixels are far below it: {some(taken)}; if it "
                f"has been taken off, write the tag {OFFSET_TAG} = 0 into these files{ways_out.taken_off}"
            )

    def _taken_off_before(self) -> list[str]:
        """Returns places whose numbers show that the shift of baseline 04.00, which something names, is taken off."""
        told: dict[str, list[float]] = {}
        for place, shift, number in self.offsets:
            if shift == SHIFT and np.isfinite(number):
                told.setdefault(place, []).append(number)
        return sorted(place for place, numbers in told.items() if max(numbers) < _TAKEN_OFF)


def group_of_shift(place: str, bands: Sequence[str]) -> str:
    """Returns the name of those scenes that are judged together by `shows_shift`.

    Args:
        place: Place of a scene.
        bands: Bands that are known of it; without `TELLING_BANDS` no single place tells.
    """
    return place if set(bands) >= TELLING_BANDS else "all of them"


def shows_shift(darkest_numbers: list[float]) -> bool:
    """Returns whether the `darkest` numbers of some images show the shift of baseline 04.00."""
    told = [number for number in darkest_numbers if np.isfinite(number)]
    return bool(told) and min(told) >= -SHIFT


def decibels(power: Float32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Converts linear power to dB; NaN where it is not above 0."""
    positive = np.where(power > 0, power, np.float32(np.nan))
    return (10 * np.log10(positive)).astype(np.float32)
