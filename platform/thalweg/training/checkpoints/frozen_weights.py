"""Frozen weights: a model starts from the weights of other studies' best trials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import ConfigError, TrialError


def load_starting_points(
    model: nn.Module, files: Mapping[str, str], prefixes: tuple[str, ...] = ("",)
) -> dict[str, int]:
    """Copies the weights of starting points into a model by name; of a weight that several have, the last one counts.

    Args:
        model: A model that was just built.
        files: File of each starting point by its study's name, in order, as `export.freeze` wrote it.
        prefixes: Beginnings of the names of the weights that are copied, as `Task.starting_weights` gives them.

    Returns:
        Number of values that each starting point gave.

    Raises:
        TrialError: A file is gone.
        ConfigError: A starting point has no weight of this model, or one of another shape.
    """
    return {study: _load(model, study, Path(file), prefixes) for study, file in files.items()}


def _load(model: nn.Module, study: str, file: Path, prefixes: tuple[str, ...]) -> int:
    if not file.exists():
        raise TrialError(
            f"the weights of the study {study!r} must lie at {file}, got none; start the study anew"
        )
    content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    given: Mapping[str, Tensor] = content["weights"]
    own = {name: weight for name, weight in model.state_dict().items() if name.startswith(prefixes)}
    shared = [name for name in own if name in given]
    if not shared:
        raise ConfigError(
            f"a study in starts_from must give a part of this model, got {study!r} with {_parts(given)} "
            f"where this model has {_parts(own)}"
        )
    for name in shared:
        if own[name].shape != given[name].shape:
            raise ConfigError(
                f"weights from another study must have the shape of this model's, got {name} of shape "
                f"{tuple(given[name].shape)} from {study!r} where this model has {tuple(own[name].shape)}; "
                "set the knobs of that part as they were there"
            )
    with torch.no_grad():
        for name in shared:
            own[name].copy_(given[name])
    return sum(own[name].numel() for name in shared)


def _parts(weights: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted({name.partition(".")[0] for name in weights})) or "nothing"
