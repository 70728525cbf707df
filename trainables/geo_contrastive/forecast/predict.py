"""Forecasts of a trained model: the context encoded, stepped through time, decoded at the leads of the protocol."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from thalweg.contract import Batch
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.forecast.batches import LEADS
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs
from trainables.geo_contrastive.forecast.rest import damping, rest_of

FORECAST_FIELD = "forecast/"
"""Prefix of the names of forecast fields (batch, lead, lon, lat) among the outputs."""


def predict(
    model: HeadedModel, batch: Batch, knobs: ForecastKnobs, leads: Sequence[int] = LEADS
) -> dict[str, Float[Tensor, "batch lead _ _"]]:
    """Forecasts the fields of the leads from the whole fields of the context.

    A model steps one stride at a time. The latent at a lead between two steps lies between theirs in proportion.

    Args:
        model: The model.
        batch: What `batches.evaluation_batch` returned.
        knobs: Stride, and whether the rest of the day of issue persists.
        leads: Days ahead.
    """
    context = _encode(model, batch)
    path = model.head(context, -(-max(leads) // knobs.stride))
    path = torch.cat([context[:, -1:], path], dim=1)
    latents = torch.stack([_at(path, lead / knobs.stride) for lead in leads], dim=1)
    decoded = model.decode(model.standardization.restore(latents).flatten(0, 1))
    fields = {name: field.unflatten(0, latents.shape[:2]) for name, field in decoded.items()}  # type: ignore[no-untyped-call]
    if knobs.rest == "persists":
        today = {name: batch[f"clean/{name}"] for name in fields}
        rest = rest_of(model, today, model.standardization.restore(context[:, -1]))
        for name, shares in zip(fields, damping(model, leads), strict=True):
            fields[name] = fields[name] + rest[name][:, None] * shares[:, None, None]
    return {f"{FORECAST_FIELD}{name}": field for name, field in fields.items()}


def _at(path: Float[Tensor, "batch step dim"], step: float) -> Float[Tensor, "batch dim"]:
    before = int(step)
    if step == before:
        return path[:, before]
    return torch.lerp(path[:, before], path[:, before + 1], step - before)


def _encode(model: HeadedModel, batch: Batch) -> Float[Tensor, "batch context dim"]:
    """Returns the standardised latents of the context; a day that many windows share is encoded once."""
    days: Int64[Tensor, "batch context"] = batch["context_day"]
    unique, place = torch.unique(days, return_inverse=True)
    flat = place.flatten()
    first = torch.empty_like(unique).scatter_(0, flat, torch.arange(len(flat), device=flat.device))
    names = model.geometry.variables
    latents = model.encode({name: batch[f"context/{name}"].flatten(0, 1)[first] for name in names})
    standardized: Tensor = model.standardization(latents)[place]
    return standardized
