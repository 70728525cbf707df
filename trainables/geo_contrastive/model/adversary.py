"""An opponent of the decoder, which tells true fields from decoded ones patch by patch.

A squared error alone rewards smooth fields, which such an opponent finds out (arXiv:1611.07004).
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from thalweg.nn.gradient_reversal import reverse_gradient
from trainables.geo_contrastive.model.geometry import FieldGeometry, GridShape
from trainables.geo_contrastive.model.layers import Conv, Maps

Fields = Mapping[str, Float[Tensor, "batch _ _"]]

NUM_HALVINGS = 2


class PatchDiscriminator(nn.Module):
    """Gives the log-odds that a patch is true, for patches of 15 x 15 cells (after section 3.2.2 of the paper).

    It has no normalisation, which would take away how strong a field varies: what smooth fields are known by.

    Args:
        num_variables: Variables on the grid.
        grid: The grid.
        width: Channels behind the first convolution.
    """

    def __init__(self, num_variables: int, grid: GridShape, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_dim, out_dim = num_variables, width
        for _ in range(NUM_HALVINGS):
            strides, grid = grid.strides(), grid.halved()
            layers += [
                Conv(in_dim, out_dim, 3, wraps=grid.wraps, stride=strides, bias=True),
                nn.LeakyReLU(0.2),
            ]
            in_dim, out_dim = out_dim, 2 * out_dim
        self.layers = nn.Sequential(*layers, Conv(in_dim, 1, 3, wraps=grid.wraps, bias=True))

    def forward(self, maps: Maps) -> Maps:
        """Returns the log-odds (batch, 1, longitude, latitude) of patches, one of every few cells."""
        odds: Tensor = self.layers(maps)
        return odds


class FieldAdversary(nn.Module):
    """A `PatchDiscriminator` for each grid, and the error with which it and the decoder train against one another.

    Args:
        geometry: Variables and grids.
        width: Channels behind the first convolution.
    """

    def __init__(self, geometry: FieldGeometry, width: int) -> None:
        super().__init__()
        self._groups = [geometry.on(name) for name in geometry.grids]
        self.of_grids = nn.ModuleList(
            PatchDiscriminator(len(geometry.on(name)), grid, width) for name, grid in geometry.grids.items()
        )

    def forward(
        self, truth: Fields, decoded: Fields, valid: Mapping[str, Bool[Tensor, "batch _ _"]], weight: float
    ) -> Float[Tensor, " batch"]:
        """Returns the cross-entropy of each sample in fp32, mean over patches and grids; 2 log 2 if nothing is told.

        The opponent descends it. What decoded the fields ascends it, through the reversed gradient.

        Args:
            truth: True fields.
            decoded: Decoded fields, with their graph.
            valid: Cells that have data; the opponent sees zeros elsewhere.
            weight: Strength with which the decoder ascends.
        """
        dtype = next(self.parameters()).dtype
        errors = []
        for discriminator, names in zip(self.of_grids, self._groups, strict=True):
            true, false = (
                torch.stack([fields[name].where(valid[name], 0) for name in names], dim=1).to(dtype)
                for fields in (truth, decoded)
            )
            on_truth = softplus(-discriminator(true).float())
            on_decoded = softplus(discriminator(reverse_gradient(false, weight)).float())
            errors.append((on_truth + on_decoded).mean((1, 2, 3)))
        return torch.stack(errors).mean(0)
