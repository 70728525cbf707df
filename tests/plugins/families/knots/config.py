"""Knobs of which many change nothing, each for a reason that has burnt nights, and some that only seem to."""

from typing import Literal

from pydantic import Field

from thalweg.config import FamilyConfig, Knobs, Optimization, Presets


class Weights(Knobs):
    """Weights of the parts of the loss."""

    error: float = Field(1.0, ge=0)
    """Of the error."""
    smooth: float = Field(0.1, ge=0)
    """Of the size of the hidden layer, from `late_begin` on."""
    absent: float = Field(0.1, ge=0)
    """Of a modality that no sample has."""
    frozen: float = Field(0.1, ge=0)
    """Of a contrast on a backbone that does not train."""
    detached: float = Field(0.1, ge=0)
    """Of a term whose gradient is stopped."""
    gated: float = Field(0.1, ge=0)
    """Of a term behind a gate that is shut."""
    brief: float = Field(1.0, ge=0)
    """Of a term that fades from `fade_begin` to half of the budget."""


class Knots(FamilyConfig):
    """A small network with two modalities and a frozen backbone."""

    dataset: str = "rope"
    """Name of the data; made in memory."""
    width: Literal[8, 16] = 8
    """Hidden units."""
    depth: Literal[1, 2] = 1
    """Hidden layers."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout between hidden layers."""
    fusion: Literal["mean", "attention"] = "mean"
    """How both modalities meet."""
    heads: Literal[1, 2, 4] = 1
    """Heads of the attention."""
    loss: Literal["squared", "hinge"] = "squared"
    """Kind of error."""
    margin: float = Field(0.1, ge=0)
    """Error that a hinge forgives."""
    noise: float = Field(0.0, ge=0)
    """Noise on the first modality."""
    late_begin: float = Field(0.9, ge=0, le=1)
    """Share of the budget at which the late part of the loss begins."""
    fade_begin: float = Field(0.0, ge=0, le=1)
    """Share of the budget at which the brief part begins to fade; it is gone at half of it."""
    temperature: float = Field(0.1, gt=0)
    """Temperature of a contrast with one candidate."""
    film_gain: float = Field(1.0, ge=0)
    """Strength of a modulation by how far the mean of all places is from the mean."""
    scale: float = Field(1.0, gt=0)
    """Factor before a layer that normalises."""
    masked: float = Field(0.0, ge=0, le=1)
    """Share of four features that is hidden, rounded down."""
    blur: float = Field(0.0, ge=0)
    """Smoothing of a modality that no layer reads."""
    patience: int = Field(1, ge=1)
    """Read by nobody."""
    second_lr_scale: float = Field(1.0, ge=0)
    """Learning rate of a stage that is not there."""
    weights: Weights = Weights()
    """Weights of the loss."""
    optimization: Optimization = Optimization(lr=1e-2, batch_size=8, warmup_ratio=0.1)
    """Optimizer, schedule and batch."""


PRESETS = Presets(tiny=Knots())
