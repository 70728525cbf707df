"""What a model needs to know of fields: which variables lie on which grid, and which grids close the circle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import ConfigError

NUM_WAVES = 4
"""Wave numbers 1 to 4 of each axis are in the code of positions."""


@dataclass(frozen=True)
class GridShape:
    """A grid as convolutions see it.

    Attributes:
        shape: Number of longitudes and of latitudes, or of x and y.
        wraps: Whether the first longitude follows the last one.
    """

    shape: tuple[int, int]
    wraps: bool

    def halved(self) -> GridShape:
        """Returns the grid behind a layer of stride 2, which leaves an axis of one or two cells as it is."""
        longitudes, latitudes = (_half(size) if size > 2 else size for size in self.shape)
        return GridShape((longitudes, latitudes), self.wraps)

    def strides(self) -> tuple[int, int]:
        """Returns the stride along each axis that leads to `halved`."""
        longitudes, latitudes = (2 if size > 2 else 1 for size in self.shape)
        return longitudes, latitudes

    def pyramid(self, max_levels: int) -> list[GridShape]:
        """Returns the grids from a seed to this one, each axis about twice as long from one to the next.

        There are as many doublings as lead from one cell to the shorter axis, at least one and at most max_levels.
        """
        levels = min(max((min(self.shape) - 1).bit_length(), 1), max_levels)
        return [self._coarser(2**level) for level in range(levels, -1, -1)]

    def _coarser(self, factor: int) -> GridShape:
        longitudes, latitudes = (-(-size // factor) for size in self.shape)
        return GridShape((longitudes, latitudes), self.wraps)


def _half(size: int) -> int:
    return -(-size // 2)


@dataclass(frozen=True)
class FieldGeometry:
    """The variables of a model and their grids.

    Attributes:
        grid_of: Name of the grid of each variable, in the order of channels and modalities.
        grids: The grids by name.
    """

    grid_of: Mapping[str, str]
    grids: Mapping[str, GridShape]

    @classmethod
    def of(cls, facts: Mapping[str, Any] | None, variables: Sequence[str]) -> FieldGeometry:
        """Returns what the facts of a data set say, or without them all variables on one global grid of 64 x 32.

        Args:
            facts: ``variables``, each with ``name`` and ``grid``, and ``grids``, each with ``shape`` and ``wraps``.
            variables: Names for the reference geometry; the facts have their own.
        """
        if facts is None:
            return cls(dict.fromkeys(variables, "64x32"), {"64x32": GridShape((64, 32), True)})
        grid_of = {str(each["name"]): str(each["grid"]) for each in facts["variables"]}
        grids = {str(name): _grid_shape(each) for name, each in facts["grids"].items()}
        return cls(grid_of, {name: grids[name] for name in dict.fromkeys(grid_of.values())})

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables in order."""
        return tuple(self.grid_of)

    def grid(self, variable: str) -> GridShape:
        """Returns the grid of a variable."""
        return self.grids[self.grid_of[variable]]

    def on(self, grid: str) -> tuple[str, ...]:
        """Returns the variables on a grid in order."""
        return tuple(name for name, own in self.grid_of.items() if own == grid)

    def shared_grid(self) -> GridShape:
        """Returns the grid of all variables.

        Raises:
            ConfigError: They lie on several.
        """
        if len(self.grids) > 1:
            groups = " and ".join(f"{', '.join(self.on(name))} on {name}" for name in self.grids)
            raise ConfigError(
                f"variables must share a grid where one encoder sees them all, got {groups}; choose another "
                "encoder.fusion.kind than early, such as average, or variables on one grid"
            )
        return next(iter(self.grids.values()))


def _grid_shape(facts: Mapping[str, Any]) -> GridShape:
    longitudes, latitudes = (int(size) for size in facts["shape"])
    return GridShape((longitudes, latitudes), bool(facts["wraps"]))


def position_code(grid: GridShape, dim: int) -> Float[Tensor, "dim longitude latitude"]:
    """Returns a fixed code of each cell, in [-1, 1] and continuous where the longitudes close the circle.

    Channels take turns: sine and cosine along the first axis of waves that fit once, twice, ... into it, then half
    waves along the second one. A network of convolutions that wrap around the globe and end in a mean cannot otherwise
    tell a field from the same one at other longitudes.

    Args:
        grid: The grid.
        dim: Number of channels.
    """
    # On the CPU: arithmetic on the meta device, where models are only counted, imports torch._dynamo.
    first, second = ((torch.arange(size, device="cpu") + 0.5) * (torch.pi / size) for size in grid.shape)
    turn = 2 if grid.wraps else 1
    waves = []
    for number in range(1, NUM_WAVES + 1):
        along = turn * number * first[:, None].expand(grid.shape)
        across = number * second[None, :].expand(grid.shape)
        waves += [along.sin(), along.cos(), across.cos(), across.sin()]
    return torch.stack([waves[channel % len(waves)] for channel in range(dim)])
