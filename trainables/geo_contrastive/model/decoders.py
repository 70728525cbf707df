"""Decoders: from a latent vector to fields, one network for each grid.

All begin with maps of few cells and double both axes until they reach the grid. A doubled axis is cut where the grid
has an odd number of cells, so that maps of every size close the circle where the grid does.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from thalweg.nn.dropout import Dropout
from thalweg.nn.film import FiLM
from thalweg.nn.norm import norm
from trainables.geo_contrastive.knobs import DecoderKnobs
from trainables.geo_contrastive.model.geometry import FieldGeometry, GridShape, position_code
from trainables.geo_contrastive.model.interpolation import Patterns
from trainables.geo_contrastive.model.layers import Conv, Crop, Deconv, Maps, Residual

Latents = Float[Tensor, "batch latent"]
DecodedFields = dict[str, Float[Tensor, "batch _ _"]]

MAX_LEVELS = 5
MIN_DIM = 32


class Level(NamedTuple):
    """A step from maps to those of the next grid, which has about twice as many cells along both axes.

    Attributes:
        in_dim: Channels of the input.
        out_dim: Channels of the result.
        latent_dim: Width of the latent.
        grid: Grid of the result.
    """

    in_dim: int
    out_dim: int
    latent_dim: int
    grid: GridShape


class Doubling(nn.Module):
    """Layers from maps to those of the next grid, which read nothing else of the latent.

    Args:
        layers: The layers in order.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Maps, latents: Latents) -> Maps:
        """Returns maps on the next grid."""
        result: Tensor = self.layers(x)
        return result


def deconvolution(knobs: DecoderKnobs, level: Level) -> Doubling:
    """Returns a transposed convolution that doubles both axes, a normalisation, ReLU, dropout."""
    return Doubling(
        Deconv(level.in_dim, level.out_dim, wraps=level.grid.wraps, bias=knobs.norm == "none"),
        Crop(level.grid),
        norm(knobs.norm, level.out_dim),
        nn.ReLU(),
        Dropout(knobs.dropout),
    )


def residual(knobs: DecoderKnobs, level: Level) -> Doubling:
    """Returns a transposed convolution of 2 x 2 that doubles both axes, and a residual block."""
    return Doubling(
        nn.ConvTranspose2d(level.in_dim, level.out_dim, 2, stride=2),
        Crop(level.grid),
        Residual(level.out_dim, level.out_dim, knobs.norm, wraps=level.grid.wraps, dropout=knobs.dropout),
    )


class ModulatedDoubling(nn.Module):
    """Each cell becomes four, then a convolution that the latent modulates, and two residual blocks.

    Cells that are repeated and then convolved leave no checkerboard, as transposed convolutions do (Odena et al.,
    doi:10.23915/distill.00003). The latent reaches each scale by itself (arXiv:1709.07871), so that what concerns small
    scales alone need not pass through the seed. A fixed code of positions tells repeated cells from one another.

    Args:
        knobs: Normalisation and dropout.
        level: Sizes.
    """

    codes: Tensor

    def __init__(self, knobs: DecoderKnobs, level: Level) -> None:
        super().__init__()
        out_dim, grid = level.out_dim, level.grid
        self.crop = Crop(grid)
        self.register_buffer("codes", position_code(grid, level.in_dim), persistent=False)
        self.convolution = Conv(level.in_dim, out_dim, 3, wraps=grid.wraps)
        self.norm = norm(knobs.norm, out_dim)
        self.film = FiLM(level.latent_dim, out_dim, "one_plus")
        self.blocks = nn.Sequential(
            *(
                Residual(
                    out_dim, out_dim, knobs.norm, wraps=grid.wraps, dropout=knobs.dropout, activation=nn.GELU
                )
                for _ in range(2)
            )
        )

    def forward(self, x: Maps, latents: Latents) -> Maps:
        """Returns maps on the next grid."""
        scale, shift = self.film(latents)
        repeated = self.crop(interpolate(x, scale_factor=2, mode="nearest"))
        maps = self.norm(self.convolution(repeated + self.codes))
        result: Tensor = self.blocks(scale[:, :, None, None] * maps + shift[:, :, None, None])
        return result


LEVELS: Mapping[str, Callable[[DecoderKnobs, Level], nn.Module]] = {
    "deconvolution": deconvolution,
    "residual": residual,
    "improved": ModulatedDoubling,
}


