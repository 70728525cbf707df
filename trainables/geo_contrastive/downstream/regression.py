"""What latents are on average given others: where the learning of a head begins, fitted to the training days."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.geo_contrastive.downstream.latents import TrainingLatents
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.downstream.ridge import MIN_DAYS, fit_ridge, held_out_errors

_MIN_SPREAD = 1e-3

Members = Float[Tensor, "*batch member"]
Latents = Float[Tensor, "*batch latent"]


class LatentRegression(nn.Module):
    """A ridge regression with a constant, as buffers that `fit` sets; before that it tells 0.

    Args:
        num_members: Numbers that it reads.
        latent_dim: Width of a latent.
    """

    def __init__(self, num_members: int, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.zeros(num_members, latent_dim))
        self.register_buffer("constant", torch.zeros(latent_dim))
        self.register_buffer("spread", torch.ones(latent_dim))
        self.weights: Tensor
        self.constant: Tensor
        self.spread: Tensor

    def fit(self, members: Float[Tensor, "day member"], targets: Float[Tensor, "day latent"]) -> None:
        """Fits to days in the order of time, unless they are too few.

        The ``spread`` is the root mean square of the errors of the last fifth by a fit to the days before.
        """
        if len(members) < MIN_DAYS:
            return
        usual, mean = members.double().mean(0), targets.double().mean(0)
        pairs = members.double() - usual, targets.double() - mean
        weights = fit_ridge(*pairs)
        self.weights.copy_(weights)
        self.constant.copy_(mean - usual @ weights)
        self.spread.copy_(held_out_errors(*pairs).square().mean(0).sqrt().clamp(min=_MIN_SPREAD))

    def forward(self, members: Members) -> Latents:
        """Returns what the latents are on average, in fp32."""
        return members.float() @ self.weights.float() + self.constant.float()


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
