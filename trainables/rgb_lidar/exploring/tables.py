"""Tables of a data set: every scene with its split and measures, classes, distances."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from thalweg.hashing import digest
from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.lidar import MAX_RANGE
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.data.splits import BLOCK, SHARES, SPLIT_SEED

CHUNK = 256
BIN_M = 0.5
MEASURES: Mapping[str, str] = {
    "returns": "share of the rays that came back",
    "nearest_m": "distance of the nearest return, in metres",
    "median_m": "median distance of the returns, in metres",
    "farthest_m": "distance of the farthest return, in metres",
    "brightness": "mean of red, green and blue, 1 for white",
    "contrast": "standard deviation of red, green and blue over the image",
    "opacity": "smallest opacity of a pixel, 1 for opaque",
}
"""Measures of each scene; distances are NaN if no ray came back."""


def split_law() -> str:
    """Returns a hash of the rule that assigns scenes to splits."""
    return digest({"seed": SPLIT_SEED, "block": BLOCK, "shares": dict(SHARES)})


def scene_table(data: RGBLidarData) -> pd.DataFrame:
    """Returns a row for each scene in the order of the data: class, number, split, and `MEASURES`."""
    split = np.full(len(data.labels), "", dtype=object)
    for part, rows in data.rows.items():
        split[rows] = part
    table = pd.DataFrame(
        {
            "class": [CLASSES[label] for label in data.labels],
            "number": np.asarray(data.numbers),
            "split": split,
        }
    )
    measured = [_measure(data.rgb[rows], data.depth[rows]) for rows in _chunks(len(table))]
    for name in MEASURES:
        table[name] = np.concatenate([chunk[name] for chunk in measured])
    return table


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, count, CHUNK))


def _measure(
    rgb: UInt8[np.ndarray, "scene 4 side side"], depth: Float32[np.ndarray, "scene side side"]
) -> dict[str, Float64[np.ndarray, " scene"]]:
    flat = np.sort(depth.reshape(len(depth), -1), axis=1)  # rays that did not come back are last
    count = (flat < MAX_RANGE).sum(1)
    rows = np.arange(len(flat))
    some = count > 0
    pixels = rgb.reshape(len(rgb), 4, -1)
    colours = pixels[:, :3].reshape(len(rgb), -1) / 255

    def at(place: Int64[np.ndarray, " scene"]) -> Float64[np.ndarray, " scene"]:
        return np.where(some, flat[rows, np.maximum(place, 0)].astype(np.float64), np.nan)

    middle = (at((count - 1) // 2) + at(count // 2)) / 2
    return {
        "returns": count / flat.shape[1],
        "nearest_m": at(np.zeros_like(count)),
        "median_m": middle,
        "farthest_m": at(count - 1),
        "brightness": colours.mean(1),
        "contrast": colours.std(1),
        "opacity": pixels[:, 3].min(1) / 255,
    }


def class_table(scenes: pd.DataFrame, unpaired: tuple[str, ...]) -> pd.DataFrame:
    """Returns for each class the number of scenes, in all and by split, and of files without a partner."""
    counts = pd.crosstab(scenes["class"], scenes["split"]).reindex(index=list(CLASSES), columns=list(SHARES))
    counts = counts.fillna(0).astype(int)
    counts.insert(0, "scenes", counts.sum(axis=1))
    for sensor in ("lidar", "rgb"):
        counts[f"unpaired_{sensor}"] = [
            sum(path.startswith(f"{kind}/{sensor}/") for path in unpaired) for kind in CLASSES
        ]
    return counts.rename_axis(columns=None).reset_index()


def measure_table(scenes: pd.DataFrame) -> pd.DataFrame:
    """Returns for each measure its mean, 5 %, 50 % and 95 % quantile by class, and how well it predicts the class.

    The column ``told`` is the area under the ROC curve: the probability that a random sphere has a larger value than a
    random cube, ties counted half. 0.5 means that the measure says nothing about the class, 0 or 1 that it determines
    it.
    """
    rows = []
    for name, meaning in MEASURES.items():
        row: dict[str, object] = {"measure": name, "meaning": meaning}
        for kind in CLASSES:
            values = scenes.loc[scenes["class"] == kind, name].dropna()
            row[f"{kind}_mean"] = values.mean()
            for quantile in (0.05, 0.5, 0.95):
                row[f"{kind}_{quantile:.0%}"] = values.quantile(quantile)
        row["told"] = roc_auc(scenes[name].to_numpy(), (scenes["class"] == CLASSES[1]).to_numpy())
        rows.append(row)
    return pd.DataFrame(rows)


def roc_auc(values: Float64[np.ndarray, " scene"], is_sphere: Bool[np.ndarray, " scene"]) -> float:
    """Returns the area under the ROC curve of a measure (Mann and Whitney's U over its maximum); NaN without a pair."""
    known = np.isfinite(values)
    ranks = pd.Series(values[known]).rank().to_numpy()
    spheres = is_sphere[known]
    num_spheres, num_cubes = int(spheres.sum()), int((~spheres).sum())
    if not (num_spheres and num_cubes):
        return float("nan")
    return float((ranks[spheres].sum() - num_spheres * (num_spheres + 1) / 2) / (num_spheres * num_cubes))


def distance_table(data: RGBLidarData) -> pd.DataFrame:
    """Returns the histogram of the returns' distances by class, in bins of half a metre."""
    edges = np.arange(0, MAX_RANGE + BIN_M / 2, BIN_M)
    counts = np.zeros((len(CLASSES), len(edges) - 1), np.int64)
    for rows in _chunks(len(data.labels)):
        depth, labels = data.depth[rows], data.labels[rows]
        for label in range(len(CLASSES)):
            chosen = depth[labels == label]
            counts[label] += np.histogram(chosen[chosen < MAX_RANGE], edges)[0]
    table = pd.DataFrame({"from_m": edges[:-1], "to_m": edges[1:]})
    return table.assign(**dict(zip(CLASSES, counts, strict=True)))