class GridDecoder(nn.Module):
    """Decodes latents to the variables of one grid.

    The seed has half as many channels as the latent has numbers, at least 32, and each level half as many as the one
    before, rounded to a multiple of 32. For 1000 numbers and a grid of 64 x 32 the seed is [500, 2, 1], as published;
    there it is the latent itself, here a linear layer makes it of a latent of any width. A linear layer to all cells
    may be added to the result, to which the network begins to add nothing.

    Args:
        knobs: Kind, normalisation and dropout.
        latent_dim: Width of the latent.
        num_variables: Variables on the grid.
        grid: The grid.
    """

    def __init__(self, knobs: DecoderKnobs, latent_dim: int, num_variables: int, grid: GridShape) -> None:
        super().__init__()
        pyramid = grid.pyramid(MAX_LEVELS)
        seed_dim = max(latent_dim // 2, MIN_DIM)
        widths = [seed_dim]
        widths += [_rounded(seed_dim / 2**level) for level in range(1, len(pyramid))]
        self._seed_shape = (seed_dim, *pyramid[0].shape)
        longitudes, latitudes = pyramid[0].shape
        self.seed = nn.Linear(latent_dim, seed_dim * longitudes * latitudes)
        self.levels = nn.ModuleList(
            LEVELS[knobs.kind](knobs, Level(before, after, latent_dim, each))
            for (before, after), each in zip(pairwise(widths), pyramid[1:], strict=True)
        )
        self.output = nn.Conv2d(widths[-1], num_variables, 1)
        self._shape = (num_variables, *grid.shape)
        self.is_linear = knobs.linear
        if knobs.linear:
            self.linear = nn.Linear(latent_dim, num_variables * grid.shape[0] * grid.shape[1])
            for weight in self.output.parameters():
                nn.init.zeros_(weight)

    @torch.no_grad()
    def start(self, patterns: Patterns, variables: Sequence[str]) -> None:
        """Begins at a linear layer that adds patterns up, by the first numbers of the latent as amplitudes.

        Args:
            patterns: ``centre`` and ``patterns`` of each variable; see `data.leading.leading_patterns`.
            variables: The variables of the grid.
        """
        found, centre = (
            torch.cat([torch.as_tensor(patterns[variable][name]) for variable in variables])
            for name in ("patterns", "centre")
        )
        self.linear.weight.zero_()
        self.linear.weight[:, : found.shape[1]] = found
        self.linear.bias.copy_(centre)

    def forward(self, latents: Latents) -> Float[Tensor, "batch variable longitude latitude"]:
        """Decodes latents."""
        maps = self.seed(latents).unflatten(1, self._seed_shape)
        for level in self.levels:
            maps = level(maps, latents)
        fields: Tensor = self.output(maps)
        return fields + self.linear(latents).unflatten(1, self._shape) if self.is_linear else fields


def _rounded(width: float) -> int:
    return max(MIN_DIM, MIN_DIM * round(width / MIN_DIM))


class FieldDecoder(nn.Module):
    """Decodes latents to all variables: a `GridDecoder` for each grid.

    Args:
        knobs: Kind, normalisation and dropout.
        latent_dim: Width of the latent.
        geometry: Variables and grids.
    """

    def __init__(self, knobs: DecoderKnobs, latent_dim: int, geometry: FieldGeometry) -> None:
        super().__init__()
        self._variables = geometry.variables
        self._groups = [geometry.on(name) for name in geometry.grids]
        self.of_grids = nn.ModuleList(
            GridDecoder(knobs, latent_dim, len(geometry.on(name)), grid)
            for name, grid in geometry.grids.items()
        )

    def start(self, patterns: Patterns) -> None:
        """Begins at patterns of the training days where decoders are linear in part."""
        for decoder, names in zip(self.of_grids, self._groups, strict=True):
            assert isinstance(decoder, GridDecoder)
            if decoder.is_linear:
                decoder.start(patterns, names)

    def forward(self, latents: Latents) -> DecodedFields:
        """Returns the field of each variable, in their order."""
        found: DecodedFields = {}
        for decoder, names in zip(self.of_grids, self._groups, strict=True):
            found.update(zip(names, torch.unbind(decoder(latents), dim=1), strict=True))
        return {name: found[name] for name in self._variables}
