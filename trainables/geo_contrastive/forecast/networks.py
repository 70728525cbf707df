"""Networks that step standardised latents through time.

Both forecast the change of a latent from the one before, beginning with none: an untrained network persists. With a
linear part, it begins at a linear inverse model instead (Penland & Magorian 1993, doi:10.1175/1520-0442(1993)006
<1067:PONSST>2.0.CO;2): a regression of the change on the latent.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from thalweg.nn.dropout import Dropout
from thalweg.nn.transformer import EncoderLayer, LayerSizes
from trainables.geo_contrastive.downstream.regression import LatentRegression
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs

Context = Float[Tensor, "batch context dim"]
Latent = Float[Tensor, "batch dim"]
Path = Float[Tensor, "batch step dim"]
State = Any


class Forecaster(nn.Module, ABC):
    """A network that reads latents one stride apart, and forecasts those that follow one by one.

    Args:
        dim: Width of a latent.
        width: Width of what the network makes of the days that it has read.
        linear: Whether there is a linear part.
    """

    def __init__(self, dim: int, width: int, linear: bool) -> None:
        super().__init__()
        self.regression = LatentRegression(dim, dim) if linear else None
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
            context: Standardised latents, the last of which is the day of issue.
            num_steps: Steps to forecast.
            truth: True latents of the steps, where training teaches.
            taught: Whether the step after goes on from the true latent instead of the forecast one.
        """
        last = context[:, -1]
        seen, state = self.begin(context.to(self._dtype()))
        path = []
        for step in range(num_steps):
            path.append(last.float() + self._usual(last.float()) + self.change(seen).float())
            if step == num_steps - 1:
                break
            last = path[-1]
            if truth is not None and taught is not None:
                last = torch.where(taught[:, step, None], truth[:, step], last)
            seen, state = self.go_on(last.to(self._dtype()), state)
        return torch.stack(path, dim=1)

    def _usual(self, last: Latent) -> Latent | float:
        """Returns the change by the linear part."""
        return 0.0 if self.regression is None else self.regression(last)

    def _dtype(self) -> torch.dtype:
        return self.change.weight.dtype


class Recurrent(Forecaster):
    """Long short-term memory (doi:10.1162/neco.1997.9.8.1735) that reads the context and then its own forecasts.

    Args:
        dim: Width of a latent.
        knobs: Sizes.
    """

    def __init__(self, dim: int, knobs: ForecastKnobs) -> None:
        super().__init__(dim, knobs.hidden, knobs.linear)
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
    """Transformer over a window as long as the context, which moves on over the forecasts.

    Args:
        dim: Width of a latent.
        knobs: Sizes.
    """

    def __init__(self, dim: int, knobs: ForecastKnobs) -> None:
        super().__init__(dim, knobs.hidden, knobs.linear)
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
