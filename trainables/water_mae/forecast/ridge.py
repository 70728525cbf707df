"""Ridge regression of river flow on previous days: a baseline that forecasts by encoders should outdo.

Each catchment and lead time has its own regression of the change of normalised log flow, so that a large penalty gives
persistence. Its predictors are the catchment's last days of flow, its other series of the last day such as evaporation,
and the means of all land patches, if there are any: amounts such as rain of the last days, states such as soil moisture
and temperature of the last day. Missing values are carried forward in the window. Any other series than flow is
forecast alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.forecast.forecast import (
    LEAD_DAYS,
    Forecast,
    ForecastOnly,
    known_patch_means,
    known_vectors,
    last_flow,
)
from trainables.water_mae.knobs import ModalitySet
from trainables.water_mae.model.batch import Batch

FLOW_DAYS, RAIN_DAYS = 7, 3
PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10000.0)
HELD_OUT = 0.2
"""Share of the training split, at its end, that is held out to choose the penalty."""

Day = Callable[[int], Tensor]
"""Returns the values of a series a given number of days before each row, (row, ...)."""


@dataclass(frozen=True)
class Rows:
    """Days of the training split on which a forecast is issued.

    Attributes:
        shared: Predictors that all catchments share; the first is 1.
        own: Predictors of each catchment.
        target: Change of normalised log flow to the days to come.
        counts: True if flow was observed on all of these days and on at least one day of the window.
    """

    shared: Float64[Tensor, "row shared"]
    own: Float64[Tensor, "row catchment own"]
    target: Float64[Tensor, "row catchment lead"]
    counts: Bool[Tensor, "row catchment"]

    def part(self, rows: slice) -> "Rows":
        """Returns some of the rows."""
        return Rows(self.shared[rows], self.own[rows], self.target[rows], self.counts[rows])


class Ridge(ForecastOnly):
    """Forecasts one series only.

    Args:
        modalities: The modalities.
        ahead: Name of the series.
        shared: Weights of the shared predictors.
        own: Weights of a catchment's own predictors.
    """

    def __init__(
        self,
        modalities: ModalitySet,
        ahead: str,
        shared: Float[Tensor, "lead patch member shared"],
        own: Float[Tensor, "lead patch member own"],
    ) -> None:
        super().__init__()
        self.modalities, self.ahead = modalities, ahead
        self.register_buffer("shared", shared, persistent=False)
        self.register_buffer("own", own, persistent=False)
        self.shared: Tensor
        self.own: Tensor

    def forecast(self, batch: Batch) -> Forecast:
        """Forecasts normalised values; takes the same batch as the model."""
        means, vectors = known_patch_means(batch), known_vectors(batch)
        num_steps = vectors.shape[2]
        shared, own = predictors(
            self.modalities,
            self.ahead,
            lambda lag: means[:, :, num_steps - 1 - lag],
            lambda lag: vectors[:, :, num_steps - 1 - lag],
            num_steps,
        )
        change = torch.einsum("bf,lpmf->blpm", shared, self.shared)
        ahead = self.modalities.places[self.ahead].position
        return last_flow(batch, ahead) + change + torch.einsum("bpmf,lpmf->blpm", own, self.own)


def predictors(
    modalities: ModalitySet, ahead: str, means: Day, vectors: Day, num_steps: int
) -> tuple[Tensor, Tensor]:
    """Returns the predictors of a forecast: shared (row, shared) and own (row, *catchment, own).

    Args:
        modalities: The modalities.
        ahead: Name of the series that is forecast.
        means: Mean of each modality over each land patch, (row, modality, patch).
        vectors: The series, (row, modality, *catchment).
        num_steps: Number of known days.
    """
    here = vectors(0)
    fields = [
        means(lag)[:, number]
        for number, name in enumerate(modalities.fields)
        for lag in range(min(RAIN_DAYS, num_steps) if modalities[name].is_flux else 1)
    ]
    own = modalities.series.index(ahead)
    flow = [vectors(lag)[:, own] for lag in range(min(FLOW_DAYS, num_steps))]
    others = [here[:, number] for number in range(len(modalities.series)) if number != own]
    shared = torch.cat([torch.ones_like(here.flatten(1)[:, :1]), *fields], dim=1)
    return shared, torch.stack([*flow, *others], dim=-1)


def fit(data: WaterData, ahead: str) -> Ridge:
    """Fits the regressions to the training split; chooses the penalty on its last days, as a hold-out.

    Args:
        data: The data set.
        ahead: Name of the series that is forecast.
    """
    rows = training_rows(data, ahead)
    cut = round(len(rows.target) * (1 - HELD_OUT))
    early, late = rows.part(slice(cut)), rows.part(slice(cut, None))
    errors = [_error(solve(early, penalty), late) for penalty in PENALTIES]
    shared, own = solve(rows, PENALTIES[errors.index(min(errors))])
    shape = data.geometry.member_valid.shape
    placed = (
        weights.permute(2, 0, 1).reshape(len(LEAD_DAYS), *shape, -1).float() for weights in (shared, own)
    )
    return Ridge(data.modalities, ahead, *placed)


def training_rows(data: WaterData, ahead: str) -> Rows:
    """Returns a row for each day of the training split with the series on this day and on all days that it needs."""
    place = data.modalities.places[ahead].position
    first, stop = int(data.starts["train"][0]), data.ends["train"]
    num_steps = data.sequence_length
    valid = torch.tensor(data.geometry.pixel_valid).double()
    means = torch.stack(
        [
            (torch.from_numpy(data.images[day].astype("float64")) * valid).sum(2) / valid.sum(1)
            for day in range(first, stop)
        ]
    )
    vectors = torch.from_numpy(data.vectors[first:stop].astype("float64")).flatten(2)
    history = min(FLOW_DAYS, num_steps)
    issued = torch.arange(history - 1, stop - first - max(LEAD_DAYS))
    issued = issued[_complete(torch.tensor(data.vector_present[first:stop, place]), issued, history)]
    cells, observed = (torch.from_numpy(marks) for marks in data.marks(range(first, stop)))
    vector_at = _as_known(vectors, observed.flatten(2), issued, num_steps)
    shared, own = predictors(
        data.modalities, ahead, _as_known(means, cells, issued, num_steps), vector_at, history
    )
    flow, known, origin = (
        vectors[:, place],
        observed.flatten(2)[:, place],
        vector_at(0)[:, place],
    )
    target = torch.stack([flow[issued + lead] - origin for lead in LEAD_DAYS], dim=-1)
    counts = torch.stack([known[issued + lead] for lead in LEAD_DAYS]).all(0)
    begun = _last(known)[issued] >= _first(issued, num_steps)[:, None]
    return Rows(shared, own, target, counts & begun)


def _as_known(
    series: Float64[Tensor, "day modality place"],
    observed: Bool[Tensor, "day modality place"],
    issued: Int64[Tensor, " row"],
    num_steps: int,
) -> Day:
    """Returns the series as a window of `num_steps` days that ends on a day holds it, after `carried_forward`."""
    last, first = _last(observed), _first(issued, num_steps)[:, None, None]

    def before(lag: int) -> Tensor:
        found = last[issued - lag]
        return torch.where(found >= first, series.gather(0, found.clamp(min=0)), series[issued - lag])

    return before


def _last(observed: Bool[Tensor, " day *place"]) -> Int64[Tensor, " day *place"]:
    """Returns the last observed day up to each day, -1 if there is none."""
    days = torch.arange(len(observed)).reshape(-1, *[1] * (observed.ndim - 1))
    return torch.where(observed, days, -1).cummax(dim=0).values


def _first(issued: Int64[Tensor, " row"], num_steps: int) -> Int64[Tensor, " row"]:
    """Returns the first day of the window that ends on each day, within the split."""
    return (issued - num_steps + 1).clamp(min=0)


def _complete(
    present: Bool[Tensor, " day"], issued: Int64[Tensor, " row"], history: int
) -> Bool[Tensor, " row"]:
    lags = [*(-lag for lag in range(history)), *LEAD_DAYS]
    return torch.stack([present[issued + lag] for lag in lags]).all(0)


def solve(
    rows: Rows, penalty: float
) -> tuple[Float64[Tensor, "catchment shared lead"], Float64[Tensor, "catchment own lead"]]:
    """Solves all regressions at once; the intercept is not penalised.

    The shared predictors are eliminated first, with one factorisation for all catchments: the Schur complement of the
    normal equations has the size of a catchment's own predictors. Catchments with rows that do not count need a
    factorisation of their own.
    """
    num_shared, (_, num_catchments, num_own) = rows.shared.shape[1], rows.own.shape
    ridge = torch.full((num_shared,), penalty, dtype=torch.float64)
    ridge[0] = 1e-9
    gram = rows.shared.T @ rows.shared + ridge.diag()
    factor = torch.linalg.cholesky(gram)
    both = torch.cat([rows.own, rows.target], dim=2).permute(1, 0, 2)  # (catchment, row, own + lead)
    both = torch.where(rows.counts.T[..., None], both, 0.0)
    own = both[..., :num_own]
    crossed = rows.shared.T @ both  # (catchment, shared, own + lead)
    flat = crossed.permute(1, 0, 2).reshape(num_shared, -1)
    reduced = torch.cholesky_solve(flat, factor).reshape(num_shared, num_catchments, -1).permute(1, 0, 2)
    for catchment in (~rows.counts.all(0)).nonzero()[:, 0].tolist():
        missing = rows.shared[~rows.counts[:, catchment]]
        reduced[catchment] = torch.linalg.solve(gram - missing.T @ missing, crossed[catchment])
    product = own.mT @ both - crossed[..., :num_own].mT @ reduced
    inner = product[..., :num_own] + penalty * torch.eye(num_own, dtype=torch.float64)
    own_weights = torch.linalg.solve(inner, product[..., num_own:])
    shared_weights = reduced[..., num_own:] - reduced[..., :num_own] @ own_weights
    return shared_weights, own_weights


def _error(weights: tuple[Tensor, Tensor], rows: Rows) -> float:
    shared, own = weights
    given = torch.einsum("rf,cfl->rcl", rows.shared, shared) + torch.einsum("rcf,cfl->rcl", rows.own, own)
    return float((given - rows.target).square()[rows.counts].mean())
