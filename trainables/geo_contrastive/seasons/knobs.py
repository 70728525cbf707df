"""Knobs of the classification of seasons; light, for search spaces import them."""

from typing import Literal

from pydantic import Field

from trainables.geo_contrastive.downstream.knobs import HeadKnobs


class SeasonKnobs(HeadKnobs):
    """A classifier of the season from the latent of a day; its hidden layers have a quarter and a sixteenth of it."""

    kind: Literal["seasons"] = "seasons"
    """Classification of seasons."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout behind each hidden layer."""
    linear: bool = False
    """Whether the network adds to a logistic regression on the latents, which is fitted once to the training days."""
