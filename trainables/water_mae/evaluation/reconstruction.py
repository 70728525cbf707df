"""Measures of reconstruction: skill at the protocol's ratios, efficiencies of series, squared errors.

Sums are kept by place and calendar year. A place is a patch of images or a catchment.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Outputs, State
from thalweg.nn.measures.skill import ERRORS, mean_squared_error, skill, spread, squared_error_terms
from thalweg.per_unit import PerUnit
from trainables.water_mae.evaluation import metrics, protocol
from trainables.water_mae.evaluation.protocol import OTHER_RATIOS, suffix
from trainables.water_mae.knobs import Modality, ModalitySet, Place


def _metric(name: str, meaning: str, *, mode: Any = "max") -> Metric:
    return Metric(name=name, mode=mode, unit="1", search_invariant=True, meaning=meaning)


def _skill(ending: str, what: str, modality: Modality | None = None) -> Metric:
    name = f"skill_{modality.name}{ending}" if modality else f"skill{ending}"
    over = "" if modality else "mean over evaluation.modalities of "
    return _metric(name, f"{over}1 - MSE / variance of the {what}; 1 is perfect")


class Skill(Measure):
    """Skill at the reference ratio, of each modality and their mean; NaN for a modality that is absent or constant.

    Args:
        modalities: All modalities.
        judged: Names of those that enter the mean.
    """

    units = ("place", "year")

    def __init__(self, modalities: ModalitySet, judged: Collection[str]) -> None:
        self._modalities, self._judged = modalities, judged
        each = (_skill("", f"hidden {row.words}", row) for row in modalities)
        self.metrics = (_skill("", "hidden values"), *each)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums squared errors by modality; nothing for a predictor that only forecasts."""
        return _errors(self._modalities, outputs, "", batch, protocol.everything(batch))

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the skills."""
        return _skills(self._modalities, state, "", self._judged)


class SkillAtOtherRatios(Measure):
    """Skill at the other ratios, as `Skill`, over the windows that are evaluated at them.

    Args:
        modalities: All modalities.
        judged: Names of those that enter the mean.
    """

    units = ("place", "year")

    def __init__(self, modalities: ModalitySet, judged: Collection[str]) -> None:
        self._modalities, self._judged = modalities, judged
        means = (_skill(f"_{suffix(ratio)}", f"values, {ratio:.0%} hidden") for ratio in OTHER_RATIOS)
        each = (
            _skill(f"_{suffix(ratio)}", f"{row.words}, {ratio:.0%} hidden", row)
            for ratio in OTHER_RATIOS
            for row in modalities
        )
        self.metrics = (*means, *each)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums squared errors by ratio and modality; nothing for a predictor that only forecasts."""
        found: dict[str, PerUnit] = {}
        for ratio in OTHER_RATIOS:
            part, counted = protocol.at_ratio(batch, ratio)
            found |= _errors(self._modalities, outputs, f"{suffix(ratio)}/", part, counted)
        return found

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the skills."""
        found: dict[str, float] = {}
        for ratio in OTHER_RATIOS:
            skills = _skills(self._modalities, state, f"{suffix(ratio)}/", self._judged)
            found |= {f"{name}_{suffix(ratio)}": value for name, value in skills.items()}
        return found


class Efficiency(Measure):
    """Nash-Sutcliffe and Kling-Gupta efficiency at the reference ratio in the unit of the data, medians of catchments.

    They are those of series without negative values, such as river flow.

    Args:
        modalities: All modalities.
    """

    units = ("place", "year")

    def __init__(self, modalities: ModalitySet) -> None:
        self._modalities = modalities
        self.metrics = tuple(
            _metric(
                f"{name}_{series}",
                f"{law} efficiency of hidden {_named(modalities[series])}, median of catchments",
            )
            for series in modalities.measured
            for name, law in (("nse", "Nash-Sutcliffe"), ("kge", "Kling-Gupta"))
        )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums the moments of each series, and those of training windows, for `metrics.mean_factor`."""
        found: dict[str, PerUnit] = {}
        for name in self._modalities.measured:
            if name not in outputs:
                return {}
            training, counted = protocol.training_part(batch)
            row, place = self._modalities[name], self._modalities.places[name]
            of_training = outputs[f"{protocol.TRAINING}/{name}"]
            ours = moments_by_catchment(outputs[name], batch, protocol.everything(batch), row, place)
            found[_key("flow", name)] = ours
            found[_key("training", name)] = moments_by_catchment(of_training, training, counted, row, place)
        return found

    def summarize(self, state: State) -> dict[str, float]:
        """Computes both efficiencies, after correcting predictions of logarithms to means in the unit of the data."""
        found: dict[str, float] = {}
        for name in self._modalities.measured:
            means = means_in_units(
                state[_key("flow", name)], state[_key("training", name)], self._modalities[name]
            )
            found[f"nse_{name}"] = metrics.median(metrics.nse(means))
            found[f"kge_{name}"] = metrics.median(metrics.kge(means))
        return found


def _key(part: str, name: str) -> str:
    """Returns the name of a table of sums: those of river flow are called as in older studies."""
    return part if name == "river_flow" else f"{part}/{name}"


