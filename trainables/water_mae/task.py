"""The task of the hydrological masked autoencoder: batches, stages, measures, protocol.

The knobs set the masks of training. Every evaluation hides the same half of the patches of each day, chosen by a hash
of the window's date, and other shares as `evaluation.protocol` says. Values are normalised by the training split, after
the transform of their modality: river flow after the logarithm, so the skill of river flow is that of log flow. Skill
is one minus squared error over variance of the hidden values, pooled over the split: 0 for the mean over places and
days, 1 for perfect predictions. The mean of each place and season, the climatology baseline, is already well above 0.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from thalweg.config import FamilyConfig, identity
from thalweg.contract import Indices, Keys, Measure, Outputs, SplitName, Task
from thalweg.data.normalization import of_runs
from thalweg.data.placement import fits
from thalweg.errors import DataError
from thalweg.hashing import digest, splitmix64
from thalweg.stage_contract import ParameterGroup, Stage
from trainables.water_mae.baselines import neighbour_ridge
from trainables.water_mae.baselines.simple import all_baselines
from trainables.water_mae.config import MaskingKnobs, WaterMAE
from trainables.water_mae.data.windows import REFERENCE_GEOMETRY, Geometry, WaterData, open_data
from trainables.water_mae.evaluation import protocol
from trainables.water_mae.evaluation.reconstruction import (
    Efficiency,
    Skill,
    SkillAtOtherRatios,
    SquaredErrors,
)
from trainables.water_mae.forecast import events, forecast, lstm, ridge
from trainables.water_mae.forecast.floods import FloodScores, PeakErrors
from trainables.water_mae.forecast.low_flows import LowFlowScores
from trainables.water_mae.knobs import Modality, ModalitySet
from trainables.water_mae.model import masks
from trainables.water_mae.model.autoencoder import MaskedAutoencoder
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.model.facts import facts_of, geometry_of, only
from trainables.water_mae.model.loss import ContrastiveReconstruction, Reconstruction
from trainables.water_mae.model.physical import FillsGaps

_logger = logging.getLogger(__name__)


class WaterMAETask(FillsGaps, Task[WaterMAE, WaterData]):
    """Trains a masked autoencoder and evaluates it at a fixed mask ratio of one half."""

    config_type = WaterMAE

    def data_key(self) -> str:
        """Returns the data set and the data knobs."""
        return f"{self.config.dataset}-{digest(identity(self.config.data))}"

    def open(self, root: Path) -> WaterData:
        """Opens the data set; `open_data` says what is refused, and so is a grid of one patch.

        Raises:
            DataError: There is one patch, which cannot be seen and hidden at once.
        """
        data = open_data(root, self.config.dataset, self.config.data)
        if self._modalities.fields and data.geometry.num_patches < 2:
            raise DataError(
                f"at least 2 patches of the grid must be kept, some to be seen and some to be hidden, got 1 of "
                f"{self.config.data.patch_size} x {self.config.data.patch_size} cells in {self.config.dataset}; lower "
                "data.patch_size or data.land_threshold"
            )
        return data

    def place(self, data: WaterData, device: torch.device) -> WaterData:
        """Copies the days to a GPU if they fit, so that batches send only numbers and masks of windows."""
        if fits(data.num_bytes, device):
            return data.placed(device)
        if device.type != "cpu":
            size = f"{data.num_bytes / 2**20:.0f} MiB"
            _logger.warning("%s has no room for the days (%s): each batch is copied there", device, size)
        return data

    def inherit(self, starting_points: Mapping[str, FamilyConfig]) -> WaterMAE:
        """Takes the architecture of the last starting point."""
        found = [source for source in starting_points.values() if isinstance(source, WaterMAE)]
        return self.config.model_copy(update={"model": found[-1].model})

    def training_batch(self, data: WaterData, indices: Indices, keys: Keys) -> Batch:
        """Samples windows of the training split with masks from their keys, and with a head the days that follow."""
        batch = _batch(data, "train", indices, keys, self.config.masking)
        return batch | (forecast.targets(data, "train", indices, self._ahead) if self._forecasts else {})

    def evaluation_batch(self, data: WaterData, split: SplitName, indices: Indices) -> Batch:
        """Samples windows with masks that depend on their first day only."""
        keys = _evaluation_keys(data, split, indices)
        batch = self._observed_batch(data, split, indices)
        for ratio in protocol.OTHER_RATIOS:
            found = masks.masks(batch, keys, protocol.masking_at(ratio))
            batch |= {f"{name}_{protocol.suffix(ratio)}": mask for name, mask in found.items()}
        chosen = protocol.at_other_ratios(indices, data.num_samples(split))
        ahead = events.of_windows(data, split, indices, self._row.name) if self._has_events else {}
        return batch | {
            **ahead,
            **self._training_windows(data, split, indices),
            "at_other_ratios": torch.from_numpy(chosen),
            **self._scales(data, len(indices)),
        }

    def _scales(self, data: WaterData, count: int) -> Batch:
        """Returns the mean and the standard deviation of each series that is measured in the unit of the data."""
        series = dict.fromkeys(self._modalities.measured)
        if self._forecasts:
            series[self._row.name] = None
        found = {}
        for name in series:
            number = self._modalities.index(name)
            scale = torch.tensor([data.mean[number], data.std[number]], dtype=torch.float64)
            found[f"{name}{protocol.SCALE}"] = scale.expand(count, 2)
        return found

    def _training_windows(self, data: WaterData, split: SplitName, indices: Indices) -> Batch:
        """Samples a training window for each window of another split, evenly spread and masked in the same way."""
        count = data.num_samples(split)
        part = data.with_training_windows(count)
        batch = self._observed_batch(part, "train", indices * part.num_samples("train") // count)
        return {f"{name}{protocol.OF_TRAINING}": value for name, value in batch.items()}

    def _observed_batch(self, data: WaterData, split: SplitName, indices: Indices) -> Batch:
        """Samples windows with the masks of the reference ratio, and masks of the values that are data."""
        keys = _evaluation_keys(data, split, indices)
        batch = _batch(data, split, indices, keys, protocol.MASKING)
        if self._forecasts:
            batch |= forecast.targets(data, split, indices, self._ahead)
        observed = {name: torch.from_numpy(array) for name, array in data.observed(split, indices).items()}
        batch["year"] = torch.from_numpy(data.years(split, indices))
        return batch | {name: marks for name, marks in observed.items() if name not in batch}

    def build(self, facts: Mapping[str, Any] | None) -> nn.Module:
        """Builds the model for the geometry in `facts`."""
        knobs = self.config.data
        geometry = _reference_geometry(len(knobs.described_by)) if facts is None else geometry_of(facts)
        known = facts or {}
        modalities = self._modalities.declared(known.get("units", {}))
        sizes = self.config.model, geometry, knobs.sequence_length, modalities
        cycle = known.get("seasonal_cycle")
        if self._forecasts:
            return forecast.ForecastingAutoencoder(*sizes, self._row.name, cycle)
        return MaskedAutoencoder(*sizes, cycle)

    def parts(self) -> Mapping[str, Callable[[nn.Module], nn.Module]]:
        """Returns the encoders, with `MaskedAutoencoder.encode`, and with a head the parts that forecast."""
        encoders = (
            *(f"{name}_encoder" for name in self._modalities.names),
            "fusion",
            "encoder_modality_tokens",
        )
        children = {"encoders": encoders} | (
            {"forecast": (*encoders, forecast.HEAD)} if self._forecasts else {}
        )
        return {name: partial(only, children=kept) for name, kept in children.items()}

    def origins(self, data: WaterData, split: SplitName) -> Mapping[str, Sequence[int]]:
        """Returns the days of all windows of a split, as days since 1970-01-01: no two splits have one in common."""
        days = data.starts[split][:, None] + np.arange(data.sequence_length)
        return {"day": np.unique(data.epoch_day[days]).tolist()}

    def fitted_on(self, data: WaterData) -> Mapping[str, Sequence[int]]:
        """Returns the days that means, standard deviations and climatology were computed from."""
        return {"day": of_runs(data.fitted)} if data.fitted else {}

    def facts(self, data: WaterData) -> Mapping[str, Any]:
        """Returns geometry, static attributes, statistics and units; see `facts_of`."""
        return facts_of(data, with_cycle=self.config.model.interpolate_anomalies)

    def stages(self) -> tuple[Stage, ...]:
        """Returns pre-training, whose contrastive loss joins the samples of a batch, and then the head's stage."""
        share = self.config.forecast.share
        downstream = Stage(
            name=forecast.STAGE, share=share, groups=self._downstream_groups(), loss=forecast.ForecastError()
        )
        if share == 1:
            return (downstream,)
        kind = ContrastiveReconstruction if self.config.loss.contrastive_weight else Reconstruction
        reconstruction = kind(self.config)
        if not share:
            return (Stage(loss=reconstruction),)
        rest = tuple(ParameterGroup(prefix=prefix) for prefix in self._pretrained())
        reconstructed = tuple(
            metric.name for measure in self._measures_of_reconstruction() for metric in measure.metrics
        )
        before = Stage(share=1 - share, groups=rest, loss=reconstruction, teaches=reconstructed)
        return (before, downstream)

    def _pretrained(self) -> list[str]:
        """Returns the prefixes of the weights that pre-training trains."""
        parts = [f"{name}_{part}." for name in self._modalities.names for part in ("encoder", "decoder")]
        shared = ["fusion."] if self.config.model.shared_depth else []
        return [*parts, *shared, "encoder_modality_tokens.", "decoder_modality_tokens."]

    def _downstream_groups(self) -> tuple[ParameterGroup, ...]:
        """Returns the head, and with fine-tuning the encoders."""
        knobs, depth = self.config.forecast, self.config.model.shared_depth
        read = forecast.read_by_forecasts(self._modalities, knobs.modality, depth)
        tuned = read if knobs.encoder_lr_scale else ()
        return (
            ParameterGroup(prefix=forecast.HEAD, lr_scale=knobs.lr_scale),
            *(ParameterGroup(prefix=prefix, lr_scale=knobs.encoder_lr_scale) for prefix in tuned),
        )

    @property
    def _modalities(self) -> ModalitySet:
        return self.config.modality_set

    @property
    def _ahead(self) -> int:
        """Index among the series of the one that is forecast."""
        return self._modalities.places[self._row.name].position

    @property
    def _row(self) -> Modality:
        """The series that is forecast."""
        return self._modalities[self.config.forecast.modality]

    @property
    def _forecasts(self) -> bool:
        return self.config.forecast.share > 0

    @property
    def _has_events(self) -> bool:
        """Whether forecasts are of a series without negative values, which has floods and low flows."""
        return self._forecasts and self._row.is_positive

    def measures(self) -> tuple[Measure, ...]:
        """Returns the measures of reconstruction; with a head, those of forecasts come first."""
        ahead = self._measures_of_forecasts() if self._forecasts else ()
        return (*ahead, *self._measures_of_reconstruction())

    def unmeasured(self, data: WaterData, split: SplitName) -> Mapping[str, str]:
        """Returns the metrics of floods and low flows for which a split holds too little."""
        return events.lacking(data, split, self._row.name) if self._has_events else {}

    def _measures_of_forecasts(self) -> tuple[Measure, ...]:
        row = self._row
        extremes = (FloodScores(row), PeakErrors(row), LowFlowScores(row)) if self._has_events else ()
        return (forecast.ForecastEfficiency(row), *extremes)

    def _measures_of_reconstruction(self) -> tuple[Measure, ...]:
        modalities, judged = self._modalities, self.config.judged
        return (
            Skill(modalities, judged),
            Efficiency(modalities),
            SkillAtOtherRatios(modalities, judged),
            SquaredErrors(modalities, self.config.weights_at(1.0)),
        )

    def predict(self, model: nn.Module, batch: Batch) -> Outputs:
        """Predicts hidden values and forecasts; a baseline may do only one of the two."""
        found = {} if isinstance(model, forecast.ForecastOnly) else protocol.predict(model, batch)
        if self._forecasts and isinstance(model, forecast.Forecaster):
            found |= forecast.predict(model, batch)
        return found

    def protocol(self) -> Mapping[str, Any]:
        """Returns the windows, patches and masks of evaluations, and the modalities of the mean skill.

        With a head, also the thresholds of floods and low flows.
        """
        ahead: dict[str, Any] = {"lead_days": list(forecast.LEAD_DAYS)}
        if self._forecasts and self._row.name != "river_flow":
            ahead["forecast"] = self._row.name
        if self._has_events:
            ahead |= events.protocol()
        knobs = self.config.data
        days = identity(knobs) | {"evaluation_stride": knobs.evaluated_every}
        del days["stride"]
        return {**protocol.protocol(self.config.judged), **ahead, "data": days}

    def baselines(self, data: WaterData) -> Mapping[str, nn.Module]:
        """Returns climatology, persistence, nearest patch, two interpolations, ridge regressions and an LSTM."""
        around = neighbour_ridge.fit(data, lambda part, rows: self._observed_batch(part, "train", rows))
        if not self._forecasts:
            return {**all_baselines(data), "ridge": around}
        name = self._row.name
        fitted = {"forecast_ridge": ridge.fit(data, name), "forecast_lstm": lstm.fit(data, name)}
        return {**all_baselines(data, self._ahead), "ridge": around, **fitted}

    def draw(self, model: nn.Module, data: WaterData, folder: Path) -> None:
        """Draws maps of each modality, hydrographs, and forecasts."""
        # matplotlib, which training does not need
        from trainables.water_mae.exploring.forecast_pictures import draw_forecasts
        from trainables.water_mae.exploring.pictures import draw_all

        def fetch(indices: Indices) -> Batch:
            return self.evaluation_batch(data, "val", indices)

        draw_all(model, data, fetch, folder)
        if self._has_events and isinstance(model, forecast.Forecaster):
            draw_forecasts(model, data, self._row, fetch, folder)


def _reference_geometry(num_attributes: int) -> Geometry:
    """Spreads the published 94 land patches over the published grid of 29 x 18; true positions need the data."""
    num_rows, num_columns = REFERENCE_GEOMETRY.grid_shape
    places = np.linspace(0, num_rows * num_columns - 1, REFERENCE_GEOMETRY.num_patches)
    rows, columns = np.divmod(places.astype(np.int64), num_columns)
    static = np.zeros((*REFERENCE_GEOMETRY.member_valid.shape, num_attributes), np.float32)
    places = np.stack((rows, columns), axis=1)
    return replace(REFERENCE_GEOMETRY, patch_rows_cols=places, static=static)


def _evaluation_keys(data: WaterData, split: SplitName, indices: Indices) -> Keys:
    keys: Keys = splitmix64(splitmix64(np.uint64(protocol.MASK_SEED)) ^ data.first_days(split, indices))
    return keys


def _batch(data: WaterData, split: SplitName, indices: Indices, keys: Keys, masking: MaskingKnobs) -> Batch:
    batch = data.tensors(split, indices)
    return batch | masks.masks(batch, keys, masking)
