"""`Task.facts` of the family: the geometry of the data, and the normalisation of physical values.

A normalised value is (value - mean) / std of its modality; those in ``floors`` (river flow) after ``log(value +
floor)``. Cells of ocean, padding and absent days are 0. Static attributes are z-scores already, in the order of the
catchments.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from torch import nn

from trainables.water_mae.data.windows import GEOMETRY, Geometry, WaterData
from trainables.water_mae.model.seasonal_cycle import fitted


def facts_of(data: WaterData, *, with_cycle: bool = False) -> dict[str, Any]:
    """Returns geometry and normalisation, which suffice to build a model and prepare its inputs.

    Args:
        data: The data.
        with_cycle: Whether the model needs the seasonal cycle of each place too.
    """
    geometry, modalities = data.geometry, data.modalities
    floors = {row.name: row.floor for row in modalities if row.transform == "log"}
    return {
        "modalities": list(modalities.names),
        "units": dict(zip(modalities.names, data.units, strict=True)),
        "mean": data.mean,
        "std": data.std,
        "floors": floors,
        **({"flow_floor": floors["river_flow"]} if "river_flow" in floors else {}),
        "geometry": {name: np.asarray(getattr(geometry, name)) for name in GEOMETRY},
        "grid_shape": list(geometry.grid_shape),
        "attributes": list(data.attributes),
        "catchments": list(data.catchments),
        **({"seasonal_cycle": fitted(data)} if with_cycle else {}),
    }


def geometry_of(facts: Mapping[str, Any]) -> Geometry:
    """Returns the geometry in facts; its arrays may be tensors.

    Models of earlier versions are told no positions of catchments, and read none.
    """
    rows, columns = facts["grid_shape"]
    shape = (*np.asarray(facts["geometry"]["static"]).shape[:2], 2)
    told = {"member_positions": np.zeros(shape, np.float32), **facts["geometry"]}
    arrays = {name: np.asarray(told[name]) for name in GEOMETRY}
    return Geometry(grid_shape=(int(rows), int(columns)), **arrays)


def only(model: nn.Module, children: Collection[str]) -> nn.Module:
    """Returns the model with these children only; methods that need another one fail."""
    for name in [name for name, _ in model.named_children() if name not in children]:
        delattr(model, name)
    return model
