"""Statistics of the data inside a model, which half precision leaves as they are."""

from torch import nn


class Statistics(nn.Module):
    """A module whose buffers are statistics of the data, which no training moves: they stay in fp32 in every precision.

    It computes with them in fp32, and casts what it returns itself. Roundings of its buffers would go into all that it
    makes of the data, where those of weights are found by training.
    """
