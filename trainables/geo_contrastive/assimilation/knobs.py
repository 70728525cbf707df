"""Knobs of data assimilation; light, for search spaces import them."""

from typing import Literal, Self

from pydantic import Field, model_validator

from trainables.geo_contrastive.downstream.knobs import HeadKnobs


class AssimilationKnobs(HeadKnobs):
    """A network that finds the latent of a whole field from the latents of what a few observations show."""

    kind: Literal["assimilation"] = "assimilation"
    """Fields from sparse and noisy observations."""
    observed_low: float = Field(default=0.05, ge=0.01, le=1)
    """Smallest share of cells that are observed in training; evaluation observes 10 %."""
    observed_high: float = Field(default=0.2, ge=0.01, le=1)
    """Largest share of cells that are observed in training."""
    hidden_dim: int = Field(default=1024, ge=8, le=4096)
    """Width of the hidden layers."""
    num_layers: int = Field(default=2, ge=1, le=6)
    """Hidden layers."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout behind each hidden layer."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.observed_low > self.observed_high:
            raise ValueError(
                f"observed_low must be at most observed_high, got {self.observed_low:g} > {self.observed_high:g}; "
                "raise observed_high"
            )
        return self
