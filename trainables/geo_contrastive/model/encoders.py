"""Encoders: residual networks from fields to a latent vector, one of all variables or one of each."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from thalweg.nn.norm import norm
from trainables.geo_contrastive.knobs import EncoderKnobs
from trainables.geo_contrastive.model.fusion import embedding_fusion
from trainables.geo_contrastive.model.geometry import FieldGeometry, GridShape, position_code
from trainables.geo_contrastive.model.interpolation import Interpolation, Patterns
from trainables.geo_contrastive.model.layers import Conv, Maps, MaxPool, Residual, draw_kaiming

Fields = Mapping[str, Float[Tensor, "batch _ _"]]
Present = Bool[Tensor, "batch variable"]
Latents = Float[Tensor, "batch latent"]

NUM_GROUPS = 4


class ResNet(nn.Module):
    """A residual network (section 4.1 of arXiv:1512.03385) from maps to a vector; two blocks a group are ResNet18.

    It differs from the published network in four ways: convolutions and the pool go around the globe; a layer of
    stride 2 leaves an axis of one or two cells as it is, for a normalisation of a single cell gives a constant; a fixed
    code of positions may be added behind the first layer; and a linear layer from all cells to the result. What adds to
    the amplitudes of patterns begins at 0.

    Args:
        knobs: Sizes.
        in_dim: Channels of the maps.
        grid: Their grid.
    """

    codes: Tensor | None

    def __init__(self, knobs: EncoderKnobs, in_dim: int, grid: GridShape) -> None:
        super().__init__()
        if knobs.linear:
            self.linear = nn.Linear(in_dim * grid.shape[0] * grid.shape[1], knobs.latent_dim)
        self.stem, grid = _stem(knobs, in_dim, grid)
        self._is_linear = knobs.linear
        coded = position_code(grid, knobs.width) if knobs.positions else None
        self.register_buffer("codes", coded, persistent=False)
        groups, width = [], knobs.width
        for number in range(NUM_GROUPS):
            out_dim = knobs.width * 2**number
            strides, grid = ((1, 1), grid) if number == 0 else (grid.strides(), grid.halved())
            blocks = [Residual(width, out_dim, knobs.norm, wraps=grid.wraps, stride=strides)]
            blocks += [
                Residual(out_dim, out_dim, knobs.norm, wraps=grid.wraps) for _ in range(knobs.blocks - 1)
            ]
            groups.append(nn.Sequential(*blocks))
            width = out_dim
        self.groups = nn.Sequential(*groups)
        self.head = nn.Linear(width, knobs.latent_dim)
        draw_kaiming(self)
        if knobs.num_patterns:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, maps: Maps) -> Latents:
        """Encodes maps."""
        latents: Tensor = self.head(self.features(maps).mean((2, 3)))
        return latents + self.linear(maps.flatten(1)) if self._is_linear else latents

    def features(self, maps: Maps) -> Maps:
        """Returns the maps behind the last group of blocks."""
        first: Tensor = self.stem(maps)
        found: Tensor = self.groups(first if self.codes is None else first + self.codes)
        return found


def _stem(knobs: EncoderKnobs, in_dim: int, grid: GridShape) -> tuple[nn.Sequential, GridShape]:
    """Returns the first layer and the grid behind it."""
    imagenet, bias = knobs.stem == "imagenet", knobs.norm == "none"
    kernel, stride = (7, grid.strides()) if imagenet else (3, (1, 1))
    first = Conv(in_dim, knobs.width, kernel, wraps=grid.wraps, stride=stride, bias=bias)
    layers = [first, norm(knobs.norm, knobs.width)]
    if imagenet:
        grid = grid.halved()
        # The largest of some cells is the same before the ReLU, of which a quarter of the cells is then to be kept.
        layers.append(MaxPool(grid.strides(), wraps=grid.wraps))
        grid = grid.halved()
    return nn.Sequential(*layers, nn.ReLU()), grid


class EarlyEncoder(nn.Module):
    """One network whose channels are the variables.

    Args:
        knobs: Sizes.
        geometry: The variables, which share a grid.

    Raises:
        ConfigError: The variables lie on several grids.
    """

    def __init__(self, knobs: EncoderKnobs, geometry: FieldGeometry) -> None:
        super().__init__()
        self._variables = geometry.variables
        self.network = ResNet(knobs, len(geometry.variables), geometry.shared_grid())

    def forward(self, fields: Fields, present: Present) -> Latents:
        """Encodes fields; those of absent variables are taken for zeros, whatever they hold."""
        maps = torch.stack([fields[name] for name in self._variables], dim=1).to(
            self.network.head.weight.dtype
        )
        latents: Tensor = self.network(maps.where(present[:, :, None, None], 0))
        return latents


class LateEncoder(nn.Module):
    """One network of each variable, ``VARIABLE_encoder``, whose latents are fused; each may have a grid of its own.

    Dots in the names of variables become underscores; of two names that are then equal, the later one gets its number.

    Args:
        knobs: Sizes.
        geometry: The variables.

    Raises:
        ConfigError: The fusion does not suit the variables, or no width gives its number of parameters.
    """

    def __init__(self, knobs: EncoderKnobs, geometry: FieldGeometry) -> None:
        super().__init__()
        self._names = _module_names(geometry.variables)
        for variable, name in self._names.items():
            self.add_module(name, ResNet(knobs, 1, geometry.grid(variable)))
        self.fusion = embedding_fusion(knobs.fusion, knobs.latent_dim, geometry.variables)

    def forward(self, fields: Fields, present: Present) -> Latents:
        """Encodes fields and leaves absent variables out, whatever they hold."""
        dtype = next(self.parameters()).dtype
        tokens = [
            self.get_submodule(name)(_of_present(fields[variable].to(dtype), present[:, index])[:, None])
            for index, (variable, name) in enumerate(self._names.items())
        ]
        latents: Tensor = self.fusion(torch.stack(tokens, dim=1), present)
        return latents


def _module_names(variables: Sequence[str]) -> dict[str, str]:
    """Returns the name of the network of each variable; no two have one name, and torch takes no dots."""
    found: dict[str, str] = {}
    for number, variable in enumerate(variables):
        name = variable.replace(".", "_")
        taken = f"{name}_encoder" in found.values()
        found[variable] = f"{name}_{number}_encoder" if taken else f"{name}_encoder"
    return found


def _of_present(
    fields: Float[Tensor, "batch _ _"], present: Bool[Tensor, " batch"]
) -> Float[Tensor, "batch _ _"]:
    """Returns fields of which each absent one is that of the sample before that has one, or of the first that has one.

    A fusion leaves their latents out, but a batch norm would take zeros for fields. All are zeros if none is present.
    """
    rows = torch.arange(len(present), device=present.device)
    before = rows.where(present, -1).cummax(0).values
    chosen = before.where(before >= 0, present.int().argmax())
    return fields[chosen].where(present.any(), 0)


class InterpolatingEncoder(nn.Module):
    """Interpolates hidden cells of all variables together, in front of a network that sees fields without holes.

    The amplitudes of the patterns are the first numbers of the latent; the network adds to them and to the others. They
    are in fp32, whatever the type of the weights: no training would make up for their roundings.

    Args:
        knobs: Sizes.
        geometry: The variables.
        network: Encodes fields.
    """

    def __init__(
        self, knobs: EncoderKnobs, geometry: FieldGeometry, network: EarlyEncoder | LateEncoder
    ) -> None:
        super().__init__()
        shapes = {name: geometry.grid(name).shape for name in geometry.variables}
        self.interpolation = Interpolation(shapes, knobs.num_patterns)
        self.network = network

    def start(self, patterns: Patterns) -> None:
        """Begins at patterns of the training days."""
        self.interpolation.start(patterns)

    def forward(self, fields: Fields, present: Present) -> Latents:
        """Encodes fields; what absent variables hold counts for nothing.

        Other variables tell an early network of them; a late fusion leaves them out.
        """
        amplitudes, filled = self.interpolation(fields, present)
        is_early = isinstance(self.network, EarlyEncoder)
        latents: Tensor = self.network(filled, torch.ones_like(present) if is_early else present).float()
        return latents + pad(amplitudes, (0, latents.shape[1] - amplitudes.shape[1]))


Encoder = EarlyEncoder | LateEncoder | InterpolatingEncoder


def encoder(knobs: EncoderKnobs, geometry: FieldGeometry) -> Encoder:
    """Returns the encoder that the knobs name.

    Raises:
        ConfigError: It does not suit the variables and their grids.
    """
    kind = EarlyEncoder if knobs.fusion.kind == "early" else LateEncoder
    network = kind(knobs, geometry)
    return InterpolatingEncoder(knobs, geometry, network) if knobs.num_patterns else network
