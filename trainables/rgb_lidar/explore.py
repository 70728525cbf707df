"""Explores a data set: class counts, the split of every scene, unusual scenes, pictures, and an interactive page."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from thalweg.dataset_contract import Exploration
from thalweg.wording import counted, some
from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.scenes import RGBLidarData, open_data
from trainables.rgb_lidar.exploring import pictures as pictures
from trainables.rgb_lidar.exploring import tables as tables
from trainables.rgb_lidar.exploring.fiftyone import export_fiftyone
from trainables.rgb_lidar.exploring.page import page

__all__ = ["explore", "export_fiftyone"]

PAGE = "index.html"
NUM_PAIRS = 10
NUM_CLOUDS = 4
NUM_EXTREME = 8
NUM_ON_PAGE: Mapping[str, int] = {"train": 12, "val": 6, "test": 6}
NAMED = 10


def explore(folder: Path, target: Path) -> Exploration:
    """Explores a data set; the hash that splits scenes also chooses those that are shown.

    Args:
        folder: The data set.
        target: Folder for ``index.html``, ``classes.csv``, ``splits.csv`` (class, number and split of every scene, with
            the hash of the splitting rule), ``scenes.csv``, ``measures.csv``, ``distances.csv``, ``unpaired.csv``,
            ``samples.png``, ``extremes.png``, ``clouds.png`` and ``measures.png``.

    Raises:
        DataError: Files are missing or broken.
    """
    data = open_data(folder.parent, folder.name, 1.0)
    scenes = tables.scene_table(data)
    found = {
        "classes": tables.class_table(scenes, data.unpaired),
        "splits": scenes[["split", "class", "number"]].assign(law=tables.split_law()),
        "scenes": scenes,
        "measures": tables.measure_table(scenes),
        "distances": tables.distance_table(data),
        "unpaired": pd.DataFrame({"path": data.unpaired}, dtype=object),
    }
    for name, table in found.items():
        table.to_csv(target / f"{name}.csv", index=False, float_format="%.6g")
    _draw(data, found, target)
    texts = _texts(folder.name, data, found)
    shown = {"classes": found["classes"], "measures": found["measures"]}
    chart = (target / "measures.png").read_bytes()
    text = page(texts, shown, chart, data, scenes, _sections(data, scenes))
    (target / PAGE).write_text(text, encoding="utf-8")
    return Exploration(
        fingerprint=data.fingerprint, report=_report(texts, found), statistics=_statistics(found), page=PAGE
    )


def _draw(data: RGBLidarData, found: Mapping[str, pd.DataFrame], target: Path) -> None:
    scenes = found["scenes"]
    pairs = [_chosen(data, label, {"train": NUM_PAIRS}) for label in range(len(CLASSES))]
    pictures.save(pictures.draw_pairs(data, scenes, pairs, "Scenes"), target / "samples.png")
    extremes = [_extreme(scenes, name, NUM_EXTREME) for name in ("returns", "contrast")]
    title = "Scenes of fewest returns, and of least contrast"
    pictures.save(pictures.draw_pairs(data, scenes, extremes, title), target / "extremes.png")
    clouds = [members[:NUM_CLOUDS] for members in pairs]
    pictures.save(pictures.draw_clouds(data, clouds), target / "clouds.png")
    pictures.save(pictures.draw_measures(scenes, found["distances"]), target / "measures.png")


def _chosen(data: RGBLidarData, label: int, numbers: Mapping[str, int]) -> list[int]:
    """Returns the first scenes of a class in the order of the splits' hash."""
    return [
        int(row)
        for split, rows in data.rows.items()
        for row in rows[data.labels[rows] == label][: numbers.get(split, 0)]
    ]


def _extreme(scenes: pd.DataFrame, measure: str, number: int) -> list[int]:
    return [int(row) for row in np.argsort(scenes[measure].to_numpy(), kind="stable")[:number]]


def _sections(data: RGBLidarData, scenes: pd.DataFrame) -> dict[str, Sequence[int]]:
    chosen: dict[str, Sequence[int]] = {
        f"{kind.capitalize()}": _chosen(data, label, NUM_ON_PAGE) for label, kind in enumerate(CLASSES)
    }
    chosen["Scenes of fewest returns"] = _extreme(scenes, "returns", NUM_EXTREME)
    chosen["Scenes of least contrast"] = _extreme(scenes, "contrast", NUM_EXTREME)
    return chosen


def _texts(name: str, data: RGBLidarData, found: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    scenes, measures = found["scenes"], found["measures"]
    empty = int((scenes["returns"] == 0).sum())
    flat = int((scenes["contrast"] == 0).sum())
    best = measures.iloc[int((measures["told"] - 0.5).abs().argmax())]
    return {
        "title": f"rgb_lidar/{name}",
        "summary": f"{len(scenes):,} scenes of {data.side} x {data.side} pixels that camera and LiDAR both saw; "
        f"fingerprint {data.fingerprint}. {empty} scans without a return, {flat} images of one colour."
        + "".join(f" {text}." for text in (data.opacity, data.zeros) if text),
        "law": "Which scene belongs to which split follows from its class and number alone, by a "
        f"rule whose hash is {tables.split_law()}; splits.csv names them all.",
        "unpaired": _unpaired(data.unpaired) + (f" {data.strangers}." if data.strangers else ""),
        "told": "The single number that tells spheres from cubes best is "
        f"{best['measure']} ({best['meaning']}): it is larger for a random sphere than for a random cube in "
        f"{best['told']:.1%} of pairs; 50 % tells nothing, 0 or 100 % everything.",
    }


def _unpaired(paths: Sequence[str]) -> str:
    if not paths:
        return "Every file has its partner of the other sensor."
    where = " in unpaired.csv" if len(paths) > NAMED else ""
    verb = "has" if len(paths) == 1 else "have"
    files = counted(len(paths), "file")
    return f"{files} {verb} no partner of the other sensor: {some(paths, NAMED)}{where}."


def _report(texts: Mapping[str, str], found: Mapping[str, pd.DataFrame]) -> str:
    counts = textwrap.indent(found["classes"].to_string(index=False), " " * 4)
    return "\n\n".join([texts["summary"], counts, texts["unpaired"], texts["law"], texts["told"]])


def _statistics(found: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    classes = found["classes"].set_index("class")
    numbers = {
        f"{name}/{kind}": float(count)
        for name, counts in classes.items()
        for kind, count in zip(classes.index, counts, strict=True)
    }
    means = found["scenes"].groupby("class")["returns"].mean()
    return numbers | {f"mean_returns/{kind}": float(mean) for kind, mean in means.items()}
