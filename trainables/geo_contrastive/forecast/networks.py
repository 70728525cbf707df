"""Networks that step anomalies of latents through time.

Both add to the propagator's step, beginning with nothing: an untrained network is a linear inverse model or damped
persistence. What they add is bounded, for a recurrent cell's output is, and so is that of a normalisation. As the
propagator makes every anomaly shorter, a roll-out of any length stays bounded from any day.

Forecasts go from the roll-out of the propagator towards that of the network as far as fields of days left out bear it
out. A network soon knows its training days by heart, and what it then adds at leads that nothing tells of does harm on
all others. Forecasts are combined (Bates & Granger 1969, doi:10.1057/jors.1969.103): a share for each number of steps,
which begins at 0 and follows the errors on stretches of the training days that the network does not learn from. A step
longer than these stretches stays the propagator's.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from thalweg.nn.dropout import Dropout
from thalweg.nn.transformer import EncoderLayer, LayerSizes
from trainables.geo_contrastive.forecast.anomalies import LatentAnomalies
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs
from trainables.geo_contrastive.forecast.propagator import Propagator
from trainables.geo_contrastive.forecast.windows import num_steps

TRUST = "trust"
"""Name of the module among the children of a head."""
TRUST_LR = 0.1
"""Learning rate of the shares, whatever that of the network: they go from 0 to 1 in tens of steps."""

Context = Float[Tensor, "batch context dim"]
Latent = Float[Tensor, "batch dim"]
Path = Float[Tensor, "batch step dim"]
State = Any


class Trust(nn.Module):
    """A share for each number of steps of what the network adds to the propagator's roll-out.

    Args:
        stride: Days of a step; there are as many steps as the last lead takes.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.steps = nn.Parameter(torch.zeros(num_steps(stride)))

    def forward(
        self, added: Float[Tensor, "batch step *shape"], *, bounded: bool
    ) -> Float[Tensor, "batch step *shape"]:
        """Returns the trusted share of what the network adds; only the shares get a gradient.

        Args:
            added: By what its roll-out differs from the propagator's, or the fields that these decode to.
            bounded: Whether shares below 0 and above 1 count as these.
        """
        shares = self.steps.float()[: added.shape[1]]
        shares = shares.view(-1, *[1] * (added.dim() - 2))
        return added.detach() * (shares.clamp(0, 1) if bounded else shares)


class Forecaster(nn.Module, ABC):
    """A network that reads amplitudes one stride apart, and forecasts those that follow one by one.

    ``anomalies`` tells what amplitudes of latents are, ``trust`` how far forecasts follow the network. ``propagator``
    is fitted to all training days; ``inside``, to which the network adds, to those that it learns from. On days left
    out a propagator that knows them errs less than on others, and in the opposite direction: no network would be
    trusted beside it.

    Args:
        dim: Width of a latent.
        width: Width of what the network makes of the days that it has read.
        knobs: Stride, and whether the propagator is a matrix, or damps all amplitudes alike.
    """

    propagator: Propagator
    inside: Propagator

    def __init__(self, dim: int, width: int, knobs: ForecastKnobs) -> None:
        super().__init__()
        self.anomalies = LatentAnomalies(dim)
        self.propagator = Propagator(dim, knobs.linear)
        self.inside = Propagator(dim, knobs.linear)
        self.trust = Trust(knobs.stride)
        self.change = nn.Linear(width, dim)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)

    @abstractmethod
    def begin(self, context: Context) -> tuple[Float[Tensor, "batch width"], State]:
        """Reads the context; returns what tells the next change, and a state for `go_on`."""

    @abstractmethod
    def go_on(self, latent: Latent, state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """Reads one more latent."""

    def forward(
        self,
        context: Context,
        num_steps: int,
        truth: Path | None = None,
        taught: Bool[Tensor, "batch step"] | None = None,
    ) -> Path:
        """Forecasts so many steps.

        Args:
            context: Amplitudes, the last of which are those of the day of issue.
            num_steps: Steps to forecast.
            truth: True amplitudes of the steps, where training teaches.
            taught: Whether the step after goes on from the truth instead of the forecast.
        """
        last = context[:, -1]
        seen, state = self.begin(context.to(self._dtype()))
        path = []
        for step in range(num_steps):
            path.append(self.inside(last) + self.change(seen * self.change.in_features**-0.5).float())
            if step == num_steps - 1:
                break
            last = path[-1]
            if truth is not None and taught is not None:
                last = torch.where(taught[:, step, None], truth[:, step], last)
            seen, state = self.go_on(last.to(self._dtype()), state)
        return torch.stack(path, dim=1)

    def combined(self, context: Context, path: Path) -> Path:
        """Returns the propagator's roll-out, and of what the network adds to its own what days left out trust.

        Args:
            context: What the roll-out began with.
            path: The roll-out of the network, no longer than the last lead.
        """
        today, count = context[:, -1], path.shape[1]
        added = self.trust(path - self.inside.path(today, count), bounded=True)
        forecast: Path = self.propagator.path(today, count) + added
        return forecast

    def _dtype(self) -> torch.dtype:
        return self.change.weight.dtype


class Recurrent(Forecaster):
    """Long short-term memory (doi:10.1162/neco.1997.9.8.1735) that reads the context and then its own forecasts.

    Args:
        dim: Width of a latent.
        knobs: Sizes.
    """

    def __init__(self, dim: int, knobs: ForecastKnobs) -> None:
        super().__init__(dim, knobs.hidden, knobs)
        widths = [dim, *[knobs.hidden] * (knobs.layers - 1)]
        self.cells = nn.ModuleList(nn.LSTMCell(width, knobs.hidden) for width in widths)
        self.dropout = Dropout(knobs.dropout)

    def begin(self, context: Context) -> tuple[Float[Tensor, "batch width"], State]:
        """Reads the context day by day."""
        state: State = [None] * len(self.cells)
        for day in context.unbind(1):
            seen, state = self.go_on(day, state)
        return seen, state

    def go_on(self, latent: Latent, state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """Takes one step of all layers."""
        after = []
        seen: Tensor = latent
        for number, (cell, before) in enumerate(zip(self.cells, state, strict=True)):
            hidden, memory = cell(self.dropout(seen) if number else seen, before)
            after.append((hidden, memory))
            seen = hidden
        return seen, after


class Attentive(Forecaster):
    """Transformer over a window as long as the context, which moves on over the forecasts; one day attends to itself.

    Args:
        dim: Width of a latent.
        knobs: Sizes.
    """

    def __init__(self, dim: int, knobs: ForecastKnobs) -> None:
        super().__init__(dim, knobs.hidden, knobs)
        sizes = LayerSizes(dim=knobs.hidden, num_heads=knobs.heads, dropout=knobs.dropout)
        self.embed = nn.Linear(dim, knobs.hidden)
        self.position = nn.Parameter(0.02 * torch.randn(knobs.context, knobs.hidden))
        self.layers = nn.Sequential(*(EncoderLayer(sizes) for _ in range(knobs.layers)))

    def begin(self, context: Context) -> tuple[Float[Tensor, "batch width"], State]:
        """Reads the window."""
        seen: Tensor = self.layers(self.embed(context) + self.position)
        return seen[:, -1], context

    def go_on(self, latent: Latent, state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """Reads the window that ends with one more latent."""
        return self.begin(torch.cat([state[:, 1:], latent[:, None]], dim=1))


def forecaster(dim: int, knobs: ForecastKnobs) -> Forecaster:
    """Returns the network that the knobs ask for."""
    return (Recurrent if knobs.cell == "lstm" else Attentive)(dim, knobs)
