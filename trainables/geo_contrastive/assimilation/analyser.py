"""The network that finds the latent of a whole field."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.nn.dropout import Dropout
from trainables.geo_contrastive.assimilation.knobs import AssimilationKnobs
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.downstream.regression import CoordinateRegression

Latents = Float[Tensor, "batch latent"]


class Analyser(nn.Module):
    """Changes the latent of the climatology by what observations tell.

    It sees three latents: that of the observations alone, as the encoder knows masked fields; that of the climatology
    with the observed values in their cells; and that of the climatology. The last layer begins at 0, so that learning
    starts at a regression of the change on that from the climatology to the observations alone, and at the climatology
    before this is fitted.

    Args:
        knobs: Sizes.
        latent_dim: Width of a latent.
    """

    def __init__(self, knobs: AssimilationKnobs, latent_dim: int) -> None:
        super().__init__()
        self.regression = CoordinateRegression(latent_dim)
        widths = [3 * latent_dim + 1, *[knobs.hidden_dim] * knobs.num_layers]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.GELU(), Dropout(knobs.dropout)]
        last = nn.Linear(widths[-1], latent_dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)

    def forward(
        self, alone: Latents, filled: Latents, usual: Latents, share: Float[Tensor, " batch"]
    ) -> Latents:
        """Returns standardised latents, in fp32.

        Args:
            alone: Standardised latents of the observations alone.
            filled: Those of the climatology with the observations in it.
            usual: Those of the climatology.
            share: Share of the cells that are observed.
        """
        beside = torch.cat([alone, filled, usual, share[:, None]], dim=1)
        change: Tensor = self.layers(beside.to(next(self.layers.parameters()).dtype))
        told: Tensor = self.regression(alone - usual)
        return usual + told + change.float()


def analysed(model: HeadedModel, batch: Batch) -> dict[str, Float[Tensor, "batch _ _"]]:
    """Returns the analysis of each variable, through a frozen encoder and decoder.

    What the latents of analysis and climatology differ by is decoded and added to the climatology, so that the analysis
    keeps what the decoder cannot show of it.

    Args:
        model: The model.
        batch: ``observed/V``, ``is_observed/V`` and ``background/V`` (batch, lon, lat).
    """
    names = model.geometry.variables
    alone = {name: batch[f"observed/{name}"] for name in names}
    usual = {name: batch[f"background/{name}"] for name in names}
    masks = {name: batch[f"is_observed/{name}"] for name in names}
    filled = {name: torch.where(masks[name], alone[name], usual[name]) for name in names}
    with torch.no_grad():
        latents = [model.standardization(model.encode(fields)) for fields in (alone, filled, usual)]
        background = model.decode(model.standardization.restore(latents[-1]))
    share = torch.stack([mask.float().mean((1, 2)) for mask in masks.values()]).mean(0)
    found = model.decode(model.standardization.restore(model.head(*latents, share)))
    return {name: usual[name] + found[name] - background[name] for name in names}
