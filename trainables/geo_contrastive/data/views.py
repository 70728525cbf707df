"""Augmented views of days: what is hidden first, then how the visible rest is smoothed, enlarged and disturbed.

Hiding comes first, so that no view holds anything of a hidden cell: a mean is one of visible cells alone, and what is
hidden stays so in an enlarged part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from torch import Tensor

from thalweg.contract import Keys
from trainables.geo_contrastive.data.draws import Hashes, branch, normal, sixteen_bits, stream, uniform
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.data.matern import matern_noise
from trainables.geo_contrastive.data.resampling import Enlarging, Windows, as_bytes, shown, smoothed
from trainables.geo_contrastive.knobs import ViewKnobs

_LEVELS = 1 << 16  # the share of hidden cells is a whole multiple of 1 / _LEVELS


@dataclass(frozen=True)
class Views:
    """What is drawn once for a view; what differs by cell is drawn by `hide` and `noise`.

    Rows are views: all roles of the first sample, then those of the second one.

    A mirrored view has a mirrored target, and a cropped one the whole field. A mirrored field could be one of a day:
    its cells keep their latitudes and areas. An enlarged one could not, and evaluations ask for whole fields. A crop
    hides cells, therefore, as a mask does, but also moves those that it shows.

    Attributes:
        knobs: Augmentations.
        keys: One key per view.
        dropped: Whether a variable is hidden whole.
        first: What a view shows along longitude.
        second: What it shows along latitude.
        cutout: Where the rectangle that is hidden lies along both axes, from 0 to 1.
    """

    knobs: ViewKnobs
    keys: Hashes
    dropped: Mapping[str, Bool[np.ndarray, " view"]]
    first: Windows
    second: Windows
    cutout: tuple[Float64[np.ndarray, " view"], Float64[np.ndarray, " view"]]

    def enlarging(self, grid: Grid) -> Enlarging | None:
        """Returns how fields of a grid are cropped and mirrored; None if neither is on."""
        if self.knobs.crop == 1 and not self.knobs.flip:
            return None
        return Enlarging(
            self.first.nearest(grid.shape[0], grid.wraps), self.second.nearest(grid.shape[1], False)
        )

    def mirrored(self, fields: Float32[Tensor, "view lon lat"]) -> Float32[Tensor, "view lon lat"]:
        """Returns whole fields as the views show them: mirrored along longitude where these are."""
        if not self.knobs.flip:
            return fields
        return fields.flip(1).where(torch.from_numpy(self.first.mirrored)[:, None, None], fields)

    def hide(
        self, name: str, valid: Bool[np.ndarray, "lon lat"], grid: Grid
    ) -> Bool[np.ndarray, "view lon lat"]:
        """Draws the cells of a variable that its views may read.

        Args:
            name: The variable.
            valid: Cells that have data.
            grid: Where they lie.
        """
        keys = branch(self.keys, stream(name))
        low, high = self.knobs.mask_low, self.knobs.mask_high
        shares = low + (high - low) * uniform(branch(keys, stream("share")))
        visible = random_visible(branch(keys, stream("cells")), shares, grid.shape)
        visible &= valid & ~self.dropped[name][:, None, None]
        if self.knobs.cutout:
            visible &= ~self._cut_out(grid)
        return visible

    def noise(self, name: str, grid: Grid) -> Float32[Tensor, "view lon lat"]:
        """Draws noise for each cell of a variable, in its standard deviations."""
        keys = branch(branch(self.keys, stream(name)), stream("noise"))
        if self.knobs.noise_kind == "matern":
            noise = matern_noise(keys, grid.shape, grid.wraps)
        else:
            noise = normal(keys, grid.shape[0] * grid.shape[1]).reshape(-1, *grid.shape)
        return torch.from_numpy((self.knobs.noise * noise).astype(np.float32))

    def _cut_out(self, grid: Grid) -> Bool[np.ndarray, "view lon lat"]:
        """Returns the cells with centres in the rectangle, which goes around the globe but not over a pole."""
        side = self.knobs.cutout
        inside = []
        for cells, wraps, place in zip(grid.shape, (grid.wraps, False), self.cutout, strict=True):
            first = place if wraps else place * (1 - side)
            offset = (np.arange(cells) + 0.5) / cells - first[:, None]
            inside.append(np.where(offset < 0, offset + 1, offset) < side)
        rectangle: Bool[np.ndarray, "view lon lat"] = inside[0][:, :, None] & inside[1][:, None, :]
        return rectangle


def draw_views(knobs: ViewKnobs, variables: Sequence[str], roles: Sequence[str], keys: Keys) -> Views:
    """Draws the views of some samples.

    Args:
        knobs: Augmentations.
        variables: All variables of a view.
        roles: Names of the views of a sample.
        keys: One key per sample.
    """
    by_role = branch(keys[:, None], np.array([stream(role) for role in roles]))
    views = by_role.reshape(-1)

    def drawn(purpose: str) -> Float64[np.ndarray, " view"]:
        return uniform(branch(views, stream(purpose)))

    never = np.zeros(len(views), bool)
    # All views of a day alike: a mirrored one is of no day that the others are of.
    mirrored = np.repeat(uniform(branch(keys, stream("mirror"))) < knobs.flip, len(roles))
    sizes = (1 - (1 - knobs.crop) * drawn(axis) for axis in ("lon size", "lat size"))
    return Views(
        knobs,
        views,
        _dropped(knobs.mode_drop, variables, by_role, keys),
        Windows(next(sizes), drawn("lon place"), mirrored),
        Windows(next(sizes), drawn("lat place"), never),
        (drawn("lon cutout"), drawn("lat cutout")),
    )


def augmented(
    views: Views,
    name: str,
    fields: Float32[Tensor, "view lon lat"],
    valid: Bool[np.ndarray, "lon lat"],
    grid: Grid,
    enlarging: Enlarging | None,
) -> Float32[Tensor, "view lon lat"]:
    """Returns the views of a variable; hidden and invalid cells are 0.

    Args:
        views: What was drawn.
        name: The variable.
        fields: The whole day of each view, in finite z-scores.
        valid: Cells that have data.
        grid: Where they lie.
        enlarging: What `Views.enlarging` returned for the grid; variables of a grid share it.
    """
    knobs = views.knobs
    visible = as_bytes(views.hide(name, valid, grid))
    seen = shown(fields, visible)
    if knobs.smooth > 1:
        seen = smoothed(seen, visible, knobs.smooth, grid.wraps)
    if enlarging is not None:
        seen = enlarging(seen)
        if knobs.noise:
            visible = enlarging(visible)
        if not valid.all():
            land = as_bytes(valid.copy()).expand_as(seen)
            seen, visible = shown(seen, land), visible * land
    if knobs.noise:
        seen += shown(views.noise(name, grid), visible)
    return seen


def random_visible(
    keys: Hashes, shares: Float64[np.ndarray, " view"], shape: tuple[int, int]
) -> Bool[np.ndarray, "view lon lat"]:
    """Hides each cell with the probability of its view, independently of all others.

    Args:
        keys: One key per view.
        shares: The probabilities, which are rounded to 1 / 65536.
        shape: Cells along both axes.
    """
    hidden = np.round(shares * _LEVELS).astype(np.uint16)
    bits = sixteen_bits(keys, shape[0] * shape[1])
    return (bits >= hidden[:, None]).reshape(-1, *shape)


def _dropped(
    probability: float, variables: Sequence[str], by_role: Hashes, keys: Keys
) -> dict[str, Bool[np.ndarray, " view"]]:
    """Draws the variable that each view hides, if any, so that the views of a sample hide different ones.

    The only variable is never hidden: nothing would be left.
    """
    num_roles = by_role.shape[1]
    if len(variables) == 1:
        return {variables[0]: np.zeros(by_role.size, bool)}
    names = np.array([stream(name) for name in variables])
    order = np.argsort(branch(branch(keys, stream("drop"))[:, None], names), axis=1)
    victim = order[:, np.arange(num_roles) % len(variables)]
    hides = uniform(branch(by_role, stream("drop"))) < probability
    return {name: (hides & (victim == number)).reshape(-1) for number, name in enumerate(variables)}
