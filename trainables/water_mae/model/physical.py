"""Predicts in physical units: fills gaps in windows of fields and series.

The model hides whole patches. So a patch with a gap on a day is hidden on that day, and as many patches are hidden on
every day and in every modality of a kind as where most have gaps, at least one, for the model takes equally many.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from thalweg.errors import DataError
from thalweg.serving.quantities import Arrays, Quantity
from trainables.water_mae.config import WaterMAE
from trainables.water_mae.data.transform import backward, forward
from trainables.water_mae.data.windows import Geometry
from trainables.water_mae.knobs import ModalitySet
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.model.facts import geometry_of

DAY_OF_YEAR = "day_of_year"
Values = npt.NDArray[np.float64]


class Filler:
    """Fills gaps in windows.

    Args:
        modalities: Fields and series.
        facts: What `WaterMAETask.facts` returned.
        num_days: Days of a window.
        with_calendar: Whether the model reads the day of the year.
    """

    def __init__(
        self, modalities: ModalitySet, facts: Mapping[str, Any], num_days: int, with_calendar: bool
    ) -> None:
        self._modalities, self._facts, self._num_days = modalities, facts, num_days
        self._with_calendar = with_calendar
        self._geometry: Geometry = geometry_of(facts)
        side = math.isqrt(self._geometry.num_pixels)
        self._grid = tuple(side * size for size in self._geometry.grid_shape)

    @classmethod
    def of(cls, config: WaterMAE, facts: Mapping[str, Any]) -> Self:
        """Returns the filler for a configuration."""
        return cls(
            config.modality_set, facts, config.data.sequence_length, config.model.interpolate_anomalies
        )

    def quantities(self) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
        """Returns all modalities, with gaps and without, and the day of the year if the model reads it."""
        taken = tuple(self._quantity(name) for name in self._modalities.names)
        given = tuple(
            replace(
                each,
                meaning="without gaps, but in cells of the sea" if len(each.dims) > 2 else "without gaps",
            )
            for each in taken
        )
        if not self._with_calendar:
            return taken, given
        day = Quantity(
            name=DAY_OF_YEAR,
            unit="d",
            dims=("day",),
            shape=(self._num_days,),
            meaning="days since 1 January",
            dtype="int64",
        )
        return (*taken, day), given

    def fill(self, model: nn.Module, inputs: Arrays) -> Arrays:
        """Fills gaps; windows without any stay as they are.

        Args:
            model: The model.
            inputs: Fields (sample, day, row, column) and series (sample, day, catchment), by modality.

        Raises:
            DataError: A modality has gaps in all patches of a day.
        """
        count = len(next(iter(inputs.values())))
        rows = ({name: array[row] for name, array in inputs.items()} for row in range(count))
        windows = [self._filled(model, row) for row in rows]
        return {
            name: np.stack([window[name] for window in windows]).astype(np.float32)
            for name in self._modalities.names
        }

    def _quantity(self, name: str) -> Quantity:
        row, index = self._modalities[name], self._modalities.index(name)
        is_field = row.kind == "field"
        after = f"; normalised after log(value + {row.floor:g})" if row.transform == "log" else ""
        return Quantity(
            name=name,
            unit=str(self._facts["units"][name]) or "not declared",
            dims=("day", "row", "column") if is_field else ("day", "catchment"),
            shape=(self._num_days, *(self._grid if is_field else (len(self._facts["catchments"]),))),
            meaning=f"NaN where it is to be predicted{after}",
            mean=float(self._facts["mean"][index]),
            std=float(self._facts["std"][index]),
        )

    def _filled(self, model: nn.Module, window: Arrays) -> dict[str, Values]:
        scores = {name: self._patches(name, window[name]) for name in self._modalities.names}
        batch, hides = self._batch(scores, window)
        filled = {name: window[name].astype(np.float64) for name in self._modalities.names}
        if not hides:
            return filled
        for name, predicted in model(batch).items():
            place = self._modalities.places[name]
            masked = batch[f"{place.kind}_masked"][0, place.position].numpy()
            whole = scores[name].copy()
            np.put_along_axis(whole, masked[..., None], predicted[0].double().numpy(), axis=1)
            found = self._unpatched(name, whole)
            gaps = np.isnan(filled[name])
            filled[name][gaps] = found[gaps]
        return filled

    def _batch(self, scores: Mapping[str, Values], window: Arrays) -> tuple[Batch, bool]:
        """Returns the window as a batch of one, and whether something is hidden in it."""
        batch: Batch = {"vector_present": torch.ones(1, len(self._modalities.series))}
        if self._with_calendar:
            batch[DAY_OF_YEAR] = torch.from_numpy(window[DAY_OF_YEAR])[None]
        hides = False
        for kind in ("image", "vector"):
            if not (names := self._modalities.of_kind(kind)):
                batch[f"{kind}s"] = torch.zeros(1, 0, self._num_days, 0, 0)
                continue
            values = np.stack([scores[name] for name in names])
            valid = self._geometry.pixel_valid if kind == "image" else self._geometry.member_valid
            order = _order(np.isnan(values) & valid, names)
            count = int((np.isnan(values) & valid).any(-1).sum(-1).max())
            hides = hides or count > 0
            count = max(count, 1)  # the model predicts some patches of each kind
            masked, keep = np.sort(order[..., :count]), np.sort(order[..., count:])
            batch[f"{kind}s"] = torch.from_numpy(np.nan_to_num(values).astype(np.float32))[None]
            batch[f"{kind}_masked"], batch[f"{kind}_keep"] = (
                torch.from_numpy(each)[None] for each in (masked, keep)
            )
        return batch, hides

    def _patches(self, name: str, values: npt.NDArray[Any]) -> Values:
        """Returns z-scores (day, patch, value) after the transform; 0 in padding, NaN in gaps."""
        row, index = self._modalities[name], self._modalities.index(name)
        scores = (forward(row, values.astype(np.float64)) - float(self._facts["mean"][index])) / float(
            self._facts["std"][index]
        )
        if row.kind == "field":
            rows, columns = np.moveaxis(self._geometry.pixel_positions, -1, 0)
            return np.where(self._geometry.pixel_valid, scores[:, rows, columns], 0)
        valid = self._geometry.member_valid
        found = np.zeros((len(scores), *valid.shape))
        found[:, valid] = scores
        return found

    def _unpatched(self, name: str, scores: Values) -> Values:
        """Returns physical values in the form of the inputs, NaN in cells of the sea."""
        row, index = self._modalities[name], self._modalities.index(name)
        values = backward(row, scores * float(self._facts["std"][index]) + float(self._facts["mean"][index]))
        if row.kind != "field":
            series: Values = values[:, self._geometry.member_valid]
            return series
        found = np.full((len(values), *self._grid), np.nan)
        rows, columns = np.moveaxis(self._geometry.pixel_positions, -1, 0)
        found[:, rows, columns] = np.where(self._geometry.pixel_valid, values, np.nan)
        return found


class FillsGaps:
    """A task whose models fill gaps, see `thalweg.serving.quantities.PredictsQuantities`."""

    config: WaterMAE

    def quantities(self, facts: Mapping[str, Any]) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
        """Returns fields and series, with gaps and filled."""
        return Filler.of(self.config, facts).quantities()

    def predict_quantities(self, model: nn.Module, inputs: Arrays, facts: Mapping[str, Any]) -> Arrays:
        """Fills gaps."""
        return Filler.of(self.config, facts).fill(model, inputs)


def _order(gaps: npt.NDArray[np.bool_], names: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Returns patches (modality, day, patch), those with gaps first.

    Args:
        gaps: Where values are missing, (modality, day, patch, value).
        names: Names of the modalities.

    Raises:
        DataError: A day has gaps in all of them.
    """
    hidden = gaps.any(-1)
    if (empty := hidden.all(-1)).any():
        modality, day = np.argwhere(empty)[0]
        raise DataError(
            f"gaps are filled from other patches of the day, got {names[modality]} with gaps in all of them on day "
            f"{day} of a window; fill or leave out such days"
        )
    return np.argsort(~hidden, axis=-1, kind="stable")
