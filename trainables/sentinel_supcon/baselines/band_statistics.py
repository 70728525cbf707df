"""A linear model of mean, spread and texture of each band, fitted once to the training split."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from thalweg.contract import Batch, Indices
from thalweg.nn.logistic import fit_logistic
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.knobs import DataKnobs
from trainables.sentinel_supcon.model.scene_model import LOGITS, NEVER
from trainables.sentinel_supcon.model.targets import Target

MAX_SCENES = 2000
"""Scenes that it is fitted to at most, evenly spread over the training split."""
PENALTY = 1e-3
"""Of the sum of squared weights, beside the mean cross-entropy."""
_CHUNK = 64


class BandStatistics(nn.Module):
    """Logistic regression of band statistics.

    Args:
        sensors: Sensors that it sees.
        centre: Mean of each statistic over the training split.
        scale: Standard deviation of each.
        weights: Of the standardised statistics; the last row is that of a constant 1.
    """

    def __init__(
        self,
        sensors: Sequence[str],
        centre: Float64[Tensor, " statistic"],
        scale: Float64[Tensor, " statistic"],
        weights: Float64[Tensor, "term class_"],
    ) -> None:
        super().__init__()
        self._sensors = tuple(sensors)
        for name, values in (("centre", centre), ("scale", scale), ("weights", weights)):
            self.register_buffer(name, values, persistent=False)
        self.centre: Tensor
        self.scale: Tensor
        self.weights: Tensor

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the logits."""
        members = (statistics(batch, self._sensors) - self.centre) / self.scale
        return {LOGITS: members @ self.weights[:-1] + self.weights[-1]}


def statistics(batch: Batch, sensors: Sequence[str]) -> Float64[Tensor, "batch statistic"]:
    """Returns mean, standard deviation, and mean absolute step to the next pixel of each band of the first view."""
    found = []
    for sensor in sensors:
        images: Float[Tensor, "batch band row col"] = batch[sensor][:, 0].double()
        steps = images.diff(dim=2).abs().mean((2, 3)) + images.diff(dim=3).abs().mean((2, 3))
        found += [images.mean((2, 3)), images.std((2, 3)), steps / 2]
    return torch.cat(found, dim=1)


def fit_band_statistics(
    data: PatchData, knobs: DataKnobs, sample: Callable[[Indices], Batch]
) -> dict[str, BandStatistics]:
    """Returns the model that sees both sensors, and those that see one.

    Args:
        data: The data.
        knobs: Target and ignored classes.
        sample: Samples scenes of the training split as evaluations do.
    """
    count = data.num_samples("train")
    chosen = np.unique(np.linspace(0, count - 1, min(count, MAX_SCENES)).round().astype(np.int64))
    names = {"band_statistics": ("s1", "s2"), "band_statistics_s1": ("s1",), "band_statistics_s2": ("s2",)}
    chunks = np.split(chosen, range(_CHUNK, len(chosen), _CHUNK))
    found: dict[str, list[Tensor]] = {name: [] for name in ("s1", "s2", "there")}
    target = Target(knobs)
    for chunk in chunks:
        batch = sample(chunk)
        counted = target.counted(batch)
        for sensor in ("s1", "s2"):
            found[sensor].append(statistics(batch, (sensor,))[counted])
        found["there"].append(target.there(batch)[counted])
    whole = {name: torch.cat(parts) for name, parts in found.items()}
    return {
        name: _fitted(sensors, torch.cat([whole[sensor] for sensor in sensors], 1), whole["there"], knobs)
        for name, sensors in names.items()
    }


def _fitted(sensors: tuple[str, ...], members: Tensor, there: Tensor, knobs: DataKnobs) -> BandStatistics:
    centre, scale = members.mean(0), members.std(0).clamp(min=1e-9)
    standardised = (members - centre) / scale
    if knobs.target == "multi":
        fits = [fit_logistic(standardised, each.long(), PENALTY, 2) for each in there.T]
        found = torch.stack([fit[:, 1] - fit[:, 0] for fit in fits], 1)
    else:
        found = fit_logistic(standardised, there.long().argmax(1), PENALTY, there.shape[1])
    weights = found.new_zeros(len(found), len(knobs.classes))
    weights[-1] = NEVER
    valid = [knobs.classes.index(name) for name in knobs.valid_classes]
    weights[:, valid] = found
    return BandStatistics(sensors, centre, scale, weights)
