"""Cuts scenes into square patches that never cross the edge of a block, and tells where each lies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from thalweg.errors import ConfigError
from trainables.sentinel_supcon.data.rasters import Footprint
from trainables.sentinel_supcon.importing.options import whole

MAX_NAME = 200
"""Bytes of a scene's name, so that names of its patches, which are longer, can be those of files."""


@dataclass(frozen=True)
class Patch:
    """A part of a scene.

    Attributes:
        name: Its name.
        place: Place where it lies.
        rows: Its rows in the scene.
        columns: Its columns.
    """

    name: str
    place: str
    rows: slice
    columns: slice


@dataclass(frozen=True)
class Cut:
    """How scenes are cut.

    Attributes:
        size: Side of patches, in pixels.
        stride: Pixels between neighbouring patches.
        block: Side of the parts of a scene that are places, in pixels; 0 leaves a scene in its place.
    """

    size: int
    stride: int
    block: int

    @classmethod
    def of(cls, size: str, stride: str, block: str) -> Self:
        """Returns what the texts of three options say.

        Raises:
            ConfigError: One is no whole number or out of its bounds.
        """
        side = whole("size", size, low=16, high=4096)
        cut = cls(side, whole("stride", stride or size, low=1, high=side), whole("block", block, low=0))
        if cut.block and cut.block < side:
            raise ConfigError(f"block must be 0 or at least the size, {side}, got {cut.block}; raise it")
        return cut

    def patches(self, name: str, place: str, height: int, width: int) -> Iterator[Patch]:
        """Yields the patches of a scene.

        Args:
            name: Name of the scene.
            place: Its place; with blocks, scenes of one place share the places of their blocks, for they may show
                the same ground on two days.
            height: Its rows.
            width: Its columns.
        """
        block = self.block or max(height, width)
        for top in range(0, height, block):
            for left in range(0, width, block):
                there = f"{place} block {top} {left}" if self.block else place
                for row in range(top, min(top + block, height) - self.size + 1, self.stride):
                    for column in range(left, min(left + block, width) - self.size + 1, self.stride):
                        yield Patch(
                            f"{name}_r{row:04d}_c{column:04d}",
                            there,
                            slice(row, row + self.size),
                            slice(column, column + self.size),
                        )


def part_of(footprint: Footprint, shape: Sequence[int], patch: Patch) -> Footprint:
    """Returns where a patch of a scene lies.

    Args:
        footprint: Where the scene lies.
        shape: Its rows and columns.
        patch: The patch.
    """
    height, width = shape
    if not footprint.crs:
        return footprint
    left, bottom, right, top = footprint.bounds
    across, down = (right - left) / width, (top - bottom) / height
    bounds = (
        left + patch.columns.start * across,
        top - patch.rows.stop * down,
        left + patch.columns.stop * across,
        top - patch.rows.start * down,
    )
    return Footprint(footprint.crs, bounds, footprint.geographic)
