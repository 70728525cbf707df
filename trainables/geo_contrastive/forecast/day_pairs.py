"""Days that lie a given distance apart, for statistics of how things go on."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """Positions of days, and of those so many days later.

    Attributes:
        before: The days.
        after: Those to come.
    """

    before: Int64[Tensor, " pair"]
    after: Int64[Tensor, " pair"]

    def within(self, chosen: Bool[Tensor, " day"]) -> "Pairs":
        """Returns the pairs both of whose days are chosen."""
        kept = chosen[self.before] & chosen[self.after]
        return Pairs(self.before[kept], self.after[kept])


def pairs(day: Int64[Tensor, " day"], distance: int) -> Pairs:
    """Returns all days that have one so many days later.

    Args:
        day: Days in the order of time.
        distance: Number of days.
    """
    later = torch.searchsorted(day, day + distance)
    exists = later < len(day)
    exists[exists.clone()] = day[later[exists]] == day[exists] + distance
    return Pairs(torch.where(exists)[0], later[exists])
