"""Tables of a data set: scenes with split, place, classes and measures; classes; bands; places; what was left out."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.data.splits import SPLITS
from trainables.sentinel_supcon.data.units import REFLECTANCE

CHUNK = 32
NO_CLASS = "(none)"
"""Stands for the class of a scene that has none."""


def measures_of(data: PatchData) -> Mapping[str, str]:
    """Returns the meaning of each measure of a scene."""
    return {
        "vv": f"mean backscatter VV, in {data.unit}",
        "vh": f"mean backscatter VH, in {data.unit}",
        "brightness": "mean reflectance of red, green and blue",
        "ndvi": "normalised difference of the mean reflectances of near infrared and red",
        "texture": f"standard deviation of VV over the scene, in {data.unit}",
    }


def band_means(data: PatchData) -> Float64[np.ndarray, "scene channel"]:
    """Returns the mean of VV, VH and each band over each scene, in dB or counts and reflectance."""
    means = [
        np.concatenate(
            (
                data.s1[part].mean((2, 3), dtype=np.float64),
                data.s2[part][:, data.columns].mean((2, 3), dtype=np.float64) / REFLECTANCE,
            ),
            axis=1,
        )
        for part in _chunks(len(data.names))
    ]
    return np.concatenate(means)


def scene_table(data: PatchData, means: Float64[np.ndarray, "scene channel"]) -> pd.DataFrame:
    """Returns a row for each scene in the order of the data.

    Args:
        data: The data.
        means: What `band_means` returned.
    """
    split = np.full(len(data.names), "", dtype=object)
    for name, rows in data.rows.items():
        split[rows] = name
    channel = {name: 2 + data.bands.index(name) for name in ("B02", "B03", "B04", "B08")}
    red, infrared = means[:, channel["B04"]], means[:, channel["B08"]]
    total = np.maximum(red + infrared, 1e-9)
    table = pd.DataFrame(
        {
            "name": data.names,
            "split": split,
            "place": [data.place_names[place] for place in data.places],
            "date": data.dates,
            "class": [data.classes[label] if label >= 0 else NO_CLASS for label in data.labels],
            "classes": [
                ";".join(data.classes[number] for number in np.flatnonzero(row)) for row in data.multi
            ],
            "vv": means[:, 0],
            "vh": means[:, 1],
            "brightness": means[:, [channel[name] for name in ("B02", "B03", "B04")]].mean(1),
            "ndvi": (infrared - red) / total,
            "texture": np.concatenate(
                [data.s1[part, 0].std((1, 2), dtype=np.float64) for part in _chunks(len(data.names))]
            ),
            "crs": data.crs,
        }
    )
    for number, edge in enumerate(("left", "bottom", "right", "top")):
        table[edge] = data.footprints[:, number]
    return table


def class_table(data: PatchData, scenes: pd.DataFrame) -> pd.DataFrame:
    """Returns for each class its scenes, in all and by split, its places, and scenes that name it beside another."""
    names = [*data.classes, NO_CLASS]
    counts = pd.crosstab(scenes["class"], scenes["split"]).reindex(index=names, columns=list(SPLITS))
    counts = counts.fillna(0).astype(int)
    counts.insert(0, "scenes", counts.sum(axis=1))
    counts["places"] = scenes.groupby("class")["place"].nunique().reindex(names).fillna(0).astype(int)
    counts["also_in"] = [*(_also(data, number) for number in range(len(data.classes))), 0]
    if not counts.loc[NO_CLASS, "scenes"]:
        counts = counts.drop(index=NO_CLASS)
    return counts.rename_axis(index="class", columns=None).reset_index()


def band_table(data: PatchData, means: Float64[np.ndarray, "scene channel"]) -> pd.DataFrame:
    """Returns for each band the statistics of training, and the mean over the scenes of each class."""
    table = pd.DataFrame(
        {
            "band": ["VV", "VH", *data.bands],
            "unit": [data.unit, data.unit, *("reflectance",) * len(data.bands)],
            "mean": data.mean,
            "std": data.std,
        }
    )
    for number, name in enumerate(data.classes):
        members = means[data.labels == number]
        table[name] = members.mean(0) if len(members) else np.nan
    return table


def place_table(scenes: pd.DataFrame) -> pd.DataFrame:
    """Returns for each place its scenes, splits and most frequent class."""
    rows = []
    for place, members in scenes.groupby("place", sort=True):
        counts = members["class"].value_counts()
        main = sorted(counts.index[counts == counts.iloc[0]])[0]
        splits = [split for split in SPLITS if (members["split"] == split).any()]
        rows.append({"place": place, "splits": " ".join(splits), "scenes": len(members), "main_class": main})
    return pd.DataFrame(rows)


def left_out_table(data: PatchData) -> pd.DataFrame:
    """Returns the scenes that were left out, and why."""
    names = sorted(data.left_out)
    return pd.DataFrame({"name": names, "why": [data.left_out[name] for name in names]}, dtype=object)


def extreme(scenes: pd.DataFrame, measure: str, number: int) -> Int64[np.ndarray, " _"]:
    """Returns the rows of the scenes with the smallest and with the largest values of a measure, half each."""
    order = np.argsort(scenes[measure].to_numpy(), kind="stable")
    half = min(number // 2, len(order) // 2)
    return np.concatenate((order[:half], order[len(order) - half :])).astype(np.int64)


def _also(data: PatchData, number: int) -> int:
    return int((data.multi[:, number] & (data.labels != number)).sum())


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, count, CHUNK))
