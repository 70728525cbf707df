"""`Task.facts` of the family: the geometry of the data, and the normalisation of physical values.

A normalised value is (value - mean) / std of its modality; those in ``floors`` (river flow) after ``log(value +
floor)``. Cells of ocean, padding and absent days are 0. Static attributes are z-scores already, in the order of the
catchments.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from torch import nn

from trainables.water_mae.data.windows import Geometry, WaterData

_ARRAYS = ("pixel_valid", "patch_rows_cols", "member_valid", "static")


def facts_of(data: WaterData) -> dict[str, Any]:
    """Returns geometry and normalisation, which suffice to build a model and prepare its inputs."""
    geometry, modalities = data.geometry, data.modalities
    floors = {row.name: row.floor for row in modalities if row.transform == "log"}
    return {
        "modalities": list(modalities.names),
        "units": dict(zip(modalities.names, data.units, strict=True)),
        "mean": data.mean,
        "std": data.std,
        "floors": floors,
        **({"flow_floor": floors["river_flow"]} if "river_flow" in floors else {}),
        "geometry": {name: np.asarray(getattr(geometry, name)) for name in _ARRAYS},
        "grid_shape": list(geometry.grid_shape),
        "attributes": list(data.attributes),
        "catchments": list(data.catchments),
    }


def geometry_of(facts: Mapping[str, Any]) -> Geometry:
    """Returns the geometry in facts; its arrays may be tensors."""
    rows, columns = facts["grid_shape"]
    arrays = {name: np.asarray(facts["geometry"][name]) for name in _ARRAYS}
    return Geometry(grid_shape=(int(rows), int(columns)), **arrays)


def only(model: nn.Module, children: Collection[str]) -> nn.Module:
    """Returns the model with these children only; methods that need another one fail."""
    for name in [name for name, _ in model.named_children() if name not in children]:
        delattr(model, name)
    return model
