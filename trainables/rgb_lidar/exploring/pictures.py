"""Pictures of a data set: pairs of image and scan, point clouds, and distributions of the measures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64
from matplotlib import colormaps
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.lidar import MAX_RANGE, scan
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.exploring.tables import MEASURES

CLASS_COLOURS = ("#b35806", "#2166ac")
LOST = "#20242b"
DPI = 110


def colours_of_distance() -> Colormap:
    """Returns the colour map of a scan from near to far; rays that did not come back are dark grey."""
    return colormaps["viridis_r"].with_extremes(bad=LOST)


def relief(depth: Float32[np.ndarray, "side side"]) -> Float64[np.ndarray, "side side"]:
    """Scales the distances of a scan to 0 for near and 1 for far; NaN if no ray came back.

    The range is that of the middle 80 %, extended by a third on both sides: with the full range, a few returns before
    or behind a shape would flatten it.
    """
    hit = depth < MAX_RANGE
    if not hit.any():
        return np.full(depth.shape, np.nan)
    low, high = np.quantile(depth[hit], [0.1, 0.9])
    margin = (high - low) / 3 + 1e-3
    return np.where(hit, np.clip((depth - low + margin) / (high - low + 2 * margin), 0, 1), np.nan)


def points_of(
    data: RGBLidarData, row: int
) -> tuple[Float32[np.ndarray, "point 3"], Float64[np.ndarray, "point 3"]]:
    """Returns the points of the rays that came back, in the orientation of the image, and their colours in it.

    Returns:
        Right (-z), forward (y) and up (x) in metres: the rows of an image are azimuths, its columns zeniths. Red,
        green and blue, 1 for full brightness.
    """
    depth = np.asarray(data.depth[row : row + 1])
    x, y, z, returned = scan(depth, data.azimuth, data.zenith, lidar_repr="xyza", lidar_norm="raw")[0]
    hit = returned > 0
    return np.stack((-z, y, x), -1)[hit], data.rgb[row, :3].transpose(1, 2, 0)[hit] / 255


def distances(scene: "pd.Series[Any]") -> str:
    """Returns the distances of a scene's returns as text, such as ``8.1 to 9.3 m``."""
    if not scene["returns"]:
        return "no return"
    return f"{scene['nearest_m']:.1f} to {scene['farthest_m']:.1f} m"


def draw_pairs(data: RGBLidarData, scenes: pd.DataFrame, rows: Sequence[Sequence[int]], title: str) -> Figure:
    """Draws for each list of rows a line of images above a line of scans."""
    columns = max(len(line) for line in rows)
    figure = Figure(figsize=(1.45 * columns, 3.5 * len(rows) + 0.5), dpi=DPI, layout="constrained")
    figure.suptitle(
        f"{title}: image, and distance from near (bright) to far; grey rays did not come back", fontsize=11
    )
    axes = figure.subplots(2 * len(rows), columns, squeeze=False)
    for line, members in enumerate(rows):
        for column in range(columns):
            image, distance = axes[2 * line, column], axes[2 * line + 1, column]
            image.axis("off")
            distance.axis("off")
            if column < len(members):
                _draw_pair(image, distance, data, scenes, members[column])
    return figure


def _draw_pair(image: Any, distance: Any, data: RGBLidarData, scenes: pd.DataFrame, row: int) -> None:
    scene = scenes.iloc[row]
    image.imshow(data.rgb[row].transpose(1, 2, 0), interpolation="nearest")
    image.set_title(f"{scene['class']} {scene['number']:04d}\n{scene['split']}", fontsize=8)
    distance.imshow(
        relief(data.depth[row]), cmap=colours_of_distance(), vmin=0, vmax=1, interpolation="nearest"
    )
    distance.set_title(distances(scene), fontsize=8)


def draw_clouds(data: RGBLidarData, rows: Sequence[Sequence[int]]) -> Figure:
    """Draws the points of scenes in the colours of the image, one line per list of rows."""
    columns = max(len(line) for line in rows)
    figure = Figure(figsize=(3.4 * columns, 3.6 * len(rows) + 0.4), dpi=DPI)
    figure.suptitle(
        "Points around the middle one, in the image's colours; as in the image, in metres", fontsize=11
    )
    figure.subplots_adjust(left=0.01, right=0.97, bottom=0.04, top=0.92, wspace=0.08, hspace=0.1)
    for line, members in enumerate(rows):
        for column, row in enumerate(members):
            place = line * columns + column + 1
            axes: Any = figure.add_subplot(len(rows), columns, place, projection="3d")
            points, colours = points_of(data, row)
            _draw_cloud(axes, points, colours)
            axes.set_title(
                f"{CLASSES[data.labels[row]]} {data.numbers[row]:04d}: {len(points)} returns", fontsize=9
            )
    return figure


def _draw_cloud(
    axes: Any, points: Float32[np.ndarray, "point 3"], colours: Float64[np.ndarray, "point 3"]
) -> None:
    if len(points):
        middle = np.median(points, axis=0)
        reach = 2.2 * float(np.median(np.linalg.norm(points - middle, axis=1))) + 1e-3
        near = (np.abs(points - middle) <= reach).all(1)
        axes.scatter(*points[near].T, c=colours[near], s=7, depthshade=False, edgecolors="none")
        low, high = middle - reach, middle + reach
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axes.set_box_aspect((1, 1, 1))
    for axis, name in zip((axes.xaxis, axes.yaxis, axes.zaxis), ("right", "forward", "up"), strict=True):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_label_text(name, fontsize=8)
        axis.labelpad = -4
    axes.tick_params(labelsize=7, pad=-2)
    axes.view_init(elev=22, azim=-62)


def draw_measures(scenes: pd.DataFrame, returned: pd.DataFrame) -> Figure:
    """Draws the distributions of the scenes' measures and of the returns' distances in each class."""
    shown = [name for name in MEASURES if scenes[name].nunique() > 1]
    columns = 4
    lines = -(-(len(shown) + 1) // columns)
    figure = Figure(figsize=(4 * columns, 2.9 * lines), dpi=DPI, layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for label, kind in enumerate(CLASSES):
        style = {"color": CLASS_COLOURS[label], "label": kind}
        edges = [*returned["from_m"], returned["to_m"].iloc[-1]]
        axes[0].stairs(returned[kind] / max(returned[kind].sum(), 1), edges, **style)
        for place, name in zip(axes[1:], shown, strict=False):
            bins = np.linspace(scenes[name].min(), scenes[name].max(), 41)
            counts, _ = np.histogram(scenes.loc[scenes["class"] == kind, name].dropna(), bins)
            place.stairs(counts / max(counts.sum(), 1), bins, **style)
            place.set_xlabel(MEASURES[name], fontsize=9)
    axes[0].set_xlabel("distance of a return, in metres", fontsize=9)
    for place in axes:
        place.set_visible(bool(place.get_xlabel()))
        place.tick_params(labelsize=8)
        place.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("share of returns", fontsize=9)
    axes[1].set_ylabel("share of scenes", fontsize=9)
    axes[0].legend(frameon=False)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a picture as PNG."""
    figure.savefig(path, metadata={"Software": None})
