"""Observations: the noisy values of a few cells of each variable.

``observed/V`` (batch, lon, lat) holds z-scores with noise, 0 where ``is_observed/V`` says that a cell is not observed.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64

from thalweg.contract import Batch
from trainables.geo_contrastive.data.draws import Hashes, branch, normal, stream, uniform
from trainables.geo_contrastive.data.fields import FieldData

OBSERVED_SHARE = 0.1
"""Share of the cells with data that evaluation observes, of each variable by itself."""
OBSERVATION_NOISE = 0.1
"""Standard deviation of the noise, in standard deviations of the variable."""
OBSERVATION_SEED = 1_987
"""Seed of the cells and the noise of evaluation; with the day it decides which."""

Positions = Int64[np.ndarray, " batch"]


def observe(
    data: FieldData, positions: Positions, keys: Hashes, shares: Float[np.ndarray, " batch"]
) -> Batch:
    """Observes days.

    Args:
        data: Opened data.
        positions: Positions of the days in the data.
        keys: One key per day.
        shares: Share of the cells with data that is observed; at least one cell is.
    """
    batch = {}
    for name, valid in data.valid.items():
        cells = branch(branch(keys, stream("observations")), stream(name))
        number = int(valid.sum())
        random = uniform(branch(cells[:, None], np.arange(number, dtype=np.uint64)))
        counts = np.maximum(np.round(shares * number), 1)
        chosen = np.zeros((len(positions), *valid.shape), bool)
        chosen[:, valid] = random.argsort(1).argsort(1) < counts[:, None]
        noise = np.zeros(chosen.shape)
        noise[:, valid] = OBSERVATION_NOISE * normal(branch(cells, stream("noise")), number)
        values = np.where(chosen, data.fields[name][positions] + noise, 0.0)
        batch[f"observed/{name}"] = torch.from_numpy(values.astype(np.float32))
        batch[f"is_observed/{name}"] = torch.from_numpy(chosen)
    return batch


def observe_by_protocol(data: FieldData, positions: Positions) -> Batch:
    """Observes days as evaluation does, by the day alone."""
    keys = branch(data.day[positions].astype(np.uint64), np.uint64(OBSERVATION_SEED))
    return observe(data, positions, keys, np.full(len(positions), OBSERVED_SHARE))


def background(data: FieldData, positions: Positions) -> Batch:
    """Returns ``background/V`` of days: the climatology, from which all analyses start."""
    of_year = data.day_of_year[positions]
    return {
        f"background/{name}": torch.from_numpy(data.climatology[name][of_year]) for name in data.variables
    }
