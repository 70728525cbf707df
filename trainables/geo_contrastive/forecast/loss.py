"""The loss of forecasts: squared errors of the steps, under scheduled sampling."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.stage_contract import Loss, Progress
from trainables.geo_contrastive.downstream.latents import TrainingLatents
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs
from trainables.geo_contrastive.forecast.predict import restored
from trainables.geo_contrastive.model.field_error import field_errors

FORECAST = "forecast"


class ForecastError(Loss):
    """The mean squared error over steps that exist, of standardised latents or of the fields that they decode to.

    Args:
        knobs: Loss and teaching.
        latents: Amplitudes of the training days.
    """

    def __init__(self, knobs: ForecastKnobs, latents: TrainingLatents) -> None:
        self._knobs, self._latents = knobs, latents

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the errors over days of issue and steps."""
        assert isinstance(model, HeadedModel)
        truth = self._latents.of(batch["forecast/ahead"])
        exists = batch["forecast/exists"]
        # A day that does not exist teaches nothing.
        taught = (batch["forecast/draw"] < teaching(self._knobs, progress.stage_ratio)) & exists
        context = self._latents.of(batch["forecast/context"])
        path = model.head(context, truth.shape[1], truth, taught)
        of_latents = self._knobs.loss == "latent"
        errors = (path - truth).square().mean(2) if of_latents else _field_errors(model, path, batch)
        return {FORECAST: (errors * exists).sum()}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the steps."""
        return {FORECAST: float(batch["forecast/exists"].sum())}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weight 1."""
        return {FORECAST: 1.0}


def teaching(knobs: ForecastKnobs, stage_ratio: float) -> float:
    """Returns the probability that a step goes on from the true latent."""
    return knobs.first_teaching + (knobs.last_teaching - knobs.first_teaching) * stage_ratio


def _field_errors(
    model: HeadedModel, path: Float[Tensor, "batch step dim"], batch: Batch
) -> Float[Tensor, "batch step"]:
    names = model.geometry.variables
    fields = model.decode(restored(model, path, batch["forecast/day_of_year"]).flatten(0, 1))
    found = {name: fields[name].unflatten(0, path.shape[:2]) for name in names}  # type: ignore[no-untyped-call]
    targets = {f"target/{name}": batch[f"forecast/target/{name}"] for name in names}
    return field_errors(found, batch | targets, names)
