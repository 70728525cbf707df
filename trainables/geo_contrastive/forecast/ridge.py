"""Ridge regression of anomalies to come on the leading patterns of the last two days: what networks should outdo.

Anomalies from the climatology are projected on the leading empirical orthogonal functions of the training split, by
area, all variables together. Each lead has its own regression of the amplitudes to come on those of the day of issue
and of the day before. What patterns leave over persists, damped by one factor for each lead and variable.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from thalweg.contract import Batch
from trainables.geo_contrastive.baselines.anomalies import anomalies_from
from trainables.geo_contrastive.baselines.valid_cells import ValidCells
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.pairs import index_of
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.downstream.ridge import MIN_DAYS, fit_ridge
from trainables.geo_contrastive.forecast.predict import FORECAST_FIELD

MAX_PATTERNS = 64
MAX_DAYS = 2048
_MAX_VALUES = 1 << 25  # of a matrix of days and cells, 128 MiB

Anomalies = Float[Tensor, "day cell"]


class RidgeForecast(nn.Module):
    """Forecasts only.

    Args:
        valid: Cells that have data, by variable.
        roots: Square root of the share of each cell in the area of its variable, variable after variable.
        patterns: Orthonormal patterns of weighted anomalies.
        weights: Regression of each lead.
        damping: Factor of what the patterns leave over, for each cell.
    """

    def __init__(
        self,
        valid: Mapping[str, Bool[np.ndarray, "_ _"]],
        roots: Float[Tensor, " cell"],
        patterns: Float[Tensor, "cell pattern"],
        weights: Float[Tensor, "lead member pattern"],
        damping: Float[Tensor, "lead cell"],
    ) -> None:
        super().__init__()
        self._variables = tuple(valid)
        self._cells = ValidCells(valid)
        of_model = {"roots": roots, "patterns": patterns, "weights": weights, "damping": damping}
        for name, values in of_model.items():
            self.register_buffer(name, values, persistent=False)
        self.roots: Tensor
        self.patterns: Tensor
        self.weights: Tensor
        self.damping: Tensor

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Forecasts from ``clean``, ``yesterday`` and ``climatology``, to which the anomalies to come are added."""
        today, before = (self._weighted(what, batch) for what in ("clean", "yesterday"))
        # Both days are compared with the climatology of the day of issue: it moves little in a day.
        before = torch.where(batch["has_yesterday"][:, None], before, today)
        amplitudes = today @ self.patterns
        members = torch.cat([amplitudes, before @ self.patterns], dim=1)
        rest = today - amplitudes @ self.patterns.T
        found = torch.stack(
            [
                (members @ weights) @ self.patterns.T + rest * damping
                for weights, damping in zip(self.weights, self.damping, strict=True)
            ],
            dim=1,
        )
        forecast = {}
        for name, anomalies in self._cells.fields(found / self.roots).items():
            usual = batch[f"ahead_climatology/{name}"]
            forecast[f"{FORECAST_FIELD}{name}"] = usual + anomalies.to(usual.dtype)
        return forecast

    def _weighted(self, what: str, batch: Batch) -> Float[Tensor, "batch cell"]:
        fields = {name: batch[f"{what}/{name}"] - batch[f"climatology/{name}"] for name in self._variables}
        return self._cells.rows(fields).to(self.roots.dtype) * self.roots


def fit(data: FieldData) -> RidgeForecast | None:
    """Fits the regressions to days of the training split with a day before and all leads; None if they are too few."""
    issued = _days_of_issue(data)
    if len(issued) < MIN_DAYS:
        return None
    roots = _roots(data)
    today, before = (_anomalies(data, issued - lag, issued, roots) for lag in (0, 1))
    patterns = _patterns(today)
    amplitudes = today @ patterns
    members = torch.cat([amplitudes, before @ patterns], dim=1).double()
    rest = today - amplitudes @ patterns.T
    weights, damping = [], []
    for lead in LEADS:
        target = _anomalies(data, issued + lead, issued + lead, roots)
        to_come = target @ patterns
        weights.append(fit_ridge(members, to_come.double()).float())
        damping.append(_damping(data, rest, target - to_come @ patterns.T))
    return RidgeForecast(data.valid, roots, patterns, torch.stack(weights), torch.stack(damping))


def _days_of_issue(data: FieldData) -> Int64[np.ndarray, " day"]:
    """Returns positions in the data set, evenly spread over the training split."""
    index = index_of(data, "train")
    fit_in = np.flatnonzero((index.before >= 1) & (index.after >= max(LEADS)))
    num_cells = sum(int(cells.sum()) for cells in data.valid.values())
    count = min(len(fit_in), MAX_DAYS, max(_MAX_VALUES // num_cells, MIN_DAYS))
    chosen = np.linspace(0, max(len(fit_in) - 1, 0), count).round().astype(np.int64)
    return data.days["train"].start + fit_in[chosen]


def _roots(data: FieldData) -> Float[Tensor, " cell"]:
    parts = []
    for name, cells in data.valid.items():
        areas = data.grids[data.variables[name].grid].weights[cells]
        parts.append(np.sqrt(areas / areas.sum()))
    return torch.from_numpy(np.concatenate(parts).astype(np.float32))


def _anomalies(
    data: FieldData,
    positions: Int64[np.ndarray, " day"],
    calendar: Int64[np.ndarray, " day"],
    roots: Float[Tensor, " cell"],
) -> Anomalies:
    """Returns weighted anomalies of all valid cells from the climatology of the days at ``calendar``."""
    usual = data.day_of_year[calendar]
    return torch.from_numpy(anomalies_from(data, positions, usual)) * roots


def _patterns(anomalies: Anomalies) -> Float[Tensor, "cell pattern"]:
    """Returns the leading orthonormal patterns, of at most an eighth of the days (method of snapshots)."""
    values, vectors = torch.linalg.eigh((anomalies @ anomalies.T).double())
    kept = values > 1e-9 * values[-1]
    count = min(MAX_PATTERNS, max(len(anomalies) // 8, 1), int(kept.sum()))
    leading = anomalies.double().T @ vectors[:, -count:] / values[-count:].sqrt()
    return leading.float()  # type: ignore[no-any-return]


def _damping(data: FieldData, rest: Anomalies, to_come: Anomalies) -> Float[Tensor, " cell"]:
    """Returns the regression coefficient, in [0, 1], of what patterns leave over on the same at the day of issue."""
    sizes: Sequence[int] = [int(cells.sum()) for cells in data.valid.values()]
    factors = []
    for now, later in zip(rest.split(list(sizes), 1), to_come.split(list(sizes), 1), strict=True):  # type: ignore[no-untyped-call]
        factor = (now * later).sum() / now.square().sum().clamp(min=1e-12)
        factors.append(factor.clamp(0, 1).expand(now.shape[1]))
    return torch.cat(factors)
