"""What latents are on average given others: where the learning of a head begins, fitted to the training days."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.nn.data_statistics import Statistics
from trainables.geo_contrastive.downstream.latents import TrainingLatents
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.downstream.ridge import MIN_DAYS

_MIN_SPREAD = 1e-3

Members = Float[Tensor, "*batch member"]
Latents = Float[Tensor, "*batch latent"]


class CoordinateRegression(Statistics):
    """A line with a slope for each number of a latent, as buffers that `fit` sets; before that it tells 0.

    It suits latents of the same days by the same encoder, such as those of masked and of whole fields, where a matrix
    would have more numbers than few days can tell.

    Args:
        latent_dim: Width of a latent.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.zeros(latent_dim))
        self.register_buffer("constant", torch.zeros(latent_dim))
        self.register_buffer("spread", torch.ones(latent_dim))
        self.slope: Tensor
        self.constant: Tensor
        self.spread: Tensor

    def fit(self, members: Float[Tensor, "day latent"], targets: Float[Tensor, "day latent"]) -> None:
        """Fits to days, unless they are too few; the ``spread`` is the root mean square of what is left over."""
        if len(members) < MIN_DAYS:
            return
        given, told = members.double(), targets.double()
        usual, mean = given.mean(0), told.mean(0)
        varies = (given - usual).square().mean(0)
        slope = ((given - usual) * (told - mean)).mean(0) / varies.clamp(min=_MIN_SPREAD**2)
        self.slope.copy_(slope)
        self.constant.copy_(mean - usual * slope)
        left = told - mean - (given - usual) * slope
        self.spread.copy_(left.square().mean(0).sqrt().clamp(min=_MIN_SPREAD))

    def forward(self, members: Latents) -> Latents:
        """Returns what the latents are on average, in fp32."""
        return members.float() * self.slope.float() + self.constant.float()


class RegressedLatents(TrainingLatents):
    """Encodes the training days, and fits the ``regression`` of the head, if it has one, unless the trial goes on."""

    @abstractmethod
    def pairs(self, model: HeadedModel, rows: Mapping[str, Tensor]) -> tuple[Members, Latents]:
        """Returns what the regression reads and what it tells, for days in the order of time.

        Args:
            model: The model, whose standardisation is fitted.
            rows: What was computed of all training days.
        """

    def keep(self, model: nn.Module, rows: Mapping[str, Tensor]) -> None:
        """Fits the regression."""
        assert isinstance(model, HeadedModel)
        begins = not bool(model.standardization.fitted)
        super().keep(model, rows)
        regression = getattr(model.head, "regression", None)
        if begins and regression is not None:
            regression.fit(*self.pairs(model, rows))
