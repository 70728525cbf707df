"""What amplitudes of latents are on average one step later: a linear inverse model that decays towards the calendar.

The propagator of a stationary process in uncorrelated coordinates is their correlation a step apart, and makes no
vector longer (Penland & Magorian 1993, doi:10.1175/1520-0442(1993)006<1067:PONSST>2.0.CO;2, Eqs. 4 and 5). That of a
few days may. It is shrunk towards damped persistence, by as much as leaves the smallest error of roll-outs on stretches
of the training days that it is not estimated from, and its singular values are limited: every roll-out ends at what is
usual.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from trainables.geo_contrastive.downstream.ridge import MIN_DAYS
from trainables.geo_contrastive.forecast.anomalies import LatentAnomalies

MAX_GAIN = 0.99
"""Largest singular value."""
SHARES = tuple(eighths / 8 for eighths in range(9))
"""Shares of the estimate, of which one is chosen; the rest is damped persistence."""
_FOLDS = 10

Amplitudes = Float[Tensor, "day dim"]
Days = Int64[Tensor, " day"]
Operator = Float[Tensor, "dim dim"]


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


def pairs(day: Days, distance: int) -> Pairs:
    """Returns all days that have one so many days later.

    Args:
        day: Days in the order of time.
        distance: Number of days.
    """
    later = torch.searchsorted(day, day + distance)
    exists = later < len(day)
    exists[exists.clone()] = day[later[exists]] == day[exists] + distance
    return Pairs(torch.where(exists)[0], later[exists])


class Propagator(nn.Module):
    """A matrix that steps amplitudes on, as a buffer that `fit` sets; before that amplitudes persist.

    Args:
        dim: Width of a latent.
        full: Whether an amplitude to come depends on all others; otherwise all persist, equally damped.
    """

    def __init__(self, dim: int, full: bool) -> None:
        super().__init__()
        self._full = full
        self.register_buffer("operator", torch.zeros(dim, dim, dtype=torch.float64).fill_diagonal_(1.0))
        self.operator: Tensor

    def fit(
        self,
        amplitudes: Amplitudes,
        day: Days,
        anomalies: LatentAnomalies,
        stride: int,
        leads: Sequence[int],
    ) -> None:
        """Fits to days in the order of time, unless they are too few.

        Args:
            amplitudes: Amplitudes of the days.
            day: The days.
            anomalies: What amplitudes are of.
            stride: Days of a step.
            leads: Days ahead at which a roll-out shall be good.
        """
        rows = amplitudes.double() @ anomalies.axes
        known = pairs(day, stride)
        if len(known.before) < MIN_DAYS:
            return
        ahead = {max(lead // stride, 1): pairs(day, max(lead // stride, 1) * stride) for lead in leads}
        share = _best_share(rows, anomalies.spread, known, ahead) if self._full else 0.0
        left, gains, right = torch.linalg.svd(_estimate(rows, known, share, anomalies.spread))
        operator = (left * gains.clamp(max=MAX_GAIN)) @ right
        self.operator.copy_(anomalies.axes @ operator @ anomalies.axes.T)

    def forward(self, amplitudes: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Returns the amplitudes one step later, in fp32."""
        return amplitudes.float() @ self.operator.float()

    def path(self, amplitudes: Float[Tensor, "batch dim"], num_steps: int) -> Float[Tensor, "batch step dim"]:
        """Returns the amplitudes of so many steps."""
        found = []
        for _ in range(num_steps):
            amplitudes = self(amplitudes)
            found.append(amplitudes)
        return torch.stack(found, dim=1)


def _estimate(rows: Amplitudes, known: Pairs, share: float, spread: Float[Tensor, " dim"]) -> Operator:
    """Returns the share of the correlations a step apart, the rest of persistence as damped as latents are."""
    correlation = rows[known.before].T @ rows[known.after] / max(len(known.before), 1)
    damping = (correlation.diagonal() * spread.square()).sum() / spread.square().sum()
    estimate: Operator = share * correlation
    estimate.diagonal().add_((1 - share) * damping.clamp(0, 1))
    return estimate


def _best_share(
    rows: Amplitudes, spread: Float[Tensor, " dim"], known: Pairs, ahead: Mapping[int, Pairs]
) -> float:
    """Returns the share whose roll-outs are best on days left out, beside damped persistence at each number of steps.

    Args:
        rows: Amplitudes along the axes.
        spread: Standard deviation along each axis.
        known: Days a step apart.
        ahead: Days so many steps apart.
    """
    errors = torch.zeros(len(SHARES), max(ahead), dtype=torch.float64)
    for left_out in torch.arange(len(rows), device=rows.device).tensor_split(_FOLDS):
        outside = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        outside[left_out] = True
        inside = known.within(~outside)
        for number, share in enumerate(SHARES):
            operator, reached = _estimate(rows, inside, share, spread), rows[left_out]
            for step in range(1, max(ahead) + 1):
                reached = reached @ operator
                if step in ahead:
                    pair = ahead[step].within(outside)
                    error = (reached[pair.before - left_out[0]] - rows[pair.after]) * spread
                    errors[number, step - 1] += float(error.square().sum())
    steps = [step - 1 for step in sorted(ahead) if errors[0, step - 1] > 0]
    return SHARES[int((errors / errors[0])[:, steps].mean(1).argmin())] if steps else 0.0
