"""Predicts in physical units: reconstructs fields of which cells may be missing."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from thalweg.serving.quantities import Arrays, Quantity
from trainables.geo_contrastive.model.field_model import FieldModel

LATENTS = "latents"
_AXES = ("longitude", "latitude")


def quantities(
    facts: Mapping[str, Any], latent_dim: int
) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
    """Returns the field of each variable, and its reconstruction beside the latents.

    Args:
        facts: What `FieldTask.facts` returned.
        latent_dim: Length of the latents.
    """
    taken = tuple(
        _field(each, facts, "daily field; NaN where it is not known") for each in facts["variables"]
    )
    given = tuple(_field(each, facts, "reconstructed field") for each in facts["variables"])
    latents = Quantity(
        name=LATENTS, unit="1", dims=("latent",), shape=(latent_dim,), meaning="encoded fields"
    )
    return taken, (*given, latents)


def _field(variable: Mapping[str, Any], facts: Mapping[str, Any], meaning: str) -> Quantity:
    longitudes, latitudes = (int(size) for size in facts["grids"][variable["grid"]]["shape"])
    return Quantity(
        name=str(variable["name"]),
        unit=str(variable["unit"]) or "not declared",
        dims=_AXES,
        shape=(longitudes, latitudes),
        meaning=meaning,
        mean=float(variable["mean"]),
        std=float(variable["std"]),
    )


def predict(model: nn.Module, inputs: Arrays, facts: Mapping[str, Any]) -> Arrays:
    """Reconstructs fields; those of cells without data in the data set say nothing.

    Args:
        model: The model.
        inputs: Fields (sample, longitude, latitude) by variable; ascending longitudes and latitudes.
        facts: What `FieldTask.facts` returned.
    """
    model = cast(FieldModel, model)
    known = {str(each["name"]): each for each in facts["variables"]}
    scores = {
        name: torch.from_numpy((inputs[name].astype("float64") - each["mean"]) / each["std"])
        .nan_to_num(0)
        .float()
        for name, each in known.items()
    }
    latents = model.encode(scores)
    fields = {
        name: (field.double() * known[name]["std"] + known[name]["mean"]).float().numpy()
        for name, field in model.decode(latents).items()
    }
    return {**{name: fields[name] for name in known}, LATENTS: latents.numpy()}
