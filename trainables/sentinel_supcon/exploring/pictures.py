"""Pictures of a data set: scenes in true colour, as radar composites and as maps, and what bands say of classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64, Int64, UInt8
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from thalweg.datasets.charts import SPLIT_COLOURS
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.data.splits import SPLITS
from trainables.sentinel_supcon.data.units import REFLECTANCE
from trainables.sentinel_supcon.exploring.tables import NO_CLASS

_DPI = 100
_TRUE_COLOUR = ("B04", "B03", "B02")
_LIMITS = (0.02, 0.98)
_NO_CLASS_COLOUR = "#20242b"
_SAMPLED = 256  # scenes from which the stretch is taken


@dataclass(frozen=True)
class Stretch:
    """Values that are shown as black and as full brightness, the same in all pictures of a data set.

    Attributes:
        optical: Of red, green and blue together, as reflectance.
        radar: Of VV, VH and VV - VH, in dB or counts.
    """

    optical: tuple[float, float]
    radar: tuple[tuple[float, float], ...]


def stretch_of(data: PatchData) -> Stretch:
    """Returns the stretch of the middle 96 % of the values in some training scenes.

    That of true colour is the one of typical scenes: beside snow or clouds all others would be black.
    """
    rows = data.rows["train"]
    rows = rows[np.linspace(0, len(rows) - 1, min(_SAMPLED, len(rows))).astype(int)]
    colours = data.s2[rows][:, _columns(data)] / REFLECTANCE
    composite = _composite(data.s1[rows])
    return Stretch(
        _typical_limits(colours),
        tuple(_limits(composite[:, channel]) for channel in range(composite.shape[1])),
    )


def true_colour(data: PatchData, row: int, stretch: Stretch) -> UInt8[np.ndarray, "side side 3"]:
    """Returns red, green and blue of a scene."""
    colours = data.s2[row][_columns(data)] / REFLECTANCE
    return _bytes(_scaled(colours, stretch.optical))


def radar_colour(data: PatchData, row: int, stretch: Stretch) -> UInt8[np.ndarray, "side side 3"]:
    """Returns VV as red, VH as green and their difference as blue: water is dark, towns are bright."""
    channels = _composite(data.s1[row][None])[0]
    scaled = [_scaled(each, limits) for each, limits in zip(channels, stretch.radar, strict=True)]
    return _bytes(np.stack(scaled))


def map_colour(data: PatchData, row: int) -> UInt8[np.ndarray, "side side 3"]:
    """Returns the map of classes in the colours of `class_colours`; pixels without a class are nearly black."""
    table = np.array([to_rgb(colour) for colour in (*class_colours(data), _NO_CLASS_COLOUR)])
    numbers = np.minimum(data.maps[row], len(data.classes))
    colours: UInt8[np.ndarray, "side side 3"] = np.round(255 * table[numbers]).astype(np.uint8)
    return colours


def class_colours(data: PatchData) -> list[Any]:
    """Returns a colour for each class."""
    palette = colormaps["tab20" if len(data.classes) > 10 else "tab10"]
    return [palette(number % palette.N) for number in range(len(data.classes))]


def draw_scenes(
    data: PatchData, scenes: pd.DataFrame, rows: Sequence[int] | Int64[np.ndarray, " _"], stretch: Stretch
) -> Figure:
    """Draws scenes side by side: true colour, radar below, and the map of classes if there is one, with a legend."""
    lines = 3 if len(data.maps) else 2
    columns = max(len(rows), 1)
    figure = Figure(figsize=(1.5 * columns, 1.5 * lines + 0.5), dpi=_DPI, layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    for place in axes.flat:
        place.axis("off")
    for column, row in enumerate(rows):
        images = [true_colour(data, int(row), stretch), radar_colour(data, int(row), stretch)]
        if len(data.maps):
            images.append(map_colour(data, int(row)))
        for place, image in zip(axes[:, column], images, strict=True):
            place.imshow(image, interpolation="nearest")
        scene = scenes.iloc[int(row)]
        axes[0, column].set_title(f"{_short(scene['class'])}\n{scene['split']}", fontsize=8)
    if len(data.maps) and len(rows):
        handles = _legend(data, rows)
        figure.legend(
            handles=handles, loc="outside lower left", ncols=min(2 * columns, 8), frameon=False, fontsize=7
        )
        figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(handles) // min(2 * columns, 8)))
    return figure


def _legend(data: PatchData, rows: Sequence[int] | Int64[np.ndarray, " _"]) -> list[Patch]:
    """Returns the colour of each class that maps of some scenes hold, and of pixels without one."""
    there = {int(number) for row in rows for number in np.unique(data.maps[int(row)])}
    named = zip(data.classes, class_colours(data), strict=True)
    handles = [
        Patch(color=colour, label=_short(name))
        for number, (name, colour) in enumerate(named)
        if number in there
    ]
    return handles + [Patch(color=_NO_CLASS_COLOUR, label="none")] * (max(there) >= len(data.classes))


def draw_classes(classes: pd.DataFrame) -> Figure:
    """Draws the number of scenes of each class, by split."""
    figure = Figure(figsize=(8, 0.7 + 0.32 * len(classes)), dpi=_DPI, layout="constrained")
    place = figure.subplots()
    before = np.zeros(len(classes))
    for split in SPLITS:
        counts = classes[split].to_numpy()
        place.barh(np.arange(len(classes)), counts, left=before, color=SPLIT_COLOURS[split], label=split)
        before = before + counts
    place.set_yticks(np.arange(len(classes)), [_short(name) for name in classes["class"]])
    place.invert_yaxis()
    place.set_xlabel("scenes", fontsize=9)
    place.tick_params(labelsize=8)
    place.spines[["top", "right"]].set_visible(False)
    place.legend(frameon=False, fontsize=8)
    return figure


def draw_bands(data: PatchData, means: Float64[np.ndarray, "scene channel"]) -> Figure:
    """Draws the mean spectrum of each class, and VV and VH of its scenes."""
    figure = Figure(figsize=(13, 4.6), dpi=_DPI, layout="constrained")
    spectrum, radar = figure.subplots(1, 2)
    positions = np.arange(len(data.bands))
    for number, (name, colour) in enumerate(zip(data.classes, class_colours(data), strict=True)):
        members = means[data.labels == number]
        if len(members):
            spectrum.plot(positions, members[:, 2:].mean(0), color=colour, marker="o", markersize=3)
            radar.scatter(members[:, 0], members[:, 1], color=colour, s=9, alpha=0.6, label=_short(name))
    spectrum.set_xticks(positions, data.bands)
    spectrum.set_ylabel("mean reflectance", fontsize=9)
    radar.set_xlabel(f"mean VV, in {data.unit}", fontsize=9)
    radar.set_ylabel(f"mean VH, in {data.unit}", fontsize=9)
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    for place in (spectrum, radar):
        place.tick_params(labelsize=8)
        place.spines[["top", "right"]].set_visible(False)
    return figure


def _columns(data: PatchData) -> Int64[np.ndarray, "3"]:
    return data.columns[[data.bands.index(name) for name in _TRUE_COLOUR]]


def _composite(s1: Float32[np.ndarray, "scene 2 row col"]) -> Float32[np.ndarray, "scene 3 row col"]:
    return np.concatenate((s1, s1[:, :1] - s1[:, 1:]), axis=1)


def _limits(values: np.ndarray) -> tuple[float, float]:
    low, high = (float(end) for end in np.quantile(values, _LIMITS))
    return low, high if high > low else low + 1e-6


def _typical_limits(scenes: Float64[np.ndarray, "scene 3 row col"]) -> tuple[float, float]:
    """Returns the limits of each scene, of which a quarter is brighter and a quarter darker."""
    lows, highs = np.quantile(scenes.reshape(len(scenes), -1), _LIMITS, axis=1)
    low, high = float(np.quantile(lows, 0.25)), float(np.quantile(highs, 0.75))
    return low, high if high > low else low + 1e-6


def _scaled(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    low, high = limits
    return np.asarray(np.clip((values - low) / (high - low), 0, 1))


def _bytes(channels: np.ndarray) -> UInt8[np.ndarray, "side side 3"]:
    return np.ascontiguousarray(np.round(255 * channels).astype(np.uint8).transpose(1, 2, 0))


def _short(name: str) -> str:
    """Returns a name that fits above a picture."""
    return name if name == NO_CLASS or len(name) <= 24 else f"{name[:22]}.."
