"""How far forecasts go from the propagator's roll-out towards the network's: as far as days left out bear it out.

A network soon knows its training days by heart, and what it then adds at leads that nothing tells of does harm on all
others. Forecasts are combined (Bates & Granger 1969, doi:10.1057/jors.1969.103): a share for each number of steps,
which begins at 0 and follows the errors on stretches of the training days that the network does not learn from. A step
longer than these stretches stays the propagator's.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.geo_contrastive.forecast.batches import num_steps

NAME = "trust"
"""Name of the module among the children of a head."""
SPEED = 20.0
"""Shares are so many times the parameters: an optimizer whose steps are of the size of the learning rate would take
thousands from 0 to 1."""

Path = Float[Tensor, "batch step dim"]


class Trust(nn.Module):
    """A share for each number of steps of what the network adds to the propagator's roll-out.

    Args:
        stride: Days of a step; there are as many steps as the last lead takes.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.steps = nn.Parameter(torch.zeros(num_steps(stride)))

    def forward(self, added: Path, *, bounded: bool) -> Path:
        """Returns the trusted share of what the network adds; only the shares get a gradient.

        Args:
            added: By what its roll-out differs from the propagator's.
            bounded: Whether shares below 0 and above 1 count as these.
        """
        shares = SPEED * self.steps.float()[: added.shape[1], None]
        return added.detach() * (shares.clamp(0, 1) if bounded else shares)
