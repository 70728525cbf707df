"""The loss of forecasts: squared errors of the steps, under scheduled sampling, and of forecasts of days left out."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.stage_contract import Loss, Progress
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs
from trainables.geo_contrastive.forecast.networks import TRUST, Forecaster
from trainables.geo_contrastive.forecast.predict import restored
from trainables.geo_contrastive.forecast.stepping import SteppingLatents
from trainables.geo_contrastive.model.field_error import field_errors

FORECAST = "forecast"


class ForecastError(Loss):
    """The mean squared error over steps that are learnt, of amplitudes or of the fields that they decode to.

    Beside it that of decoded fields over steps of days left out, by which alone forecasts come to trust the network.
    Latents would not do: of most of their numbers fields show little, and networks forecast those that fields show.

    Args:
        knobs: Loss and teaching.
        latents: Amplitudes of the training days, and the cells of their fields.
    """

    def __init__(self, knobs: ForecastKnobs, latents: SteppingLatents) -> None:
        self._knobs, self._latents = knobs, latents

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the errors over days of issue and steps."""
        assert isinstance(model, HeadedModel)
        learnt = batch["forecast/learnt"]
        truth = self._latents.of(batch["forecast/ahead"][:, : self._knobs.horizon])
        # A day that does not exist teaches nothing.
        taught = (batch["forecast/draw"] < self._knobs.teaching.at(progress.stage_ratio)) & learnt
        context = self._latents.of(batch["forecast/context"])
        path = model.head(context, truth.shape[1], truth, taught)
        of_latents = self._knobs.loss == "latent"
        errors = (path - truth).square().mean(2) if of_latents else self._field_errors(model, path, batch)
        return {FORECAST: (errors * learnt).sum(), TRUST: self._left_out(model, batch, context).sum()}

    def _left_out(
        self, model: HeadedModel, batch: Batch, context: Float[Tensor, "batch context dim"]
    ) -> Float[Tensor, "row step"]:
        """Returns the errors of forecasts of days left out; 0 at steps that are none.

        Where no sample is left out, the first one steps on for nothing: workers that share weights do as much.
        """
        head, chosen = model.head, batch["forecast/left_out"]
        assert isinstance(head, Forecaster)
        rows = torch.where(chosen.any(1))[
            0
        ]  # their number is the one thing here that the device is waited for
        rows = rows if len(rows) else torch.arange(1, device=chosen.device)
        count, training = chosen.shape[1], head.training
        days = batch["forecast/day_of_year"][rows, :count]
        with torch.no_grad():
            path = head.eval()(context[rows], count)
            head.train(training)
            truth = self._latents.of(batch["forecast/ahead"][rows, :count])
            alone = head.inside.path(context[rows, -1], count)
            decoded = _decoded(model, torch.cat([alone, path, truth]), days.repeat(3, 1))
        found, targets = {}, {}
        for name, fields in decoded.items():
            own, learnt, targets[f"target/{name}"] = fields.chunk(3)
            found[name] = own + head.trust(learnt - own, bounded=False)
        return field_errors(found, self._latents.cells | targets, found) * chosen[rows]

    def _field_errors(
        self, model: HeadedModel, path: Float[Tensor, "batch step dim"], batch: Batch
    ) -> Float[Tensor, "batch step"]:
        found = _decoded(model, path, batch["forecast/day_of_year"][:, : path.shape[1]])
        targets = {f"target/{name}": batch[f"forecast/target/{name}"] for name in found}
        return field_errors(found, self._latents.cells | targets, found)

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the steps."""
        return {
            FORECAST: float(batch["forecast/learnt"].sum()),
            TRUST: float(batch["forecast/left_out"].sum()),
        }

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns equal weights; no parameter has a part in both."""
        return {FORECAST: 1.0, TRUST: 1.0}


def _decoded(
    model: HeadedModel, path: Float[Tensor, "batch step dim"], day_of_year: Int64[Tensor, "batch step"]
) -> dict[str, Float[Tensor, "batch step _ _"]]:
    fields = model.decode(restored(model, path, day_of_year).flatten(0, 1))
    return {name: fields[name].float().unflatten(0, path.shape[:2]) for name in model.geometry.variables}  # type: ignore[no-untyped-call]
