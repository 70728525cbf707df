"""Explores a data set: classes and splits, scenes in true colour and radar, bands of classes, places, and a page."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.figure import Figure

from thalweg.dataset_contract import Exploration
from thalweg.datasets.charts import png
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.data.splits import name_hashes
from trainables.sentinel_supcon.exploring import pictures, tables
from trainables.sentinel_supcon.exploring.fiftyone import export_fiftyone
from trainables.sentinel_supcon.exploring.opening import open_all
from trainables.sentinel_supcon.exploring.page import page

__all__ = ["explore", "export_fiftyone"]

PAGE = "index.html"
NUM_SAMPLES = 8
NUM_EXTREME = 8


def explore(folder: Path, target: Path) -> Exploration:
    """Explores a data set; a hash of their names chooses the scenes that are shown.

    Args:
        folder: The data set.
        target: Folder for ``index.html``, ``scenes.csv`` (name, split, place, date, classes, measures and footprint of
            each scene), ``classes.csv``, ``bands.csv``, ``places.csv``, ``left_out.csv``, ``classes.png``,
            ``bands.png``, ``samples.png``, and pictures of each class and each measure below ``samples`` and
            ``extremes``.

    Raises:
        DataError: Files are missing or broken.
    """
    data = open_all(folder)
    means = tables.band_means(data)
    scenes = tables.scene_table(data, means)
    found = {
        "scenes": scenes,
        "classes": tables.class_table(data, scenes),
        "bands": tables.band_table(data, means),
        "places": tables.place_table(scenes),
        "left_out": tables.left_out_table(data),
    }
    for name, table in found.items():
        table.to_csv(target / f"{name}.csv", index=False, float_format="%.6g")
    charts, samples, extremes = _draw(data, found, means, target)
    texts = _texts(folder.name, data, found)
    (target / PAGE).write_text(page(texts, found, data.notes, charts, samples, extremes), encoding="utf-8")
    return Exploration(
        fingerprint=data.fingerprint,
        report=_report(texts, found, data),
        statistics=_statistics(data, found["classes"]),
        page=PAGE,
    )


def _draw(
    data: PatchData,
    found: Mapping[str, pd.DataFrame],
    means: Float64[np.ndarray, "scene channel"],
    target: Path,
) -> tuple[dict[str, bytes], dict[str, bytes], dict[str, bytes]]:
    """Writes all pictures; returns charts, scenes of classes and extreme scenes by name."""
    scenes, stretch = found["scenes"], pictures.stretch_of(data)
    charts = {
        "classes": _written(pictures.draw_classes(found["classes"]), target / "classes.png"),
        "bands": _written(pictures.draw_bands(data, means), target / "bands.png"),
    }
    order = np.argsort(name_hashes(data.names), kind="stable")
    samples, first = {}, []
    for name in found["classes"]["class"]:
        rows = order[(scenes["class"] == name).to_numpy()[order]][:NUM_SAMPLES]
        if len(rows):
            first.append(int(rows[0]))
            path = target / "samples" / f"{_file(name)}.png"
            samples[name] = _written(pictures.draw_scenes(data, scenes, rows, stretch), path)
    _written(pictures.draw_scenes(data, scenes, first, stretch), target / "samples.png")
    extremes = {}
    for measure, meaning in tables.measures_of(data).items():
        rows = tables.extreme(scenes, measure, NUM_EXTREME)
        figure = pictures.draw_scenes(data, scenes, rows, stretch)
        extremes[f"{measure}: {meaning}"] = _written(figure, target / "extremes" / f"{measure}.png")
    return charts, samples, extremes


def _written(figure: Figure, path: Path) -> bytes:
    path.parent.mkdir(exist_ok=True)
    content = png(figure)
    path.write_bytes(content)
    return content


def _file(name: str) -> str:
    """Returns a class's name as one of a file."""
    return "".join(each if each.isalnum() else "_" for each in name).strip("_")


def _texts(name: str, data: PatchData, found: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    maps = ", map of classes (nearly black: none)" if len(data.maps) else ""
    places = len(found["places"])
    return {
        "title": f"sentinel_supcon/{name}",
        "summary": f"{len(data.names):,} scenes of {data.side} x {data.side} pixels in {places:,} places, "
        f"seen by Sentinel-1 (VV and VH, {data.unit}) and Sentinel-2 ({len(data.bands)} bands), in the layout "
        f"{data.layout}; fingerprint {data.fingerprint}. {len(data.left_out):,} scenes are left out.",
        "legend": "From above: true colour; radar, with VV as red, VH as green and their difference as blue"
        f"{maps}. All scenes have the same stretch.",
    }


def _report(texts: Mapping[str, str], found: Mapping[str, pd.DataFrame], data: PatchData) -> str:
    counts = textwrap.indent(found["classes"].to_string(index=False), " " * 4)
    return "\n\n".join([texts["summary"], counts, *data.notes])


def _statistics(data: PatchData, classes: pd.DataFrame) -> dict[str, float]:
    counted = classes.set_index("class")
    numbers = {
        f"{column}/{name}": float(count)
        for column, counts in counted.items()
        for name, count in zip(counted.index, counts, strict=True)
    }
    numbers |= {
        f"mean/{name}": float(mean) for name, mean in zip(("VV", "VH", *data.bands), data.mean, strict=True)
    }
    return numbers | {"left_out": float(len(data.left_out)), "places": float(len(data.place_names))}
