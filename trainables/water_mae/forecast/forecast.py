"""Forecasts of a series, such as river flow, by a linear head on frozen encoders, to test what these learnt (probing).

A forecast is issued on the last day of a window, with everything in the window visible and nothing after it. The head
predicts the change of flow since that day, or since the last observed day of the window, as a linear function of the
token of the vector patch on the last day, after encoders and shared layers. Before training it predicts no change.
Days after the split and flows that were not observed do not count.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Indices, Measure, Metric, Outputs, SplitName, State
from thalweg.data.fill import carried_forward
from thalweg.nn.losses import masked_mse
from thalweg.per_unit import PerUnit
from thalweg.stage_contract import Loss, Progress
from trainables.water_mae.config import ModelKnobs
from trainables.water_mae.data.windows import Geometry, WaterData
from trainables.water_mae.evaluation import metrics, protocol
from trainables.water_mae.evaluation.reconstruction import means_in_units
from trainables.water_mae.knobs import Modality, ModalitySet
from trainables.water_mae.model.autoencoder import MaskedAutoencoder
from trainables.water_mae.model.batch import Batch

LEAD_DAYS = (1, 3, 7)
STAGE = "forecast"
OF_TRAINING = "forecast_of_training"
HEAD = "forecast_head"

Forecast = Float[Tensor, "batch lead patch member"]


@runtime_checkable
class Forecaster(Protocol):
    """A model or baseline that forecasts."""

    def forecast(self, batch: Batch) -> Forecast:
        """Forecasts normalised log flow from a batch."""


class ForecastHead(nn.Module):
    """One linear function for each catchment and lead time, initialised to zero.

    Args:
        dim: Width of a token.
        num_patches: Vector patches.
        num_members: Catchments in a vector patch.
    """

    def __init__(self, dim: int, num_patches: int, num_members: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(len(LEAD_DAYS), num_patches, num_members, dim))
        self.bias = nn.Parameter(torch.zeros(len(LEAD_DAYS), num_patches, num_members))

    def forward(self, tokens: Float[Tensor, "batch patch dim"]) -> Forecast:
        """Returns the change of normalised log flow since the day of the tokens."""
        return torch.einsum("bpd,lpmd->blpm", tokens, self.weight) + self.bias


class ForecastingAutoencoder(MaskedAutoencoder):
    """A masked autoencoder with one more child, ``forecast_head``.

    Args:
        knobs: Sizes.
        geometry: Patches and catchments of the data.
        num_steps: Days in a window.
        modalities: What is reconstructed.
        ahead: Name of the series that is forecast.
    """

    def __init__(
        self, knobs: ModelKnobs, geometry: Geometry, num_steps: int, modalities: ModalitySet, ahead: str
    ) -> None:
        super().__init__(knobs, geometry, num_steps, modalities)
        self.ahead = ahead
        self.forecast_head = ForecastHead(knobs.dim, geometry.num_vector_patches, geometry.num_members)

    def forecast(self, batch: Batch) -> Forecast:
        """Forecasts normalised log flow from windows without masks."""
        visible = dict(batch)
        for kind in ("image", "vector"):
            size, modalities, steps, patches, _ = batch[f"{kind}s"].shape
            every = torch.arange(patches, device=batch[f"{kind}s"].device)
            visible[f"{kind}_keep"] = every.expand(size, modalities, steps, patches)
        tokens = self.encode(visible).maps[self.ahead][-1]
        num_patches = batch["vectors"].shape[3]
        change = self.forecast_head(
            tokens[:, -num_patches - 1 : -1]
        )  # the token of the attributes comes last
        forecast: Tensor = last_flow(batch, self.places[self.ahead].position) + change.float()
        return forecast


def last_flow(batch: Batch, ahead: int) -> Float[Tensor, "batch 1 patch member"]:
    """Returns the last observed normalised value of each catchment in each window, in fp32.

    A catchment without observations in the window has its filled value of the last day.

    Args:
        batch: Windows.
        ahead: Index of the series.
    """
    return known_vectors(batch)[:, ahead, -1][:, None]


def known_vectors(batch: Batch) -> Float[Tensor, "batch series step patch member"]:
    """Returns the vector modalities in fp32; missing values are carried forward from the last observed day."""
    values, observed = batch["vectors"].float(), batch.get("vector_observed")
    return values if observed is None else carried_forward(values, observed)


def targets(data: WaterData, split: SplitName, indices: Indices, ahead: int) -> Batch:
    """Samples the days that are to be forecast from windows of a split.

    Args:
        data: The data set.
        split: The split.
        indices: Numbers of windows in the split.
        ahead: Index of the series that is forecast.

    Returns:
        ``forecast_target`` fp32 (batch, lead, patch, member), normalised values;
        ``forecast_present`` fp32 (batch, lead), 1 if the day lies in the split and has the series, as the window has;
        ``forecast_observed`` bool (batch, lead, patch, member), True if the flow is data.
    """
    values, present, observed = data.after(split, indices, LEAD_DAYS)
    return {
        "forecast_target": torch.from_numpy(values[:, :, ahead]),
        "forecast_present": torch.from_numpy(present[:, :, ahead]),
        "forecast_observed": torch.from_numpy(observed[:, :, ahead]),
    }


def counted(batch: Batch) -> Float[Tensor, " batch"]:
    """Returns 1 for samples with at least one day that can be forecast, else 0."""
    return batch["forecast_present"].amax(1)


def loss(forecast: Forecast, batch: Batch) -> Float[Tensor, " batch"]:
    """Computes the mean squared error of each sample over catchments and lead times; 0 without data."""
    return masked_mse(forecast, batch["forecast_target"], _known(batch))


class ForecastError(Loss):
    """The mean squared error of forecasts of normalised values, such as log flow."""

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the mean squared errors of samples."""
        assert isinstance(model, ForecastingAutoencoder)
        return {STAGE: loss(model.forecast(batch), batch).sum()}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the samples with at least one day that can be forecast."""
        return {STAGE: float(counted(batch).sum())}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weight 1."""
        return {STAGE: 1.0}


