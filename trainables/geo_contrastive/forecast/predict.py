"""Forecasts of a trained model: the context encoded, stepped through time, decoded at the leads of the protocol."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from thalweg.contract import Batch
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs
from trainables.geo_contrastive.forecast.networks import Forecaster
from trainables.geo_contrastive.forecast.rest import damping, rest_of

FORECAST_FIELD = "forecast/"
"""Prefix of the names of forecast fields (batch, lead, lon, lat) among the outputs."""


def predict(
    model: HeadedModel, batch: Batch, knobs: ForecastKnobs, leads: Sequence[int] = LEADS
) -> dict[str, Float[Tensor, "batch lead _ _"]]:
    """Forecasts the fields of the leads from the whole fields of the context.

    A model steps one stride at a time. The anomaly at a lead between two steps lies between theirs in proportion.

    Args:
        model: The model.
        batch: What `batches.evaluation_batch` returned.
        knobs: Stride, and whether the rest of the day of issue persists.
        leads: Days ahead.
    """
    context = _encode(model, batch)
    assert isinstance(model.head, Forecaster)
    path = model.head.combined(context, model.head(context, -(-max(leads) // knobs.stride)))
    path = torch.cat([context[:, -1:], path], dim=1)
    amplitudes = torch.stack([_at(path, lead / knobs.stride) for lead in leads], dim=1)
    latents = restored(model, amplitudes, batch["ahead_day_of_year"])
    fields = _decode(model, latents)
    if knobs.rest == "persists":
        for name, left in _rests(model, batch, context[:, -1], leads).items():
            fields[name] = fields[name] + left
    return {f"{FORECAST_FIELD}{name}": field for name, field in fields.items()}


def restored(
    model: HeadedModel, amplitudes: Float[Tensor, "batch step dim"], day_of_year: Int64[Tensor, "batch step"]
) -> Float[Tensor, "batch step dim"]:
    """Returns latents as the encoder gives them."""
    assert isinstance(model.head, Forecaster)
    return model.standardization.restore(model.head.anomalies.restore(amplitudes, day_of_year))


def _decode(model: HeadedModel, latents: Float[Tensor, "batch lead dim"]) -> dict[str, Tensor]:
    fields = model.decode(latents.flatten(0, 1))
    return {name: field.unflatten(0, latents.shape[:2]) for name, field in fields.items()}  # type: ignore[no-untyped-call]


def _rests(
    model: HeadedModel, batch: Batch, today: Float[Tensor, "batch dim"], leads: Sequence[int]
) -> dict[str, Tensor]:
    """Returns what is left at each lead of what the decoder does not show of fields (batch, lead, lon, lat).

    It is what the decoder does not show of the climatology to come, and of the anomaly today what lasts until then.
    """
    issued = batch["context_day_of_year"][:, -1:]
    at_issue = restored(model, today[:, None], issued)[:, 0]
    rest = rest_of(model, {name: batch[f"clean/{name}"] for name in model.geometry.variables}, at_issue)
    shown = _climatology_shown(model, torch.cat([issued, batch["ahead_day_of_year"]], dim=1))
    found = {}
    for name, shares in zip(rest, damping(model, leads), strict=True):
        climatology = torch.cat(
            [batch[f"climatology/{name}"][:, None], batch[f"ahead_climatology/{name}"]], 1
        )
        hidden = climatology - shown[name]
        anomaly = rest[name] - hidden[:, 0]
        found[name] = hidden[:, 1:] + anomaly[:, None] * shares[:, None, None]
    return found


def _climatology_shown(model: HeadedModel, days: Int64[Tensor, "batch day"]) -> dict[str, Tensor]:
    """Returns what the decoder shows of the mean latents of days of the year; each day is decoded once."""
    assert isinstance(model.head, Forecaster)
    unique, place = torch.unique(days, return_inverse=True)
    usual = model.head.anomalies.usual[unique].float()
    fields = model.decode(model.standardization.restore(usual))
    return {name: field[place] for name, field in fields.items()}


def _at(path: Float[Tensor, "batch step dim"], step: float) -> Float[Tensor, "batch dim"]:
    before = int(step)
    if step == before:
        return path[:, before]
    return torch.lerp(path[:, before], path[:, before + 1], step - before)


def _encode(model: HeadedModel, batch: Batch) -> Float[Tensor, "batch context dim"]:
    """Returns the amplitudes of the context; a day that many windows share is encoded once."""
    days: Int64[Tensor, "batch context"] = batch["context_day"]
    unique, place = torch.unique(days, return_inverse=True)
    flat = place.flatten()
    first = torch.empty_like(unique).scatter_(0, flat, torch.arange(len(flat), device=flat.device))
    names = model.geometry.variables
    latents = model.encode({name: batch[f"context/{name}"].flatten(0, 1)[first] for name in names})
    assert isinstance(model.head, Forecaster)
    amplitudes: Tensor = model.head.anomalies(
        model.standardization(latents)[place], batch["context_day_of_year"]
    )
    return amplitudes
