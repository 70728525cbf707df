"""Anomalies from the climatology, of all cells that have data."""

import numpy as np
from jaxtyping import Float32, Int64

from trainables.geo_contrastive.data.fields import FieldData


def anomalies_from(
    data: FieldData, positions: Int64[np.ndarray, " day"], usual: Int64[np.ndarray, " day"]
) -> Float32[np.ndarray, "day cell"]:
    """Returns anomalies of all valid cells, variable after variable.

    Args:
        data: Opened data.
        positions: Positions of days in the data.
        usual: Days of the year whose climatology is taken away from them.
    """
    parts = [
        data.fields[name][positions][:, cells] - data.climatology[name][usual][:, cells]
        for name, cells in data.valid.items()
    ]
    anomalies: Float32[np.ndarray, "day cell"] = np.concatenate(parts, axis=1)
    return anomalies
