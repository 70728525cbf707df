from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import nn

from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.model.field_model import FieldModel

Facts = dict[str, Any]


@pytest.fixture
def facts() -> Callable[..., Facts]:
    """Says what a model needs of a data set whose variables lie on grids of the given shapes."""

    def make(shapes: Mapping[str, tuple[int, int]], wraps: bool = True) -> Facts:
        named = {name: f"{shape[0]}x{shape[1]}" for name, shape in shapes.items()}
        return {
            "variables": [{"name": name, "grid": grid} for name, grid in named.items()],
            "grids": {named[name]: {"shape": shape, "wraps": wraps} for name, shape in shapes.items()},
        }

    return make


@pytest.fixture
def build() -> Callable[..., FieldModel]:
    """Builds the tiny model with knobs of its groups changed, by default without what begins at 0 beside patterns."""

    def make(facts: Facts | None, **changes: Any) -> FieldModel:
        torch.manual_seed(0)
        config = PRESETS["tiny"].vary(encoder={"patterns": 0}, decoder={"linear": False})
        config = config.vary(**changes)
        return FieldModel.build(config, facts)

    return make


@pytest.fixture
def size() -> Callable[[nn.Module], int]:
    """Counts the parameters of a module."""
    return lambda module: sum(weight.numel() for weight in module.parameters())
