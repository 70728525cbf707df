"""Prototypes, to which the pixels of both sensors are drawn by optimal transport."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

REGULARISATION = 0.1
"""Weight of the plan's entropy."""
NUM_ITERATIONS = 10
_MIN_SQUARE = 1e-4  # of lengths: a pixel of zeros, which ReLU makes, has a gradient that fp16 holds


class Prototypes(nn.Module):
    """Directions that pixels behind the first layer are compared with.

    Each scene is a transport problem of its own: its pixels bring equal mass, all prototypes take equal mass, and a
    move costs one minus the cosine. Both sensors share the prototypes, so that their pixels are drawn to one set.

    Args:
        count: Number of prototypes.
        dim: Channels of a pixel.
    """

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(count, dim))

    def forward(self, maps: Float[Tensor, "batch dim row col"]) -> Float[Tensor, " batch"]:
        """Returns the cost of the transport of each scene, in fp32.

        The gradient is that of the cost at a fixed plan, which is that of the regularised problem at its optimum.
        """
        costs = 1 - _directions(maps.flatten(2).transpose(1, 2)) @ _directions(self.directions).T
        return (sinkhorn(costs.detach()) * costs).sum((1, 2))


def sinkhorn(costs: Float[Tensor, "batch source target"]) -> Float[Tensor, "batch source target"]:
    """Returns plans of transport between uniform masses (Sinkhorn distances, arXiv:1306.0895), in logarithms.

    Targets get their mass exactly, sources as nearly as `NUM_ITERATIONS` make it.
    """
    kernel = -costs / REGULARISATION
    of_source, of_target = (-math.log(number) for number in costs.shape[1:])
    sources = torch.zeros_like(kernel[:, :, :1])
    targets = torch.zeros_like(kernel[:, :1])
    for _ in range(NUM_ITERATIONS):
        sources = of_source - (kernel + targets).logsumexp(2, keepdim=True)
        targets = of_target - (kernel + sources).logsumexp(1, keepdim=True)
    return (kernel + sources + targets).exp()


def _directions(vectors: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
    wide = vectors.float()
    return wide / (wide.square().sum(-1, keepdim=True) + _MIN_SQUARE).sqrt()
