"""Knobs that all downstream tasks on frozen latents share."""

from typing import ClassVar, Literal

from pydantic import Field

from thalweg.config import Knobs


class NoDownstream(Knobs):
    """The representation alone."""

    kind: Literal["none"] = "none"
    """The trial ends with the representation."""


class HeadKnobs(Knobs):
    """The last stage of a trial: a head on the latents of an encoder that is frozen."""

    changeable: ClassVar[frozenset[str]] = frozenset({"lr_scale"})

    share: float = Field(default=0.25, gt=0, le=1)
    """Share of the budget; 1 trains the head alone, on the representation of a study in starts_from."""
    lr_scale: float = Field(default=1.0, gt=0, le=1000)
    """Factor on the learning rate."""
