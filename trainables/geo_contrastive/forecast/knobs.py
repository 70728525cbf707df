"""Knobs of forecasts on frozen latents."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from thalweg.knobs.scheduled import Schedule
from trainables.geo_contrastive.downstream.knobs import HeadKnobs


class ForecastKnobs(HeadKnobs):
    """A network that reads the latents of some days and steps on from the last one, one stride at a time."""

    kind: Literal["forecast"] = "forecast"
    """Forecasts of the days to come."""
    context: Literal[1, 3, 5, 30] = 5
    """Days that the network reads, the last of which is known best; fewer where the record begins or jumps."""
    stride: Literal[1, 5, 10, 20] = Field(default=1, json_schema_extra={"unit": "days"})
    """Distance of the days of the context, and of each forecast from the one before."""
    horizon: int = Field(default=3, ge=1, le=10)
    """Steps that training looks ahead."""
    cell: Literal["lstm", "transformer"] = "lstm"
    """Recurrent network, or attention over the context and what was forecast so far."""
    hidden: int = Field(default=128, ge=8, le=2048)
    """Width of the network."""
    layers: int = Field(default=1, ge=1, le=6)
    """Layers of the network."""
    heads: Literal[1, 2, 4, 8] = 4
    """Heads of the attention; must divide hidden."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout between layers, and in the attention's residual branches."""
    linear: bool = False
    """Whether the network adds to a regression of the next latent on all of the latent, or to damped persistence.
    Either is fitted once to anomalies of the training days, and decays to what is usual on the day of the year."""
    loss: Literal["latent", "field"] = "latent"
    """Squared error of latents, as uncorrelated amplitudes in variances of the training split, or of the fields that
    the decoder shows."""
    rest: Literal["dropped", "persists"] = "dropped"
    """What the decoder cannot show: dropped, or added to the forecasts, that of the climatology whole and that of the
    day of issue's anomaly damped by how it lasts from day to day."""
    first_teaching: float = Field(default=1.0, ge=0, le=1)
    """Probability that a step of training starts from the true latent instead of the forecast one, at the beginning
    (scheduled sampling, arXiv:1506.03099)."""
    last_teaching: float = Field(default=0.1, ge=0, le=1)
    """The same at the end of the stage; it falls linearly."""

    @property
    def teaching(self) -> Schedule:
        """Probability that a step starts from the true latent, over the stage."""
        return Schedule(start=self.first_teaching, end=self.last_teaching, shape="linear")

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        """What `thalweg describe` draws; forecasts of one step are not taught."""
        return {} if self.horizon == 1 else {"teaching": self.teaching}

    def idle(self) -> tuple[str, ...]:
        """Names the heads of what is no attention, and how steps after the first are taught where there are none.

        Attention to a single day is the same with any number of heads.
        """
        heads = () if self.cell == "transformer" and self.context > 1 else ("heads",)
        teaching = ("first_teaching", "last_teaching") if self.horizon == 1 else ()
        dropout = ("dropout",) if self.cell == "lstm" and self.layers == 1 else ()
        return (*heads, *teaching, *dropout)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.cell == "transformer" and self.hidden % self.heads:
            raise ValueError(
                f"heads must divide hidden, got {self.heads} and {self.hidden}; search hidden as a multiple of heads"
            )
        return self
