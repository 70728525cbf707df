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
    """A share of the network's roll-out for each number of steps, the rest of the propagator's.

    Args:
        stride: Days of a step; there are as many steps as the last lead takes.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.steps = nn.Parameter(torch.zeros(num_steps(stride)))

    def forward(self, alone: Path, path: Path) -> Path:
        """Combines roll-outs of as many steps; only the shares get a gradient.

        Shares below 0 or above 1 are learnt from days left out, but not followed. The propagator is fitted to all days:
        what it leaves over of those left out is the opposite of what it leaves over of the others, and a network that
        learns little else would be followed backwards.

        Args:
            alone: Amplitudes by the propagator alone.
            path: Amplitudes by the network.
        """
        shares = SPEED * self.steps.float()[: path.shape[1], None]
        followed = shares if self.training else shares.clamp(0, 1)
        return torch.lerp(alone.detach(), path.detach(), followed)
