"""The opened data of the hydrological masked autoencoder: windows of days of land patches and catchments."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int16, Int64, UInt8, UInt64
from torch import Tensor

from thalweg.config import identity
from thalweg.contract import SplitName
from thalweg.data.placement import gather_here, gather_there, unpacked, upload
from thalweg.data.store import Store, StoreWriter, content_hashes, key_of, open_store
from thalweg.data.windows import gather, whole, window_starts
from thalweg.errors import DataError
from trainables.water_mae.data.flow_events import FlowEvents, find_events
from trainables.water_mae.data.gaps import lost_windows, present_days
from trainables.water_mae.data.layout import find_files
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PUBLISHED, DataKnobs, ModalitySet

FORMAT = 9
"""Version of the store's format, which `prepare` writes; part of its key."""


GEOMETRY = ("pixel_valid", "patch_rows_cols", "member_valid", "static", "member_positions")
"""The arrays of a geometry, by name."""


@dataclass(frozen=True)
class Geometry:
    """Geometry of the data, on which the model's shapes depend.

    Attributes:
        pixel_valid: True on land, for the cells of each kept patch.
        patch_rows_cols: Position of each kept patch in the patch grid.
        grid_shape: Rows and columns of the patch grid, ocean included.
        member_valid: False where the last vector patch is padded.
        static: Attributes of each catchment, z-scored over catchments; unknown values and padding are 0.
        member_positions: Position of each catchment in km east and north of a point; an unknown one, and padding, is 0.
    """

    pixel_valid: Bool[np.ndarray, "patch pixel"]
    patch_rows_cols: Int64[np.ndarray, "patch 2"]
    grid_shape: tuple[int, int]
    member_valid: Bool[np.ndarray, "vector_patch member"]
    static: Float32[np.ndarray, "vector_patch member attribute"]
    member_positions: Float32[np.ndarray, "vector_patch member 2"]

    @property
    def num_patches(self) -> int:
        """Number of kept land patches."""
        return len(self.pixel_valid)

    @property
    def num_pixels(self) -> int:
        """Cells in an image patch."""
        return int(self.pixel_valid.shape[1])

    @property
    def pixel_positions(self) -> Int64[np.ndarray, "patch pixel 2"]:
        """Row and column of each cell in the grid."""
        side = math.isqrt(self.num_pixels)
        inside = np.stack(np.divmod(np.arange(self.num_pixels), side), axis=1)
        positions: Int64[np.ndarray, "patch pixel 2"] = self.patch_rows_cols[:, None] * side + inside
        return positions

    @property
    def num_vector_patches(self) -> int:
        """Number of vector patches."""
        return len(self.member_valid)

    @property
    def num_members(self) -> int:
        """Catchments in a vector patch."""
        return int(self.member_valid.shape[1])


def _reference_geometry() -> Geometry:
    """Returns the geometry of the published model: 94 of 29 x 18 patches of 10 x 10 cells, 76 x 8 catchments, 4 padded.

    Positions and attributes are not known without the data; they hold zeros.
    """
    members = np.arange(76 * 8).reshape(76, 8) < 604
    return Geometry(
        pixel_valid=np.ones((94, 100), bool),
        patch_rows_cols=np.zeros((94, 2), np.int64),
        grid_shape=(29, 18),
        member_valid=members,
        static=np.zeros((76, 8, len(NRFA_ATTRIBUTES)), np.float32),
        member_positions=np.zeros((76, 8, 2), np.float32),
    )


REFERENCE_GEOMETRY = _reference_geometry()
_SERIES = ("images", "vectors")
_OF_WINDOWS = {"sequence_length", "stride", "evaluation_stride", "max_common_gap"}
"""Knobs that do not affect the store."""


@dataclass(frozen=True)
class Resident:
    """A copy of the days on a device, for gathering windows there.

    Attributes:
        images: Land patches as the store holds them.
        vectors: Catchments as the store holds them.
        image_valid: True on land.
        vector_valid: False where a vector patch is padded.
        image_observed: Packed bits as in `WaterData`.
        vector_observed: True for a catchment's value that is data; None if all are.
    """

    images: Float[Tensor, "day field patch pixel"]
    vectors: Float[Tensor, "day series vector_patch member"]
    image_valid: Bool[Tensor, "patch pixel"]
    vector_valid: Bool[Tensor, "vector_patch member"]
    image_observed: UInt8[Tensor, "day field patch byte"] | None = None
    vector_observed: Bool[Tensor, "day series vector_patch member"] | None = None


