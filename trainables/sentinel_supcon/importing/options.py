"""Options of the readers, and what their texts mean; light, for a list of data sets reads them."""

from collections.abc import Mapping
from typing import TypeVar

from thalweg.errors import ConfigError
from trainables.sentinel_supcon.knobs import BANDS, Optical

OFFSET = (
    "what is added to optical numbers: 0, -1000 (baseline 04.00 and later), by-values (-1000 where no pixel is below "
    "1000), or auto, which refuses where this shows"
)
PATCHES: Mapping[str, str] = {
    "size": "side of the patches that tiles are cut into, in pixels, 64 if nothing is said",
    "stride": "pixels between neighbouring patches, the size if nothing is said",
    "block": "side of the parts of a tile that are places, in pixels; 0, if nothing is said, takes whole tiles",
    "optical": "product of Sentinel-2: l2a or l1c; what the file holds if nothing is said",
    "min_scenes": "classes that are the main one of fewer patches are left out, 1 if nothing is said",
    "val": "tiles that are the split val, separated by commas; those that neither val nor test names are train",
    "test": "tiles that are the split test; with val alone, half of it is test, and with test alone, a fifth of the "
    "rest is val, by place",
    "offset": OFFSET,
}
BIGEARTHNET: Mapping[str, str] = {
    "country": "take the scenes of this country alone",
    "max_scenes": "take at most so many scenes, by a hash of their names",
    "split": "official, if nothing is said, or tile: splits follow from tiles",
    "snow_and_clouds": "keep, or drop if nothing is said: scenes with seasonal snow, clouds or shadows",
    "offset": OFFSET,
}
GEOTIFF_PAIRS: Mapping[str, str] = {
    "s1": "where radar images are below a folder, s1/{name}.tif if nothing is said; {classes}, {place} and {split} may "
    "stand for what a path tells, * for anything else; a table names files itself",
    "s2": "where optical images are, s2/{name}.tif if nothing is said",
    "labels": "where maps of classes are, labels/{name}.tif if nothing is said; there may be none",
    "bands": "optical bands of the files, like B04,B03,B02,B08 for all in their order, or B04:3,B08:nir for some by "
    "number or description; what files describe if nothing is said",
    "radar": "radar bands, as for bands: VV,VH or VV:2,VH:1",
    "classes": "names of classes in their order, like Water;Trees; for maps, with codes: 1:Water;2:Trees",
    "backscatter": "unit of radar images: dB if nothing is said, linear, or counts for numbers without a unit",
    "reflectance": "number for a reflectance of 1 where files give no scale, 1 or 10000; told by numbers if not said",
    "size": "cut scenes with maps into patches of so many pixels; they are kept whole if nothing is said",
    "stride": "pixels between neighbouring patches, the size if nothing is said",
    "block": "side of the parts of a scene's place that are places, in pixels; 0, if nothing is said, takes the "
    "scene's place",
    "offset": OFFSET,
}


def whole(name: str, text: str, *, low: int, high: int = 1_000_000) -> int:
    """Returns a whole number.

    Raises:
        ConfigError: The text is none, or out of its bounds.
    """
    if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
        raise ConfigError(
            f"{name} must be a whole number from {low:,} to {high:,}, got {text!r}; choose another"
        )
    return int(text)


_Text = TypeVar("_Text", bound=str)


def one_of(name: str, text: str, known: tuple[_Text, ...]) -> _Text:
    """Returns which of some texts a text is.

    Raises:
        ConfigError: It is none of them.
    """
    for each in known:
        if each == text:
            return each
    raise ConfigError(f"{name} must be one of {', '.join(known)}, got {text!r}; choose one of these")


def product(text: str) -> Optical:
    """Returns the product of Sentinel-2 that a text names.

    Raises:
        ConfigError: It names none.
    """
    for name in BANDS:
        if name == text and name != "rgbn":
            return name
    raise ConfigError(f"optical must be l2a or l1c, got {text!r}; choose one of these")
