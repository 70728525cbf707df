"""Forecasts of a series, such as river flow, by a linear head on the encoders.

Frozen encoders test what pre-training has learnt (linear probing); fine-tuned ones go on learning with the head.
A forecast is issued on the last day of a window, with everything in the window visible and nothing after it. The head
predicts the change since that day, or since the last observed day of the window, as a linear function of the token of
the vector patch on the last day, after encoders and shared layers. Before training it predicts no change.
Days after the split and flows that were not observed do not count.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

from thalweg import wording
from thalweg.contract import Indices, Measure, Metric, Mode, Outputs, SplitName, State
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
from trainables.water_mae.model.seasonal_cycle import Coefficients

LEAD_DAYS = (1, 3, 7)
STAGE = "forecast"
OF_TRAINING = "forecast_of_training"
HEAD = "forecast_head"

Forecast = Float[Tensor, "batch lead patch member"]


@runtime_checkable
class Forecaster(Protocol):
    """A model or baseline that forecasts."""

    def forecast(self, batch: Batch) -> Forecast:
        """Forecasts normalised values, such as those of log flow, from a batch."""


def read_by_forecasts(modalities: ModalitySet, ahead: str, shared_depth: int) -> tuple[str, ...]:
    """Returns the prefixes of the weights below the head on which forecasts depend.

    Args:
        modalities: The modalities.
        ahead: Name of the series that is forecast.
        shared_depth: Shared layers; without any, nothing of the other modalities reaches the tokens of the series.
    """
    if not shared_depth:
        return f"{ahead}_encoder.", f"encoder_modality_tokens.{ahead}"
    return (*(f"{name}_encoder." for name in modalities.names), "fusion.", "encoder_modality_tokens.")


class ForecastOnly(nn.Module, ABC):
    """A baseline that forecasts and reconstructs nothing."""

    @abstractmethod
    def forecast(self, batch: Batch) -> Forecast:
        """Forecasts normalised values; takes the same batch as the model."""


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
        """Returns the change of the normalised value since the day of the tokens."""
        return torch.einsum("bpd,lpmd->blpm", tokens, self.weight) + self.bias


class ForecastingAutoencoder(MaskedAutoencoder):
    """A masked autoencoder with one more child, ``forecast_head``.

    Args:
        knobs: Sizes.
        geometry: Patches and catchments of the data.
        num_steps: Days in a window.
        modalities: What is reconstructed.
        ahead: Name of the series that is forecast.
        cycle: As for `MaskedAutoencoder`.
    """

    def __init__(
        self,
        knobs: ModelKnobs,
        geometry: Geometry,
        num_steps: int,
        modalities: ModalitySet,
        ahead: str,
        cycle: Coefficients | None = None,
    ) -> None:
        super().__init__(knobs, geometry, num_steps, modalities, cycle)
        self.ahead = ahead
        self.forecast_head = ForecastHead(knobs.dim, geometry.num_vector_patches, geometry.num_members)

    def forecast(self, batch: Batch) -> Forecast:
        """Forecasts normalised values from windows without masks."""
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


def known_patch_means(batch: Batch) -> Float[Tensor, "batch field step patch"]:
    """Returns the mean of each field over each land patch in fp32; patches without data as `known_vectors`."""
    weight = batch["image_valid"].float()[:, None, None]
    means = (batch["images"].float() * weight).sum(4) / weight.sum(4)
    observed = batch.get("image_observed")
    return means if observed is None else carried_forward(means, observed.any(4))


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
    return masked_mse(forecast, batch["forecast_target"], known(batch))


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


def declared(name: str, meaning: str, *, mode: Mode = "max", unit: str = "1") -> tuple[Metric, ...]:
    """Returns a metric of forecasts: the mean over lead times, and one for each.

    Args:
        name: Name of the mean; the others end with the lead time, such as ``_1d``.
        meaning: What it is of a forecast.
        mode: Whether smaller or larger is better.
        unit: Its unit.
    """
    leads = ", ".join(map(str, LEAD_DAYS))
    meanings = {name: f"mean over {leads} days ahead of the {meaning}"}
    meanings |= {
        f"{name}_{days}d": f"{meaning}, forecast {wording.counted(days, 'day')} ahead" for days in LEAD_DAYS
    }
    return tuple(
        Metric(name=each, mode=mode, unit=unit, search_invariant=True, meaning=text)
        for each, text in meanings.items()
    )


def over_leads(name: str, values: Sequence[float]) -> dict[str, float]:
    """Returns the values of `declared` metrics from those at each lead time; their mean is NaN if one of them is."""
    each = {f"{name}_{days}d": value for days, value in zip(LEAD_DAYS, values, strict=True)}
    return {name: sum(each.values()) / len(each), **each}


class ForecastEfficiency(Measure):
    """Median Nash-Sutcliffe and Kling-Gupta efficiency of forecasts at each lead time, and the mean over lead times.

    A series that may be negative has no Kling-Gupta efficiency, whose bias is a ratio of means.

    Args:
        row: The series that is forecast.
    """

    units = ("place", "year")

    def __init__(self, row: Modality) -> None:
        self._row = row
        unit = f" in {row.unit}" if row.unit not in ("", "1") else ""
        of = f"efficiency of {row.name.replace('_', ' ')}{unit}, median of catchments"
        kling_gupta = declared("kge_forecast", f"Kling-Gupta {of}") if row.is_positive else ()
        self.metrics = (*declared("nse_forecast", f"Nash-Sutcliffe {of}"), *kling_gupta)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums the moments in the unit of the data by catchment and year of issue."""
        if STAGE not in outputs:
            return {}
        part, chosen = protocol.training_part(batch)
        part["forecast_present"] = part["forecast_present"] * chosen[:, None]
        return {
            **_moments(self._row, STAGE, outputs[STAGE], batch),
            **_moments(self._row, OF_TRAINING, outputs[OF_TRAINING], part),
        }

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the efficiencies, after correcting forecasts of a logarithm to means in the unit of the data."""
        means = [
            means_in_units(state[f"{STAGE}_{days}d"], state[f"{OF_TRAINING}_{days}d"], self._row)
            for days in LEAD_DAYS
        ]
        found = over_leads("nse_forecast", [metrics.median(metrics.nse(each)) for each in means])
        if self._row.is_positive:
            found |= over_leads("kge_forecast", [metrics.median(metrics.kge(each)) for each in means])
        return found


def in_units(batch: Batch, forecast: Forecast, row: Modality) -> tuple[Tensor, Tensor]:
    """Returns forecasts and what came, fp64 (batch, lead, patch, member), in the unit of the data."""
    scale = batch[f"{row.name}{protocol.SCALE}"]
    given, seen = (metrics.physical(each, scale, row) for each in (forecast, batch["forecast_target"]))
    return given, seen


def _moments(row: Modality, stage: str, forecast: Forecast, batch: Batch) -> dict[str, PerUnit]:
    moments = metrics.flow_moments(*in_units(batch, forecast, row), known(batch))
    return by_lead(stage, moments, batch)


def by_lead(
    prefix: str, terms: Float64[Tensor, "batch lead patch member term"], batch: Batch
) -> dict[str, PerUnit]:
    """Sums terms of forecasts by catchment and year of issue, one table for each lead time: ``PREFIX_1d``."""
    num_patches = terms.shape[2]
    everywhere = torch.arange(num_patches, device=terms.device).expand(len(terms), 1, num_patches)
    issued = batch["year"][:, -1:]
    return {
        f"{prefix}_{days}d": metrics.by_place_and_year(
            terms[:, number, None], everywhere, num_patches, issued
        )
        for number, days in enumerate(LEAD_DAYS)
    }


def known(batch: Batch) -> Bool[Tensor, "batch lead patch member"]:
    """Returns a mask of the days to come that are data and lie in the split."""
    present = batch["forecast_present"][..., None, None] > 0
    return present & batch["vector_valid"][:, None] & batch["forecast_observed"]
