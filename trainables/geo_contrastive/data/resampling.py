"""Smooths, crops and enlarges fields of which some cells are hidden, as one weighted mean of visible cells."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

_LEAST = 0.2  # a cell whose nearest one is visible weighs a quarter or more


@dataclass(frozen=True)
class Windows:
    """What some views show of an axis.

    Attributes:
        size: Share of the axis, 1 for all of it.
        place: Where, from 0 for the first possible place to 1 for the last one.
        mirrored: Whether it is shown backwards.
    """

    size: Float64[np.ndarray, " view"]
    place: Float64[np.ndarray, " view"]
    mirrored: Bool[np.ndarray, " view"]

    def centres(self, num_cells: int, wraps: bool) -> Float64[np.ndarray, "view cell"]:
        """Returns the place of each cell of the views on the axis; the centre of the axis's first cell is 0.

        Around the globe, a window may begin before the first cell or end behind the last one by half of what it leaves
        out.
        """
        spare = num_cells * (1 - self.size)
        start = spare * (2 * self.place - 0.5 if wraps else self.place)
        cells = np.broadcast_to(np.arange(num_cells), (len(start), num_cells))
        cells = np.where(self.mirrored[:, None], cells[:, ::-1], cells)
        centres: Float64[np.ndarray, "view cell"] = start[:, None] + self.size[:, None] * (cells + 0.5) - 0.5
        return centres


@dataclass(frozen=True)
class Along:
    """Means along an axis.

    Attributes:
        nearest: The cell in which the centre of each cell of a view lies.
        weights: Weight of each cell of the axis in each cell of a view.
    """

    nearest: Int64[Tensor, "view cell"]
    weights: Float32[Tensor, "view cell source"]

    @classmethod
    def of(cls, num_cells: int, wraps: bool, windows: Windows, smooth: int) -> "Along":
        """Returns the moving mean over ``smooth`` cells, interpolated linearly to the centres of the views' cells.

        The interpolated mean of 2 h + 1 cells weighs a cell at the distance d by min(1, h + 1 - d), but never less
        than 0.
        """
        centres = windows.centres(num_cells, wraps)
        nearest = np.floor(centres + 0.5).astype(np.int64)
        nearest = nearest % num_cells if wraps else nearest.clip(0, num_cells - 1)
        distance = torch.from_numpy(centres.astype(np.float32))[:, :, None] - torch.arange(num_cells)
        if wraps:
            distance = torch.remainder(distance, num_cells)
            distance = torch.minimum(distance, num_cells - distance)
        half = (smooth - 1) // 2
        return cls(torch.from_numpy(nearest), (half + 1 - distance.abs_()).clamp_(0, 1))


@dataclass(frozen=True)
class Resampling:
    """Means over both axes of a grid.

    Attributes:
        first: Along longitude.
        second: Along latitude.
    """

    first: Along
    second: Along

    def visible(self, visible: Bool[Tensor, "view lon lat"]) -> Bool[Tensor, "view lon lat"]:
        """Returns the cells of the views that lie in a visible one."""
        num_views, num_first, num_second = visible.shape
        rows = self.first.nearest + num_first * torch.arange(num_views)[:, None]
        shown = visible.reshape(-1, num_second).index_select(0, rows.reshape(-1)).view(visible.shape)
        return shown.gather(2, self.second.nearest[:, None].expand(-1, num_first, -1))

    def mean(
        self, fields: Float32[Tensor, "view lon lat"], visible: Bool[Tensor, "view lon lat"]
    ) -> Float32[Tensor, "view lon lat"]:
        """Returns means over visible cells; smaller ones in cells that `visible` does not name.

        Args:
            fields: Values; 0 where a cell is hidden.
            visible: Cells that count.
        """
        num_views, num_first, num_second = fields.shape
        both = torch.stack([fields, visible.to(fields.dtype)], dim=2)
        along = torch.bmm(self.first.weights, both.view(num_views, num_first, 2 * num_second))
        across = torch.bmm(
            along.view(num_views, 2 * num_first, num_second), self.second.weights.transpose(1, 2)
        )
        sums, weights = across.view(num_views, num_first, 2, num_second).unbind(2)
        return sums / weights.clamp_(min=_LEAST)