def predict(model: Forecaster, batch: Batch) -> dict[str, Tensor]:
    """Forecasts from the evaluated windows, and from those of the training split in the same batch."""
    part, _ = protocol.training_part(batch)
    return {STAGE: model.forecast(batch), OF_TRAINING: model.forecast(part)}


def _declared(row: Modality) -> tuple[Metric, ...]:
    unit = f" in {row.unit}" if row.unit not in ("", "1") else ""
    what = f"{row.name.replace('_', ' ')}{unit}"
    each = f"Nash-Sutcliffe efficiency of {what}, median of catchments, forecast"
    leads = ", ".join(map(str, LEAD_DAYS))
    meanings = {"nse_forecast": f"mean over {leads} days ahead of the {each.removesuffix(', forecast')}"}
    meanings |= {f"nse_forecast_{days}d": f"{each} {days} day{'s' * (days > 1)} ahead" for days in LEAD_DAYS}
    return tuple(
        Metric(name=name, mode="max", unit="1", search_invariant=True, meaning=meaning)
        for name, meaning in meanings.items()
    )


class ForecastEfficiency(Measure):
    """Median Nash-Sutcliffe efficiency of forecasts at each lead time, and the mean over lead times.

    Args:
        row: The series that is forecast.
    """

    def __init__(self, row: Modality) -> None:
        self._row = row
        self.metrics = _declared(row)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums the moments of flow in mm/day by catchment and year of issue."""
        if STAGE not in outputs:
            return {}
        part, chosen = protocol.training_part(batch)
        part["forecast_present"] = part["forecast_present"] * chosen[:, None]
        return {
            **_moments(self._row, STAGE, outputs[STAGE], batch),
            **_moments(self._row, OF_TRAINING, outputs[OF_TRAINING], part),
        }

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the efficiencies, after correcting forecasts to means in mm/day."""
        efficiencies = {}
        for days in LEAD_DAYS:
            means = means_in_units(state[f"{STAGE}_{days}d"], state[f"{OF_TRAINING}_{days}d"], self._row)
            efficiencies[f"nse_forecast_{days}d"] = metrics.median(metrics.nse(means))
        return {"nse_forecast": sum(efficiencies.values()) / len(LEAD_DAYS), **efficiencies}


def _moments(row: Modality, stage: str, forecast: Forecast, batch: Batch) -> dict[str, PerUnit]:
    scale, known = batch[f"{row.name}{protocol.SCALE}"], _known(batch)
    moments = metrics.flow_moments(
        metrics.physical(forecast, scale, row), metrics.physical(batch["forecast_target"], scale, row), known
    )
    num_patches = known.shape[2]
    everywhere = torch.arange(num_patches, device=known.device).expand(len(known), 1, num_patches)
    issued = batch["year"][:, -1:]
    return {
        f"{stage}_{days}d": metrics.by_place_and_year(
            moments[:, number, None], everywhere, num_patches, issued
        )
        for number, days in enumerate(LEAD_DAYS)
    }


def _known(batch: Batch) -> Tensor:
    present = batch["forecast_present"][..., None, None] > 0
    return present & batch["vector_valid"][:, None] & batch["forecast_observed"]
