"""Amplitudes of patterns that are most likely given the visible cells of masked fields.

Fields are a mean and a sum of patterns with independent amplitudes of unit variance; what is left is independent noise
of each cell. The amplitudes given some cells solve a ridge regression (reduced space optimal interpolation: Kaplan et
al. 1997, doi:10.1029/97JC01734, Eqs. 9 and 10).
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from thalweg.nn.data_statistics import Statistics

Fields = Mapping[str, Float[Tensor, "batch _ _"]]
Present = Bool[Tensor, "batch variable"]
Patterns = Mapping[str, Mapping[str, Any]]
"""Statistics of each variable by name: arrays or tensors, whose first axis are cells."""

_MAX_VALUES = 1 << 24  # of the patterns weighted by what a sample shows, 64 MiB

# Of a variable's variance: a cell that hardly varied over the training days would otherwise weigh without bound, and a
# later day on which it is a little different would move all others.
_MIN_NOISE = 1e-6


def most_likely(
    seen: Float[Tensor, "batch cell"],
    precision: Float[Tensor, "batch cell"],
    patterns: Float[Tensor, "cell pattern"],
) -> Float[Tensor, "batch pattern"]:
    """Returns the amplitudes that are most likely given the visible cells.

    Args:
        seen: Deviations from the mean; what hidden cells hold does not matter, as long as it is finite.
        precision: 1 over the variance of the noise; 0 where a cell is hidden.
        patterns: Amplitudes of one standard deviation in each cell.
    """
    pulls = (seen * precision) @ patterns
    if bool((precision == precision[:1]).all()):  # whole fields: one matrix, and much less work
        solved: Tensor = torch.linalg.solve(_information(precision[:1], patterns)[0], pulls.T)
        return solved.T
    step = max(_MAX_VALUES // patterns.numel(), 1)
    parts = zip(torch.split(precision, step), torch.split(pulls, step), strict=True)
    return torch.cat([torch.linalg.solve(_information(part, patterns), pull) for part, pull in parts])


def _information(
    precision: Float[Tensor, "batch cell"], patterns: Float[Tensor, "cell pattern"]
) -> Float[Tensor, "batch pattern pattern"]:
    """Returns what visible cells and the prior say of amplitudes: the inverse of their covariance."""
    information: Tensor = (patterns.T * precision[:, None, :]) @ patterns
    information.diagonal(dim1=1, dim2=2).add_(1.0)
    return information


class Interpolation(Statistics):
    """Interpolates hidden cells of fields; a cell of exactly 0 is hidden, and so is every one of an absent variable.

    Centre, patterns and noise are statistics of the training days like those of a normalisation: buffers that `start`
    sets and no training moves. Before that they are 0, and hidden cells stay so.

    Args:
        shapes: Cells along both axes, by variable; all variables are interpolated together.
        count: Number of patterns.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, int]], count: int) -> None:
        super().__init__()
        self._shapes = dict(shapes)
        self._sizes = [first * second for first, second in shapes.values()]
        cells = sum(self._sizes)
        self.register_buffer("centre", torch.zeros(cells))
        self.register_buffer("patterns", torch.zeros(cells, count))
        self.register_buffer("noise", torch.ones(cells))
        self.centre: Tensor
        self.patterns: Tensor
        self.noise: Tensor

    def start(self, patterns: Patterns) -> None:
        """Sets the buffers.

        Args:
            patterns: ``centre``, ``patterns`` and ``noise`` of each variable; see `data.leading.leading_patterns`.
        """
        for name, buffer in self.named_buffers():
            buffer.copy_(torch.cat([torch.as_tensor(patterns[variable][name]) for variable in self._shapes]))

    @torch.no_grad()
    def forward(self, fields: Fields, present: Present) -> tuple[Float[Tensor, "batch pattern"], Fields]:
        """Returns the amplitudes, and fields without holes, both in fp32; cells without data stay 0."""
        shown = [
            fields[name].flatten(1).where(present[:, number, None], 0)
            for number, name in enumerate(self._shapes)
        ]
        values, centre, patterns = torch.cat(shown, dim=1).float(), self.centre, self.patterns
        visible = values != 0
        precision = (1 / self.noise.clamp(min=_MIN_NOISE)).where(visible, 0)
        amplitudes = most_likely(values - centre, precision, patterns)
        cells = torch.where(visible, values, centre + amplitudes @ patterns.T)
        filled = {
            name: part.view(-1, *shape)
            for part, (name, shape) in zip(
                torch.split(cells, self._sizes, dim=1), self._shapes.items(), strict=True
            )
        }
        return amplitudes, filled
