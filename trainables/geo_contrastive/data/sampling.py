"""Draws batches of days as tensors: views for training, the fixed protocol for evaluation.

Everything is float32 z-scores, ``V`` the name of a variable:

- ``view/V`` (batch, role, lon, lat): what the encoder sees; hidden and invalid cells are 0;
- ``target/V`` (batch, target, lon, lat): the true fields of the first roles, mirrored where their views are, and whole
  where these show a part;
- ``valid/V`` and ``weight/V`` (batch, lon, lat): cells that have data, and the areas of cells with a mean of 1;
- ``present`` (batch, role): whether there is a day for the role; otherwise views and targets are those of the anchor's
  day, which no loss counts, so that normalisations over a batch see fields of days alone;
- ``shown`` (batch, role, variable): False where a view drops the variable whole;
- ``role_day``, ``role_season`` (batch, role): day and season of each role; the anchor's where there is no day for it;
- ``delta``, ``day``, ``season``, ``year`` (batch,): distance of the temporal positives in days, and the anchor's day.
"""

import numpy as np
import torch
from jaxtyping import Bool, Int64

from thalweg.contract import Batch, Indices, Keys, SplitName
from trainables.geo_contrastive.data.draws import branch, stream
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.pairs import draw_days, index_of, roles
from trainables.geo_contrastive.data.resampling import as_bytes, shown
from trainables.geo_contrastive.data.views import augmented, draw_views, random_visible
from trainables.geo_contrastive.knobs import PairKnobs, ViewKnobs

EVALUATION_MASK = 0.7
"""Share of the cells that evaluation hides."""
EVALUATION_SEED = 20_230_110
"""Seed of the cells that evaluation hides; with the day it decides which."""


def training_batch(
    data: FieldData,
    views: ViewKnobs,
    pairs: PairKnobs | None,
    indices: Indices,
    keys: Keys,
    *,
    num_targets: int = 1,
) -> Batch:
    """Draws days of the split ``train`` with their views.

    Args:
        data: Opened data.
        views: Augmentations.
        pairs: Positives and negatives; None draws the view of the day alone.
        indices: Positions of the anchors in the split, shape (batch,).
        keys: One key per sample.
        num_targets: Roles whose true fields the objective reconstructs: 1 for the anchor, 3 with its positives.
    """
    days = data.days["train"]
    drawn = draw_days(index_of(data, "train"), pairs, indices, keys)
    positions = days.start + drawn.position.reshape(-1)
    random = draw_views(views, tuple(data.variables), roles(pairs), keys)
    enlarging = {name: random.enlarging(grid) for name, grid in data.grids.items()}
    batch = _common(data, days.start + indices, drawn.present, drawn.delta)
    for name, numbers in (("role_day", data.day), ("role_season", data.season)):
        batch[name] = torch.from_numpy(numbers[positions].reshape(drawn.present.shape))
    hidden = np.stack([random.dropped[name] for name in data.variables], axis=1)
    batch["shown"] = torch.from_numpy(~hidden.reshape(*drawn.present.shape, -1))
    for name, variable in data.variables.items():
        fields = torch.from_numpy(data.fields[name][positions])
        grid = data.grids[variable.grid]
        view = augmented(random, name, fields, data.valid[name], grid, enlarging[variable.grid])
        by_role = (*drawn.present.shape, *grid.shape)
        batch[f"view/{name}"] = view.view(by_role)
        batch[f"target/{name}"] = random.mirrored(fields).view(by_role)[:, :num_targets]
    return batch


def evaluation_batch(data: FieldData, split: SplitName, indices: Indices) -> Batch:
    """Draws days at the fixed protocol: seven tenths of the cells of each variable are hidden, by day and variable.

    Besides what all batches hold, with one role and one target: ``clean/V`` the whole field, ``climatology/V`` the
    training split's mean of the day of the year, ``yesterday/V`` the day before (batch, lon, lat each), 0 where
    ``has_yesterday`` (batch,) says that the split has none.
    """
    days = data.days[split]
    positions = days.start + indices
    keys = branch(data.day[positions].astype(np.uint64), np.uint64(EVALUATION_SEED))
    before = np.maximum(positions - 1, days.start)
    has_yesterday = torch.from_numpy(data.day[before] == data.day[positions] - 1)
    shares = np.full(len(indices), EVALUATION_MASK)
    batch = _common(data, positions, np.ones((len(indices), 1), bool), np.zeros(len(indices), np.int64))
    batch["shown"] = torch.ones(len(indices), 1, len(data.variables), dtype=torch.bool)
    batch["has_yesterday"] = has_yesterday
    for name, variable in data.variables.items():
        shape = data.grids[variable.grid].shape
        visible = random_visible(branch(keys, stream(name)), shares, shape) & data.valid[name]
        clean = torch.from_numpy(data.fields[name][positions])
        yesterday = torch.from_numpy(data.fields[name][before])
        yesterday[~has_yesterday] = 0.0
        batch |= {
            f"view/{name}": shown(clean, as_bytes(visible))[:, None],
            f"target/{name}": clean[:, None],
            f"clean/{name}": clean,
            f"climatology/{name}": torch.from_numpy(data.climatology[name][data.day_of_year[positions]]),
            f"yesterday/{name}": yesterday,
        }
    return batch


def _common(
    data: FieldData,
    positions: Int64[np.ndarray, " batch"],
    present: Bool[np.ndarray, "batch role"],
    delta: Int64[np.ndarray, " batch"],
) -> Batch:
    """Returns what training and evaluation say of cells and days; the arrays of cells are held once."""
    batch = {"present": torch.from_numpy(present), "delta": torch.from_numpy(delta)}
    for name, numbers in (("day", data.day), ("season", data.season), ("year", data.year)):
        batch[name] = torch.from_numpy(numbers[positions])
    return batch | cells(data, len(positions))


def cells(data: FieldData, count: int) -> Batch:
    """Returns ``valid/V`` and ``weight/V`` of so many samples."""
    batch = {}
    for name, variable in data.variables.items():
        of_cells = {"valid": data.valid[name], "weight": data.grids[variable.grid].weights}
        for what, values in of_cells.items():
            batch[f"{what}/{name}"] = torch.from_numpy(values.copy()).expand(count, -1, -1)
    return batch
