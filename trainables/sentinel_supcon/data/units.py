"""Units of both sensors: backscatter in dB, reflectance, and which files say otherwise.

Since processing baseline 04.00 (25 January 2022) the numbers of Sentinel-2 products are 10000 * reflectance + 1000. The
shift is known from a file's own scale and offset, its tags, its product's name, or the data set's table. Where nothing
tells, it shows: no pixel is below 1000 in all bands. Source: Sentinel-2 Products Specification 14.9, RADIO_ADD_OFFSET.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from thalweg.errors import DataError

REFLECTANCE = 10_000.0
"""Number that stands for a reflectance of 1."""
SHIFT = -1000.0
"""What is added to the numbers of processing baseline 04.00 and later."""
TELLING_BANDS = frozenset(("B11", "B12"))
"""Short-wave infrared, in which snow is dark: without it a place may be bright in all bands."""
LARGEST_FRACTION = 20.0
"""A reflectance is not above it; numbers of a data set that are all below are no ten thousandths of reflectance."""
_MAX_DECIBELS = 200.0
_DARK = 1e-3  # share of pixels that may be darker than the shift: reflectance may be just below 0
_PRODUCT = re.compile(r"_N(\d{2})(\d{2})(?:_|\.|$)")
_BASELINE_TAGS = ("PROCESSING_BASELINE", "BASELINE")
_OFFSET_TAGS = ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
_TEST_BASELINE = "99.99"  # of reprocessed products, which says nothing


def shift_of_baseline(baseline: str) -> float:
    """Returns what is to be added to the numbers of a processing baseline, such as ``05.09``.

    Raises:
        DataError: The text is no baseline.
    """
    if not re.fullmatch(r"\d{1,2}\.\d{1,2}", baseline):
        raise DataError(f"a processing baseline must be like 04.00, got {baseline!r}; correct it")
    return SHIFT if float(baseline) >= 4 else 0.0


def known_shift(name: str, tags: Mapping[str, str], baseline: str) -> float | None:
    """Returns what is to be added to the numbers of an optical image; None if nothing tells.

    Args:
        name: Name of its file, which may hold that of the product.
        tags: Tags of the file.
        baseline: What the data set's table says; empty if it says nothing.
    """
    upper = {key.upper(): str(value).strip() for key, value in tags.items()}
    for key in _OFFSET_TAGS:
        if key in upper:
            return float(upper[key].split(",")[0])
    told = next((upper[key] for key in _BASELINE_TAGS if key in upper), baseline)
    if not told and (match := _PRODUCT.search(name)):
        told = f"{match[1]}.{match[2]}"
    if not told or told == _TEST_BASELINE:
        return None
    return shift_of_baseline(told)


def darkest(image: Float32[np.ndarray, "band row col"]) -> float:
    """Returns the number below which a thousandth of an image's pixels are in some band; infinity without data.

    At least 1000 in all images of a place shows the shift of baseline 04.00, if they hold `TELLING_BANDS`.
    """
    least = np.where(np.isfinite(image), image, np.inf).min(0)
    seen = least[np.isfinite(least)]
    return float(np.quantile(seen, _DARK)) if seen.size else float("inf")


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


def require_decibels(image: Float32[np.ndarray, "band row col"], path: Path) -> None:
    """Checks that backscatter which a file gives in dB can be that.

    Raises:
        DataError: A number is out of bounds, as undeclared ones for missing data are.
    """
    found = image[np.abs(image) > _MAX_DECIBELS]
    if found.size:
        raise DataError(
            f"backscatter in dB must be from {-_MAX_DECIBELS:.0f} to {_MAX_DECIBELS:.0f}, got {found[0]:g} in {path}; "
            "if this stands for missing data, declare it as the file's nodata value"
        )


def require_reflectance(image: Float32[np.ndarray, "band row col"], path: Path) -> None:
    """Checks that what a file gives as reflectance can be that.

    Raises:
        DataError: A number is larger, as those are that stand for ten thousandths.
    """
    found = image[image > LARGEST_FRACTION]
    if found.size:
        raise DataError(
            f"reflectance must be at most {LARGEST_FRACTION:.0f}, got {found[0]:g} in {path}; give the file a scale "
            "and an offset that turn its numbers into reflectance, such as 0.0001 and -0.1, or none for ten thousandths"
        )
