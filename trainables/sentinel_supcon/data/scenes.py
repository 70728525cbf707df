"""The data of the family: pairs of radar and optical scenes in a store that all processes share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int16, Int64, UInt8

from thalweg.contract import SplitName
from thalweg.data.store import content_hashes, key_of, open_store
from thalweg.errors import ConfigError, DataError, OutputError
from trainables.sentinel_supcon.data.contents import MAKE, Contents, Unit
from trainables.sentinel_supcon.data.dfc2020 import find_dfc2020, is_dfc2020
from trainables.sentinel_supcon.data.labels import IGNORED, without
from trainables.sentinel_supcon.data.meterml import find_meterml, is_meterml
from trainables.sentinel_supcon.data.pairs import find_pairs, is_pairs
from trainables.sentinel_supcon.data.prepare import FORMAT, prepare
from trainables.sentinel_supcon.data.pretrained import PretrainedFile
from trainables.sentinel_supcon.data.splits import SPLITS, Labels, Rows, balance, dealt, mixed, share_of
from trainables.sentinel_supcon.knobs import BANDS, DataKnobs, Optical


@dataclass(frozen=True)
class PatchData:
    """Scenes of a data set; images stay in the store until they are sampled.

    Attributes:
        s1: Backscatter, VV and VH in dB or counts, by the data set's `unit`.
        s2: Reflectance times 10,000, of all bands of the data set; `columns` finds those of `bands`.
        maps: Class of each pixel, 255 if it has none; empty if the data set has no maps.
        labels: Class of each scene, the most frequent one of a map; -1 if it is ignored or unknown.
        multi: All classes of each scene that are not ignored, those of at least a tenth of a map.
        places: Number of each scene's place.
        place_names: Names of the places.
        names: Names of the scenes.
        dates: Day on which each was seen, such as ``2021-06-30``; empty texts where it is not known.
        crs: Coordinate reference system of each scene; empty texts where there is none.
        footprints: Left, bottom, right and top of each scene in it; NaN where there is none.
        classes: Names of all classes, in order.
        valid_classes: Whether a class is not ignored.
        bands: Bands of Sentinel-2 in the order of channels.
        columns: Position of each of them in `s2`.
        mean: Mean of VV, VH and `bands` over the whole training split, in dB or counts and reflectance.
        std: Their standard deviation.
        rows: Scenes of each split, in an order that mixes places; those of a balanced training split are repeated.
        unit: Unit of backscatter.
        layout: Name of the layout of the files.
        left_out: Why a scene was left out, by its name.
        dealt: Splits that share no place; the others are official.
        fitted: Rows of the scenes of `mean` and `std`; None if the store is of an earlier version, which does not tell.
        fingerprint: Hash of the content of all files; independent of knobs.
        notes: Sentences on the data.
        dataset: Name of the data set.
        pretrained: File of the weights that encoders start from; None if they start at random.
    """

    s1: Float32[np.ndarray, "scene 2 side side"]
    s2: Int16[np.ndarray, "scene stored side side"]
    maps: UInt8[np.ndarray, "mapped side side"]
    labels: Int64[np.ndarray, " scene"]
    multi: Bool[np.ndarray, "scene class"]
    places: Int64[np.ndarray, " scene"]
    place_names: tuple[str, ...]
    names: tuple[str, ...]
    dates: tuple[str, ...]
    crs: tuple[str, ...]
    footprints: Float64[np.ndarray, "scene 4"]
    classes: tuple[str, ...]
    valid_classes: tuple[bool, ...]
    bands: tuple[str, ...]
    columns: Int64[np.ndarray, " band"]
    mean: Float64[np.ndarray, " channel"]
    std: Float64[np.ndarray, " channel"]
    rows: Mapping[SplitName, Rows]
    unit: Unit
    layout: str
    left_out: Mapping[str, str]
    dealt: tuple[SplitName, ...]
    fitted: Rows | None
    fingerprint: str
    notes: tuple[str, ...]
    dataset: str
    pretrained: PretrainedFile | None = None

    @property
    def side(self) -> int:
        """Height and width of scenes, in pixels."""
        return int(self.s1.shape[-1])

    def num_samples(self, split: SplitName) -> int:
        """Returns the number of scenes of a split; a balanced training split counts repeated ones."""
        return len(self.rows[split])

    def class_shares(self, split: SplitName) -> Mapping[str, float]:
        """Returns the share of each valid class among the scenes of a split that have a valid label."""
        labels = self.labels[self.rows[split]]
        counts = np.bincount(labels[labels >= 0], minlength=len(self.classes))
        total = max(int(counts.sum()), 1)
        return {
            name: float(count / total)
            for name, count, valid in zip(self.classes, counts, self.valid_classes, strict=True)
            if valid
        }


def data_key(dataset: str, knobs: DataKnobs) -> str:
    """Returns a key of everything that `open_patches` depends on."""
    chosen = knobs.model_dump(mode="json", include={"optical", "ignored", "data_ratio", "balanced"})
    return f"{dataset}-{key_of(chosen)}"


def find_contents(folder: Path) -> Contents:
    """Finds the scenes of a data set, in whichever of the three layouts it is.

    Raises:
        DataError: There is no data set, or files are missing or broken.
    """
    for is_layout, find in ((is_pairs, find_pairs), (is_meterml, find_meterml), (is_dfc2020, find_dfc2020)):
        if is_layout(folder):
            return find(folder)
    raise DataError(
        "a data set must be a folder with scenes.csv (GeoTIFF pairs), *train*.geojson (METER-ML) or ROIs* folders "
        f"(DFC2020, SEN12MS), got none at {folder}; copy it there, {MAKE}, or `thalweg data import` reads others"
    )


def open_patches(root: Path, dataset: str, knobs: DataKnobs) -> PatchData:
    """Opens a data set; the first time, reads and checks every scene.

    Args:
        root: The family's data folder.
        dataset: Name of a folder below it.
        knobs: Bands, ignored classes, share and balance of the training scenes; all other knobs are left alone.

    Raises:
        DataError: Files are missing or broken, or too many scenes are left out.
        ConfigError: The data set lacks a band or an ignored class.
        OutputError: The store cannot be written.
    """
    contents = find_contents(root / dataset)
    columns = columns_of(contents.bands, knobs.optical, dataset)
    _require_classes(knobs.ignored, contents.classes, dataset)
    stores = contents.folder / ".store"
    key = key_of({"format": FORMAT, "layout": contents.layout, "files": _hashes(contents, stores)})
    store = open_store(stores, key, partial(prepare, contents))
    arrays = store.arrays
    valid = tuple(name not in knobs.ignored for name in contents.classes)
    labels = np.asarray(arrays["labels"])
    names = tuple(map(str, arrays["names"]))
    rows = {split: np.asarray(arrays[f"rows_{split}"]) for split in SPLITS}
    rows["train"] = share_of(rows["train"], labels, names, knobs.data_ratio)
    labels = without(labels, valid)
    rows = _drawn(rows, labels, names, knobs.balanced)
    _require_scenes(rows, contents.folder)
    channels = np.concatenate(([0, 1], 2 + columns))
    return PatchData(
        s1=arrays["s1"][: len(names)],
        s2=arrays["s2"][: len(names)],
        maps=arrays["maps"][: len(names)],
        labels=labels,
        multi=arrays["multi"] & np.array(valid, bool),
        places=np.asarray(arrays["places"]),
        place_names=tuple(store.metadata["place_names"]),
        names=names,
        dates=tuple(map(str, arrays["dates"])),
        crs=tuple(map(str, arrays["crs"])),
        footprints=np.asarray(arrays["footprints"]),
        classes=contents.classes,
        valid_classes=valid,
        bands=BANDS[knobs.optical],
        columns=columns,
        mean=np.asarray(arrays["mean"])[channels],
        std=np.asarray(arrays["std"])[channels],
        rows=rows,
        unit="dB" if contents.unit == "linear" else contents.unit,
        layout=contents.layout,
        left_out=store.metadata["left_out"],
        dealt=dealt(scene.split for scene in contents.scenes),
        fitted=arrays.get("fitted"),
        fingerprint=key,
        notes=tuple(store.metadata["notes"]),
        dataset=dataset,
    )


def _require_classes(ignored: Iterable[str], classes: tuple[str, ...], dataset: str) -> None:
    if unknown := [name for name in ignored if name not in classes]:
        raise ConfigError(
            f"data.ignored must name classes of {dataset}, {', '.join(classes)}, got {unknown[0]!r}; "
            f'name them in a search space: vary(data={{"classes": {classes}, "ignored": ()}})'
        )


def columns_of(stored: tuple[str, ...], optical: Optical, dataset: str) -> Int64[np.ndarray, " band"]:
    """Returns the position of each band that the model sees among those of a data set.

    Raises:
        ConfigError: The data set lacks a band.
    """
    if missing := [band for band in BANDS[optical] if band not in stored]:
        fitting = [name for name, bands in BANDS.items() if set(bands) <= set(stored)]
        raise ConfigError(
            f"{dataset} must hold the bands of data.optical {optical!r}, got no {', '.join(missing)}; "
            f"take {' or '.join(map(repr, fitting)) or 'another data set'}"
        )
    return np.array([stored.index(band) for band in BANDS[optical]], np.int64)


def require_size(data: PatchData, size: int) -> None:
    """Checks that scenes are at least as large as what the model sees of them.

    Raises:
        ConfigError: They are smaller.
    """
    if size > data.side:
        raise ConfigError(
            f"data.size must be at most the side of the scenes of {data.dataset}, {data.side}, got {size}; lower it"
        )


def require_classes(data: PatchData, knobs: DataKnobs) -> None:
    """Checks that there is something to learn from, and to judge by.

    Raises:
        DataError: No scene of a split has a class that counts.
    """
    splits: tuple[SplitName, ...] = ("train", "val")
    for split in splits:
        rows = data.rows[split]
        counted = data.multi[rows].any(1) if knobs.target == "multi" else data.labels[rows] != IGNORED
        if not counted.any():
            raise DataError(
                f"scenes of {split} in {data.dataset} must have classes that are not ignored, got none in {len(rows)}; "
                "name their classes, or ignore fewer (data.ignored)"
            )


def _hashes(contents: Contents, stores: Path) -> dict[str, str]:
    try:
        return content_hashes(contents.paths(), stores)
    except OutputError:
        raise
    except OSError as error:
        raise DataError(f"files of a data set must be readable, got {error}; copy it again") from None


def _drawn(
    rows: Mapping[SplitName, Rows], labels: Labels, names: Sequence[str], balanced: bool
) -> dict[SplitName, Rows]:
    """Returns the scenes of each split in the order in which they are numbered."""
    train = balance(rows["train"], labels) if balanced else rows["train"]
    return {split: mixed(own, names) for split, own in {**rows, "train": train}.items()}


def _require_scenes(rows: Mapping[SplitName, Rows], folder: Path) -> None:
    if empty := [split for split in ("train", "val") if not len(rows[split])]:
        raise DataError(
            f"{folder} must hold a scene for each split, got none for {' and '.join(empty)}; add scenes of more places"
        )
