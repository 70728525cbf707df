"""Interpolation of masked values from the visible ones, in space, and for river flow in time.

In space a masked value is the mean over the nearest patches that are visible on the same day, weighted by the inverse
square of the distance from their centres (Shepard 1968, doi:10.1145/800186.810616). A series that changes little from
day to day, such as river flow or a groundwater level, is linear in time between the days on which its catchment is
visible, and constant before the first and after the last; if there is no such day, it is interpolated in space. The
number of patches and the power are common choices, not tuned. The import of Great Britain interpolates its grids from
gauges in the same way.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from thalweg.nn.data_statistics import Statistics
from thalweg.nn.masking import take_patches
from trainables.water_mae.data.windows import Geometry
from trainables.water_mae.knobs import ModalitySet, Place
from trainables.water_mae.model.batch import Batch, Predictions
from trainables.water_mae.model.seasonal_cycle import SeasonalCycle

NUM_NEIGHBOURS = 6
_NO_DISTANCE = 1e-6  # smallest squared distance: places without a known position coincide

Values = Float[Tensor, "batch step patch value"]
Seen = Bool[Tensor, "batch step patch value"]


def seen_values(batch: Batch, modality: Place) -> tuple[Values, Seen]:
    """Returns a modality in fp32 and a mask of its visible values, without sea, padding and filled values."""
    kind, index = modality
    values = batch[f"{kind}s"][:, index].float()
    keep = batch[f"{kind}_keep"][:, index]
    visible = torch.zeros(values.shape[:3], dtype=torch.bool, device=keep.device).scatter(2, keep, True)
    seen = visible[..., None] & batch[f"{kind}_valid"][:, None]
    if f"{kind}_observed" in batch:
        seen = seen & batch[f"{kind}_observed"][:, index]
    return values, seen


def patch_means(values: Values, seen: Seen) -> Float[Tensor, "batch step patch"]:
    """Returns the mean over the visible values of each patch; 0 without visible values."""
    return torch.where(seen, values, 0.0).sum(3) / seen.sum(3).clamp(min=1)


def nearest_seen(
    rank: Int[Tensor, "patch patch"],
    order: Int[Tensor, "patch patch"],
    seen: Seen,
    masked: Int[Tensor, "batch step masked"],
    count: int,
) -> tuple[Int[Tensor, "batch step masked near"], Bool[Tensor, "batch step masked near"]]:
    """Finds for each masked patch the nearest patches with visible values on the same day, nearest first.

    Args:
        rank: Rank of each patch among the neighbours of each other one.
        order: Neighbours of each patch, nearest first.
        seen: Mask of visible values.
        masked: Masked patches.
        count: Number of patches to find.

    Returns:
        The patches, and a mask of those that are visible: there may be fewer than `count`.
    """
    visible = seen.any(3)[:, :, None]
    ranks = torch.where(visible, rank[masked], len(rank))
    found = ranks.topk(min(count, len(rank)), dim=3, largest=False, sorted=True).values
    near = order[masked].gather(3, found.clamp(max=len(rank) - 1))
    return near, found < len(rank)


@dataclass(frozen=True)
class Neighbours:
    """The patches around masked values.

    Attributes:
        near: Patches, nearest first.
        known: Mask of those that are visible; there may be fewer than asked for.
        weights: Weight of each in a masked value; all are 0 if none is visible.
    """

    near: Int[Tensor, "batch step masked near"]
    known: Bool[Tensor, "batch step masked near"]
    weights: Float[Tensor, "batch step masked value near"]

    def take(self, means: Float[Tensor, "batch step patch"]) -> Float[Tensor, "batch step masked near"]:
        """Returns the means of the patches, 0 for those that are not visible."""
        found = means[:, :, None].expand(*self.near.shape[:3], -1).gather(3, self.near)
        return torch.where(self.known, found, 0.0)

    def interpolate(
        self, means: Float[Tensor, "batch step patch"]
    ) -> Float[Tensor, "batch step masked value"]:
        """Returns the weighted mean at each masked value."""
        mixed: Tensor = torch.einsum("btkmn,btkn->btkm", self.weights, self.take(means))
        return mixed


class Surroundings(Statistics):
    """Finds and weights the patches around masked ones.

    Args:
        positions: Position of each value on a plane, in any unit of length.
        valid: False for values that do not exist, such as padding.
    """

    def __init__(self, positions: Float[Tensor, "patch value 2"], valid: Bool[Tensor, "patch value"]) -> None:
        super().__init__()
        weight = valid.double()[..., None]
        places = positions.double()
        centres = (places * weight).sum(1) / weight.sum(1)
        order = torch.linalg.vector_norm(centres[:, None] - centres, dim=2).argsort(dim=1, stable=True)
        buffers = {"places": places.float(), "centres": centres.float(), "order": order}
        for name, buffer in (buffers | {"rank": order.argsort(dim=1)}).items():
            self.register_buffer(name, buffer, persistent=False)

    def around(self, seen: Seen, masked: Int[Tensor, "batch step masked"]) -> Neighbours:
        """Finds the neighbours of masked patches, and weights them by the inverse square of the distance."""
        rank, order = self.get_buffer("rank"), self.get_buffer("order")
        near, known = nearest_seen(rank, order, seen, masked, NUM_NEIGHBOURS)
        apart = (
            self.get_buffer("places")[masked][..., None, :]
            - self.get_buffer("centres")[near][..., None, :, :]
        )
        weights = known[..., None, :] / apart.square().sum(-1).clamp(min=_NO_DISTANCE)
        total = weights.sum(-1, keepdim=True)
        return Neighbours(near, known, torch.where(total > 0, weights / total, 0.0))


def surroundings(geometry: Geometry) -> nn.ModuleDict:
    """Returns the surroundings of land patches as ``image`` and of vector patches as ``vector``."""
    places = {
        "image": (geometry.pixel_positions, geometry.pixel_valid),
        "vector": (geometry.member_positions, geometry.member_valid),
    }
    with torch.device("cpu"):  # distances are sorted, which needs their values
        return nn.ModuleDict(
            {
                kind: Surroundings(torch.tensor(where).double(), torch.tensor(valid))
                for kind, (where, valid) in places.items()
            }
        )


@dataclass(frozen=True)
class Ends:
    """The nearest days before or after each on which the same value is visible.

    Attributes:
        values: The value on that day; 0 if there is no such day.
        days: Distance to that day in days; -1 if there is no such day.
    """

    values: Values
    days: Int[Tensor, "batch step patch value"]


def before_and_after(values: Values, seen: Seen) -> tuple[Ends, Ends]:
    """Returns for each day the last day up to it, and the first day from it on, on which a value is visible."""
    num_steps = values.shape[1]
    today = torch.arange(num_steps, device=values.device)[:, None, None].expand(values.shape)
    last = torch.where(seen, today, -1).cummax(dim=1).values
    following = torch.where(seen, today, num_steps).flip(1).cummin(dim=1).values.flip(1)
    ends = []
    for day, there in ((last, last >= 0), (following, following < num_steps)):
        found = values.gather(1, day.clamp(0, num_steps - 1))
        ends.append(Ends(torch.where(there, found, 0.0), torch.where(there, (day - today).abs(), -1)))
    return ends[0], ends[1]


def linear_in_time(values: Values, seen: Seen) -> tuple[Values, Seen]:
    """Interpolates each value linearly between the days on which it is visible; constant beyond them.

    Returns:
        The values, and whether there was a visible day.
    """
    before, after = before_and_after(values, seen)
    share = before.days / (before.days + after.days).clamp(min=1)
    between = before.values + (after.values - before.values) * share
    held = torch.where(before.days < 0, after.values, before.values)
    both = (before.days >= 0) & (after.days >= 0)
    return torch.where(both, between, held), (before.days >= 0) | (after.days >= 0)


class Interpolation(nn.Module):
    """Predicts masked values by interpolation in space, and persistent ones in time.

    With a seasonal cycle it interpolates anomalies from it, and adds them to the cycle of the masked place: so a place
    that is colder or wetter than those around it stays so. That is climatologically aided interpolation (Willmott and
    Robeson 1995, doi:10.1002/joc.3370150207).

    Args:
        geometry: Positions of cells and catchments.
        modalities: What is interpolated; the persistent ones in time.
        cycle: The seasonal cycle of each place; None interpolates values.
    """

    def __init__(
        self, geometry: Geometry, modalities: ModalitySet, cycle: SeasonalCycle | None = None
    ) -> None:
        super().__init__()
        self.surroundings = surroundings(geometry)
        self.modalities = modalities
        self.cycle = cycle

    def forward(self, batch: Batch) -> Predictions:
        """Interpolates the masked patches, in fp32; takes the same batch as the model."""
        return {name: self._masked(batch, name, place) for name, place in self.modalities.places.items()}

    def _masked(self, batch: Batch, name: str, place: Place) -> Float[Tensor, "batch step masked value"]:
        kind, index = place
        values, seen = seen_values(batch, place)
        masked = batch[f"{kind}_masked"][:, index]
        usual = None if self.cycle is None else self.cycle(place, batch["day_of_year"])
        values = values if usual is None else values - usual
        around = self.surroundings[kind].around(seen, masked)  # type: ignore[operator]
        found: Tensor = around.interpolate(patch_means(values, seen))
        if self.modalities[name].is_persistent:
            in_time, known = (take_patches(each, masked) for each in linear_in_time(values, seen))
            found = torch.where(known, in_time, found)
        return found if usual is None else found + take_patches(usual, masked)
