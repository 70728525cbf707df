"""Weights that a model starts from: those that its family gives, and those of other studies' best trials."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import ConfigError, FamilyError, TrialError


def load_initial(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies the weights that a family gives, as `GivesWeights.initial_weights` returns them, into a model by name.

    Raises:
        FamilyError: The model has no weight of a name, or one of another shape.
    """
    own = model.state_dict()
    for name, given in weights.items():
        if name not in own or own[name].shape != given.shape:
            found = f"of shape {tuple(own[name].shape)}" if name in own else "none of that name"
            raise FamilyError(
                f"initial_weights must have names and shapes of the model, got {name} of shape {tuple(given.shape)} "
                f"where it has {found}; leave it out"
            )
    with torch.no_grad():
        for name, given in weights.items():
            own[name].copy_(given)


def sha256_of(weights: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 of name, shape and values of each weight, in the order of the names."""
    found = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        found.update(f"{name}{tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


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
