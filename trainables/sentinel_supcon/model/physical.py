"""Predicts in physical units: probabilities of classes from backscatter and reflectance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.serving.quantities import Arrays, Quantity
from trainables.sentinel_supcon.data.loading import by_maximum
from trainables.sentinel_supcon.data.units import REFLECTANCE
from trainables.sentinel_supcon.model.scene_model import LOGITS

PROBABILITY = "probability"
_AXES = ("band", "row", "column")


def quantities(facts: Mapping[str, Any], size: int) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
    """Returns backscatter and reflectance, and the probabilities of classes.

    Args:
        facts: What `SceneTask.facts` returned.
        size: Side of the scenes.
    """
    mean, std = (tuple(float(each) for each in np.asarray(facts[name])) for name in ("mean", "std"))
    bands, scaled = [str(name) for name in facts["bands"]], facts["scaling"] != "image_max"
    s1 = Quantity(
        name="s1",
        unit=str(facts["unit_s1"]),
        dims=_AXES,
        shape=(2, size, size),
        meaning="backscatter, VV and VH",
        mean=mean[:2] if scaled else None,
        std=std[:2] if scaled else None,
    )
    s2 = Quantity(
        name="s2",
        unit="1",
        dims=_AXES,
        shape=(len(bands), size, size),
        meaning=f"reflectance, {', '.join(bands)}",
        mean=mean[2:] if scaled else None,
        std=std[2:] if scaled else None,
    )
    classes = [str(name) for name in facts["classes"]]
    meaning = f"of {', '.join(classes)}; ignored ones have none"
    return (s1, s2), (
        Quantity(name=PROBABILITY, unit="1", dims=("class",), shape=(len(classes),), meaning=meaning),
    )


def predict(model: nn.Module, inputs: Arrays, facts: Mapping[str, Any]) -> Arrays:
    """Classifies scenes.

    Args:
        model: The model.
        inputs: ``s1`` and ``s2`` (sample, band, row, column).
        facts: What `SceneTask.facts` returned.
    """
    images = {name: torch.from_numpy(inputs[name]) for name in ("s1", "s2")}
    if facts["scaling"] == "image_max":
        images["s1"] = by_maximum(images["s1"], decibels=facts["unit_s1"] == "dB")
        images["s2"] = by_maximum(images["s2"] * REFLECTANCE, decibels=False)
    else:
        mean, std = (torch.as_tensor(facts[name]).double()[:, None, None] for name in ("mean", "std"))
        images["s1"] = _scaled(images["s1"], mean[:2], std[:2])
        images["s2"] = _scaled(images["s2"], mean[2:], std[2:])
    logits = model({name: each[:, None] for name, each in images.items()})[LOGITS]
    return {PROBABILITY: logits.softmax(1).numpy()}


def _scaled(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return ((images.double() - mean) / std).float()