@dataclass(frozen=True)
class WaterData:
    """Normalised days of a data set; large arrays stay in the store and are shared by all processes.

    Attributes:
        modalities: What the data hold.
        attributes: Names of the static attributes.
        geometry: Shapes and static attributes.
        images: Land patches; ocean is 0.
        vectors: The series after their transform; padding is 0, and so are days on which a patch has no data.
        vector_present: False on days of long runs on which no catchment has a modality, see `gaps.present_days`.
        day_of_year: Days since 1 January, 0 to 365.
        epoch_day: Days since 1970-01-01.
        mean: Mean of each modality after its transform, for normalisation, fields first.
        std: Standard deviation of each, for normalisation.
        catchments: Identifiers in the order of vector patches and members.
        sequence_length: Days in a window.
        starts: First day of each window, by split.
        ends: The day after the last one, by split.
        fingerprint: Hash of the days, of the data behind the statistics, and of the windows of evaluations.
        notes: Sentences for users of the data, such as what was filled.
        fitted: Runs of days, as in `epoch_day`, of the statistics; empty if an earlier version made the store.
        units: Units of the modalities in the files, declared or inferred from their values.
        image_observed: Bits, eight pixels to a byte, that are 1 if a cell's value is data, not filled; None if all land
            cells are data. Filled values come from the same patch and day, see `thalweg.data.fill`.
        vector_observed: True for a catchment's value that is data, not filled; None if all are.
        image_present: False on days of long runs on which no cell has a modality; None if there are none.
        resident: The days on a device, if `placed` put them there.
    """

    modalities: ModalitySet
    attributes: tuple[str, ...]
    geometry: Geometry
    images: Float[np.ndarray, "day field patch pixel"]
    vectors: Float[np.ndarray, "day series vector_patch member"]
    vector_present: Bool[np.ndarray, "day series"]
    day_of_year: Int16[np.ndarray, " day"]
    epoch_day: Int64[np.ndarray, " day"]
    mean: Float64[np.ndarray, " modality"]
    std: Float64[np.ndarray, " modality"]
    units: tuple[str, ...]
    catchments: tuple[int | str, ...]
    sequence_length: int
    starts: dict[SplitName, Int64[np.ndarray, " window"]]
    ends: dict[SplitName, int]
    fingerprint: str
    _climatology: tuple[
        Float32[np.ndarray, "366 field patch pixel"], Float32[np.ndarray, "366 series vector_patch member"]
    ] = field(repr=False)
    notes: tuple[str, ...] = ()
    fitted: tuple[Sequence[int], ...] = ()
    image_observed: UInt8[np.ndarray, "day field patch byte"] | None = None
    vector_observed: Bool[np.ndarray, "day series vector_patch member"] | None = None
    image_present: Bool[np.ndarray, "day field"] | None = None
    resident: Resident | None = field(default=None, repr=False)
    _events: dict[str, FlowEvents] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def vector_positions(self) -> Float32[np.ndarray, "vector_patch 2"]:
        """Mean position of the catchments of each vector patch, as `Geometry.member_positions`."""
        count = self.geometry.member_valid.sum(axis=1, keepdims=True)
        means: Float32[np.ndarray, "vector_patch 2"] = self.geometry.member_positions.sum(axis=1) / count
        return means.astype(np.float32)

    @property
    def num_bytes(self) -> int:
        """Memory that the days take on a device."""
        marks = (self.image_observed, self.vector_observed)
        return sum(each.nbytes for each in (self.images, self.vectors, *marks) if each is not None)

    def placed(self, device: torch.device) -> "WaterData":
        """Returns the same data with a copy of the days on a device, on which `tensors` gathers them."""
        valid = self.geometry.pixel_valid, self.geometry.member_valid
        days = (upload(each, device) for each in (self.images, self.vectors, *valid))
        marks = (
            None if each is None else upload(each, device)
            for each in (self.image_observed, self.vector_observed)
        )
        return replace(self, resident=Resident(*days, *marks))

    def with_training_windows(self, max_windows: int) -> "WaterData":
        """Returns the same data with at most `max_windows` windows of ``train``, evenly spread.

        They do not depend on the stride of training, which a study may search. An evaluation that needs the training
        split uses these windows.
        """
        first, last = int(self.starts["train"][0]), self.ends["train"] - self.sequence_length
        spread = np.linspace(first, last, max_windows).round().astype(np.int64)
        return replace(self, starts={**self.starts, "train": np.unique(spread)})

    def num_samples(self, split: SplitName) -> int:
        """Returns the number of windows of a split; 0 for one that the data set does not have."""
        return len(self.starts[split]) if split in self.starts else 0

    def windows(self, split: SplitName, indices: Int64[np.ndarray, " batch"]) -> dict[str, np.ndarray]:
        """Copies windows out of the store.

        Args:
            split: The split.
            indices: Numbers of windows in the split.

        Returns:
            ``images`` (batch, field, time, patch, pixel), in the number format of the store;
            ``vectors`` (batch, series, time, vector_patch, member), in the same;
            ``vector_present`` float32 (batch, series), 1 if the modality is present on every day, and ``image_present``
            (batch, field) likewise, if the data set has days without one;
            ``day_of_year`` int64 (batch, time);
            ``window`` uint64 (batch,), the first day as days since 1970-01-01: the same in any batch.
        """
        starts, length = self.starts[split][indices], self.sequence_length
        return {
            "images": gather(self.images, starts, length),
            "vectors": gather(self.vectors, starts, length),
            **_calendar(self, starts),
            "window": self.first_days(split, indices),
        }

    def first_days(
        self, split: SplitName, indices: Int64[np.ndarray, " batch"]
    ) -> UInt64[np.ndarray, " batch"]:
        """Returns the first day of each window as days since 1970-01-01."""
        days: UInt64[np.ndarray, " batch"] = self.epoch_day[self.starts[split][indices]].astype(np.uint64)
        return days

    def years(
        self, split: SplitName, indices: Int64[np.ndarray, " batch"]
    ) -> Int64[np.ndarray, "batch time"]:
        """Returns the calendar year of each day of windows."""
        days = self.starts[split][indices][:, None] + np.arange(self.sequence_length)
        return years_of(self.epoch_day[days])

    def tensors(self, split: SplitName, indices: Int64[np.ndarray, " batch"]) -> dict[str, Tensor]:
        """Returns windows as tensors, in the number format of the store, with masks of their valid values.

        ``images``, ``vectors``, ``image_valid`` bool (batch, patch, pixel) and ``vector_valid`` bool (batch,
        vector_patch, member) are on the device of `placed`, else on the CPU; ``vector_present`` and ``day_of_year``,
        which are small, always on the CPU. Data with gaps have ``image_observed`` and ``vector_observed`` as in
        `observed`, on the device of the days.
        """
        starts, length, there = self.starts[split][indices], self.sequence_length, self.resident
        if there is None:
            series = {name: gather_here(getattr(self, name), starts, length) for name in _SERIES}
            valid = (torch.tensor(each) for each in (self.geometry.pixel_valid, self.geometry.member_valid))
        else:
            series = {name: gather_there(getattr(there, name), starts, length) for name in _SERIES}
            valid = (each for each in (there.image_valid, there.vector_valid))
        calendar = {name: torch.from_numpy(values) for name, values in _calendar(self, starts).items()}
        names = ("image_valid", "vector_valid")
        everywhere = {name: each.expand(len(starts), -1, -1) for name, each in zip(names, valid, strict=True)}
        return series | calendar | everywhere | self._marks(starts)

    def _marks(self, starts: Int64[np.ndarray, " batch"]) -> dict[str, Tensor]:
        """Returns masks of the values that are data, on the device of the days; leaves out a kind without gaps."""
        there, found = self.resident, {}
        for kind in ("image", "vector"):
            marks = getattr(self if there is None else there, f"{kind}_observed")
            if marks is None:
                continue
            if there is None:
                windows = gather_here(marks, starts, self.sequence_length)
            else:
                windows = gather_there(marks, starts, self.sequence_length)
            is_packed = kind == "image"
            found[f"{kind}_observed"] = unpacked(windows, self.geometry.num_pixels) if is_packed else windows
        return found

    def observed(self, split: SplitName, indices: Int64[np.ndarray, " batch"]) -> dict[str, np.ndarray]:
        """Returns masks of the values that are data; only these enter losses and metrics.

        Args:
            split: The split.
            indices: Numbers of windows in the split.

        Returns:
            ``image_observed`` bool (batch, field, time, patch, pixel);
            ``vector_observed`` bool (batch, series, time, vector_patch, member).
        """
        days = self.starts[split][indices][:, None] + np.arange(self.sequence_length)
        found = {
            "image_observed": self._images_observed(days),
            "vector_observed": self._vectors_observed(days),
        }
        return {name: np.ascontiguousarray(values.swapaxes(1, 2)) for name, values in found.items()}

    def _images_observed(
        self, days: Int64[np.ndarray, "*days"]
    ) -> Bool[np.ndarray, "*days field patch pixel"]:
        if self.image_observed is None:
            return np.broadcast_to(self.geometry.pixel_valid, (*days.shape, *self.images.shape[1:])).copy()
        bits = np.unpackbits(self.image_observed[days], axis=-1, count=self.geometry.num_pixels)
        observed: Bool[np.ndarray, "*days field patch pixel"] = bits.view(bool)
        return observed

    def _vectors_observed(
        self, days: Int64[np.ndarray, "*days"]
    ) -> Bool[np.ndarray, "*days series vector_patch member"]:
        if self.vector_observed is None:
            return np.broadcast_to(self.geometry.member_valid, (*days.shape, *self.vectors.shape[1:])).copy()
        observed: Bool[np.ndarray, "*days series vector_patch member"] = self.vector_observed[days]
        return observed

    def marks(
        self, days: range
    ) -> tuple[Bool[np.ndarray, "day field patch"], Bool[np.ndarray, "day series vector_patch member"]]:
        """Returns masks of the land patches with any data and of the catchments' values that are data."""
        images: Bool[np.ndarray, "day field patch"] = np.ones((len(days), *self.images.shape[1:3]), bool)
        if self.image_observed is not None:
            images = np.any(self.image_observed[days.start : days.stop], axis=3)
        return images, self._vectors_observed(np.arange(days.start, days.stop))

    def after(
        self, split: SplitName, indices: Int64[np.ndarray, " batch"], days: Sequence[int]
    ) -> tuple[
        Float32[np.ndarray, "batch lead series vector_patch member"],
        Float32[np.ndarray, "batch lead series"],
        Bool[np.ndarray, "batch lead series vector_patch member"],
    ]:
        """Copies days after windows out of the store.

        Args:
            split: The split.
            indices: Numbers of windows in the split.
            days: Lead times: days after the last day of a window.

        Returns:
            The vector modalities on these days; 1 if a modality is present on the day and throughout the window; and a
            mask of the values that are data. A day after the end of the split has zeros, and no modality is present.
        """
        starts = self.starts[split][indices]
        where = starts[:, None] + self.sequence_length - 1 + np.array(days)
        inside = where < self.ends[split]
        where = np.where(inside, where, 0)
        in_window = whole(self.vector_present, starts, self.sequence_length) > 0
        present = inside[..., None] & self.vector_present[where] & in_window[:, None]
        values = self.vectors[where].astype(np.float32) * present[..., None, None]
        return values, present.astype(np.float32), self._vectors_observed(where)

    def flow_events(self, name: str) -> FlowEvents:
        """Returns floods and low flows of a series, by thresholds of the training split; found once, when asked for."""
        return self._events.get(name) or _find_and_keep(self, name)

    def climatology(
        self,
    ) -> tuple[
        Float32[np.ndarray, "366 field patch pixel"], Float32[np.ndarray, "366 series vector_patch member"]
    ]:
        """Returns the mean of the training split for each day of the year, smoothed over 15 days on either side.

        Images and vectors, in normalised units.
        """
        return self._climatology