def _named(row: Modality) -> str:
    """Names a series with its unit: ``river flow in mm/day``."""
    return f"{row.name.replace('_', ' ')}{f' in {row.unit}' if row.unit not in ('', '1') else ''}"


class SquaredErrors(Measure):
    """Mean squared errors at the reference ratio, and their sum weighted as in the trial's loss.

    Args:
        modalities: All modalities.
        weights: Weight of each in the loss.
    """

    def __init__(self, modalities: ModalitySet, weights: Mapping[str, float]) -> None:
        self._modalities, self._weights = modalities, weights
        each = (
            _metric(
                f"mse_{row.name}",
                f"mean squared error of the hidden {row.words}, in variances of the training split",
                mode="min",
            )
            for row in modalities
        )
        weighted = Metric(
            name="weighted_loss",
            mode="min",
            unit="1",
            search_invariant=False,
            meaning="sum of the mean squared errors times the trial's own loss weights",
        )
        self.metrics = (*each, weighted)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums squared errors by modality; nothing for a predictor that only forecasts."""
        return _errors(self._modalities, outputs, "", batch, protocol.everything(batch))

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the errors; a modality that is absent or constant does not enter ``weighted_loss``."""
        totals = {name: _total(state[name]) for name in self._modalities.names}
        errors = {name: mean_squared_error(total) for name, total in totals.items()}
        parts = [
            self._weights[name] * errors[name]
            for name, total in totals.items()
            if skill(total) == skill(total)  # no NaN
        ]
        found = {f"mse_{name}": error for name, error in errors.items()}
        return found | {"weighted_loss": sum(parts) if parts else float("nan")}


def moments_by_catchment(
    prediction: Tensor, batch: Batch, counted: Bool[Tensor, " batch"], row: Modality, place: Place
) -> PerUnit:
    """Sums the moments of a hidden series in the unit of the data by catchment and year.

    Args:
        prediction: Normalised values of the hidden patches.
        batch: Windows.
        counted: Mask of the windows that count.
        row: The series.
        place: Its place in the batch.
    """
    kind, index = place
    target, valid = protocol.observed_values(batch, place)
    scale = batch[f"{row.name}{protocol.SCALE}"]
    moments = metrics.flow_moments(
        metrics.physical(prediction, scale, row),
        metrics.physical(target, scale, row),
        valid & _windows(batch, place, counted),
    )
    return metrics.by_place_and_year(
        moments, batch[f"{kind}_masked"][:, index], batch[f"{kind}s"].shape[3], batch["year"]
    )


def means_in_units(series: PerUnit, training: PerUnit, row: Modality) -> dict[str, Tensor]:
    """Returns the `metrics.MOMENTS` of each catchment over all years in the unit of the data.

    Predictions of a logarithm are corrected to means in that unit.

    Args:
        series: Moments by catchment and year.
        training: The same for windows of the training split; see `metrics.mean_factor`.
        row: The series.
    """
    catchments = series.by(0)
    moments = metrics.named(catchments.values, metrics.MOMENTS)
    if row.transform == "none":
        return moments
    factor = metrics.mean_factor(metrics.named(training.by(0).at(catchments.keys), metrics.MOMENTS))
    return metrics.scaled(moments, factor)


def _errors(
    modalities: ModalitySet, outputs: Outputs, prefix: str, batch: Batch, counted: Bool[Tensor, " batch"]
) -> dict[str, PerUnit]:
    """Sums the squared errors of each modality by place and year."""
    found: dict[str, PerUnit] = {}
    for name, place in modalities.places.items():
        if f"{prefix}{name}" not in outputs:
            return {}
        kind, index = place
        target, valid = protocol.observed_values(batch, place)
        counts = valid & _windows(batch, place, counted)
        terms = torch.stack(
            list(squared_error_terms(outputs[f"{prefix}{name}"], target, counts).values()), dim=-1
        )
        if kind == "image":
            terms = terms.sum(3, keepdim=True)  # a place is a patch
        found[f"{prefix}{name}"] = metrics.by_place_and_year(
            terms, batch[f"{kind}_masked"][:, index], batch[f"{kind}s"].shape[3], batch["year"]
        )
    return found


def _windows(batch: Batch, modality: Place, counted: Bool[Tensor, " batch"]) -> Bool[Tensor, "batch 1 1 1"]:
    return ((protocol.present(batch, modality) > 0) & counted)[:, None, None, None]


def _total(table: PerUnit) -> dict[str, Tensor]:
    return metrics.named(table.total(), ERRORS)


def _skills(modalities: ModalitySet, state: State, prefix: str, judged: Collection[str]) -> dict[str, float]:
    totals = {name: _total(state[f"{prefix}{name}"]) for name in modalities.names}
    found = {name: skill(total) for name, total in totals.items()}
    entering = [found[name] for name, total in totals.items() if name in judged and spread(total) > 0]
    mean = sum(entering) / len(entering) if entering else float("nan")
    return {"skill": mean, **{f"skill_{name}": value for name, value in found.items()}}
