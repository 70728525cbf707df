"""Smooths, crops and mirrors fields of which some cells are hidden; hidden cells stay hidden and count nowhere."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64, Shaped, UInt8
from torch import Tensor


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

    def nearest(self, num_cells: int, wraps: bool) -> Int64[Tensor, "view cell"]:
        """Returns the cell of the axis in which the centre of each cell of the views lies."""
        cells = np.floor(self.centres(num_cells, wraps) + 0.5).astype(np.int64)
        found: Int64[np.ndarray, "view cell"] = cells % num_cells if wraps else cells.clip(0, num_cells - 1)
        return torch.from_numpy(found)


@dataclass(frozen=True)
class Enlarging:
    """Shows a part of a grid as large as the whole: each cell of a view takes that in which its centre lies.

    Attributes:
        first: Cell along longitude of each cell of a view.
        second: Cell along latitude.
    """

    first: Int64[Tensor, "view lon"]
    second: Int64[Tensor, "view lat"]

    def __call__(self, fields: Shaped[Tensor, "view lon lat"]) -> Shaped[Tensor, "view lon lat"]:
        """Enlarges values or masks."""
        num_views, num_first, num_second = fields.shape
        rows = self.first + num_first * torch.arange(num_views)[:, None]
        shown = fields.reshape(-1, num_second).index_select(0, rows.reshape(-1)).view(fields.shape)
        return shown.gather(2, self.second[:, None].expand(-1, num_first, -1))


def as_bytes(mask: Bool[np.ndarray, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Returns a mask as 1 and 0, of the same memory."""
    return torch.from_numpy(mask.view(np.uint8))


def shown(
    fields: Float32[Tensor, "view lon lat"], visible: Shaped[Tensor, "view lon lat"]
) -> Float32[Tensor, "view lon lat"]:
    """Returns finite fields with 0 in their hidden cells; ``visible`` is 1 or 0, best in bytes."""
    # Many times as fast as a choice. A product of the bits is 0.0, one of numbers could be -0.0, which tells a sign.
    return (fields.view(torch.int32) * visible.byte()).view(torch.float32)


def smoothed(
    fields: Float32[Tensor, "view lon lat"],
    visible: Shaped[Tensor, "view lon lat"],
    side: int,
    wraps: bool,
) -> Float32[Tensor, "view lon lat"]:
    """Returns the mean of the visible cells in a window around each visible cell, 0 in hidden ones.

    Args:
        fields: Values; 0 where a cell is hidden.
        visible: 1 for visible cells, 0 for hidden ones.
        side: Cells along each side of the window, an odd number; it ends at the poles and at the edges of a region.
        wraps: Whether the first axis closes the circle.
    """
    sums = _window_sums(fields, side, wraps)
    counts = _window_sums(visible.byte(), side, wraps).clamp_(min=1)
    # Margins are divided too: the whole is one block of memory, which is twice as fast.
    means = sums.div_(counts).view(-1, fields.shape[1] + side - 1, fields.shape[2] + side - 1)
    return shown(means[: len(fields), : fields.shape[1], : fields.shape[2]], visible)


def _window_sums(fields: Shaped[Tensor, "view lon lat"], side: int, wraps: bool) -> Shaped[Tensor, " cell"]:
    """Adds up windows around the cells, margins included, as they follow one another in memory.

    Returns:
        (view, lon + side - 1, lat + side - 1) in one axis; behind the cells of a view comes what means nothing.
    """
    half = side // 2
    num_views, num_first, num_second = fields.shape
    # So many zeros lie around each field that rows and views may follow one another; a view more ends the last one.
    padded = fields.new_zeros(num_views + 1, num_first + 2 * half, num_second + 2 * half)
    inner = padded[:num_views, :, half : half + num_second]
    inner[:, half : half + num_first] = fields
    if wraps:
        for beyond in range(half):
            inner[:, half - 1 - beyond] = fields[:, -1 - beyond % num_first]
            inner[:, half + num_first + beyond] = fields[:, beyond % num_first]
    total = padded.view(-1)
    for step in (1, padded.shape[2]):
        total = _moving_sums(total, side, step)
    return total[: padded[:num_views].numel()]


def _moving_sums(values: Shaped[Tensor, " cell"], side: int, step: int) -> Shaped[Tensor, " shorter"]:
    """Adds up each cell and those that follow it ``step`` apart, ``side`` of them, an odd number above 1.

    Windows of a power of two cells double from one to the next, and those that ``side`` consists of are added: that is
    3 passes instead of 4 for a side of 5.
    """
    length = len(values) - step * (side - 1)
    sums, covered, width, window = values[:length], 1, 1, values
    while 2 * width <= side:
        window = window[: len(window) - step * width] + window[step * width :]
        width *= 2
        if side & width:
            sums = sums + window[step * covered : step * covered + length]
            covered += width
    return sums