def years_of(days: Int64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
    """Returns the calendar years of days since 1970-01-01."""
    found: Int64[np.ndarray, "*shape"] = days.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64)
    return found + 1970


def _find_and_keep(data: WaterData, name: str) -> FlowEvents:
    series, number = data.modalities.places[name].position, data.modalities.index(name)
    _, observed = data.marks(range(len(data.vectors)))
    data._events[name] = find_events(
        data.vectors[:, series].astype(np.float32),
        observed[:, series] & data.vector_present[:, series, None, None],
        {split: slice(int(firsts[0]), data.ends[split]) for split, firsts in data.starts.items()},
        (float(data.mean[number]), float(data.std[number])),
        data.modalities[name],
    )
    return data._events[name]


def _calendar(data: WaterData, starts: Int64[np.ndarray, " batch"]) -> dict[str, np.ndarray]:
    days = starts[:, None] + np.arange(data.sequence_length)
    found = {
        "vector_present": whole(data.vector_present, starts, data.sequence_length),
        "day_of_year": data.day_of_year[days].astype(np.int64),
    }
    if data.image_present is not None:
        found["image_present"] = whole(data.image_present, starts, data.sequence_length)
    return found


def open_data(root: Path, dataset: str, knobs: DataKnobs) -> WaterData:
    """Opens a data set; the first time, checks it and prepares its store.

    Args:
        root: The family's data folder.
        dataset: Name of a folder below it.
        knobs: Windows and patches.

    Raises:
        DataError: Files are missing or broken, or a split has no window.
        OutputError: The store cannot be written.
    """
    folder = root / dataset
    files = find_files(folder, knobs.modality_set)
    stores = folder / ".store"
    key = key_of(
        {
            "format": FORMAT,
            "files": content_hashes(files, stores),
            "knobs": {name: value for name, value in identity(knobs).items() if name not in _OF_WINDOWS},
        }
    )

    def fill(writer: StoreWriter) -> dict[str, Any]:
        # It reads tables: what opens a store that is there needs no pandas.
        from trainables.water_mae.data.prepare import prepare

        return prepare(writer, files, knobs)

    store = open_store(stores, key, fill)
    return _serve(store, folder, knobs)


def _serve(store: Store, folder: Path, knobs: DataKnobs) -> WaterData:
    arrays, metadata = store.arrays, store.metadata
    days = {cast(SplitName, split): range(*span) for split, span in metadata["spans"].items()}
    starts = window_starts(days, knobs.sequence_length, knobs.evaluated_every)
    starts |= window_starts({"train": days["train"]}, knobs.sequence_length, knobs.stride)
    for split, firsts in starts.items():
        if not len(firsts):
            raise DataError(
                f"the split {split} of {folder} must hold a window of {knobs.sequence_length} days, "
                f"got {len(days[split])} days; lower data.sequence_length or use a longer split"
            )
    recorded = {"image": arrays["image_recorded"], "vector": arrays["vector_present"]}
    present = {kind: present_days(days_of_kind, days, knobs) for kind, days_of_kind in recorded.items()}
    lost = tuple(
        note
        for kind in recorded
        for number, name in enumerate(knobs.modality_set.of_kind(kind))
        for note in lost_windows(name, present[kind][:, number], starts, knobs)
    )
    gaps = not all(each.all() for each in recorded.values())
    windows = ({"max_common_gap": knobs.max_common_gap} if gaps else {}) | {
        "content": metadata["content"],
        "spans": metadata["spans"],
        "stored_as": knobs.stored_as,
        "length": knobs.sequence_length,
        "stride": knobs.evaluated_every,
    }
    if knobs.modalities != PUBLISHED:  # transforms, which the content does not hold
        windows |= {"modalities": identity(knobs)["modalities"]}
    return WaterData(
        modalities=knobs.modality_set.declared(
            dict(zip(knobs.modality_set.names, metadata["units"], strict=True))
        ),
        attributes=knobs.described_by,
        geometry=Geometry(
            **{name: arrays[name] for name in GEOMETRY},
            grid_shape=(metadata["grid_shape"][0], metadata["grid_shape"][1]),
        ),
        images=arrays["images"],
        vectors=arrays["vectors"],
        vector_present=present["vector"],
        day_of_year=arrays["day_of_year"],
        epoch_day=arrays["epoch_day"],
        mean=np.array(metadata["mean"]),
        std=np.array(metadata["std"]),
        units=tuple(metadata["units"]),
        catchments=tuple(metadata["ids"]),
        sequence_length=knobs.sequence_length,
        starts=starts,
        ends={split: span.stop for split, span in days.items()},
        fingerprint=key_of(windows),
        _climatology=(arrays["climatology_images"], arrays["climatology_vectors"]),
        notes=(*metadata["notes"], *lost),
        fitted=tuple(metadata.get("fitted", ())),
        image_observed=None if metadata["whole"]["image"] else arrays["image_observed"],
        vector_observed=None if metadata["whole"]["vector"] else arrays["vector_observed"],
        image_present=None if present["image"].all() else present["image"],
    )
