"""Measures of reconstruction: skill at the protocol's ratios, efficiencies of river flow, squared errors.

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
from trainables.water_mae.config import MODALITIES
from trainables.water_mae.evaluation import metrics, protocol
from trainables.water_mae.evaluation.protocol import OTHER_RATIOS, suffix
from trainables.water_mae.model.autoencoder import kind_and_index

_FLOW = "river_flow"


def words(modality: str) -> str:
    """Returns the name of a modality for people."""
    return "log river flow" if modality == _FLOW else modality.replace("_", " ")


def _metric(name: str, meaning: str, *, mode: Any = "max") -> Metric:
    return Metric(name=name, mode=mode, unit="1", search_invariant=True, meaning=meaning)


def _skill(ending: str, what: str, modality: str | None = None) -> Metric:
    name = f"skill_{modality}{ending}" if modality else f"skill{ending}"
    over = "" if modality else "mean over evaluation.modalities of "
    return _metric(name, f"{over}1 - MSE / variance of the {what}; 1 is perfect")


class Skill(Measure):
    """Skill at the reference ratio, of each modality and their mean; NaN for a modality that is absent or constant.

    Args:
        modalities: Modalities that enter the mean.
    """

    metrics = (
        _skill("", "hidden values"),
        *(_skill("", f"hidden {words(name)}", name) for name in MODALITIES),
    )

    def __init__(self, modalities: Collection[str]) -> None:
        self._modalities = modalities

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums squared errors by modality; nothing for a predictor that only forecasts."""
        return _errors(outputs, "", batch, protocol.everything(batch))

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the skills."""
        return _skills(state, "", self._modalities)


class SkillAtOtherRatios(Measure):
    """Skill at the other ratios, as `Skill`, over the windows that are evaluated at them.

    Args:
        modalities: Modalities that enter the mean.
    """

    metrics = (
        *(_skill(f"_{suffix(ratio)}", f"values, {ratio:.0%} hidden") for ratio in OTHER_RATIOS),
        *(
            _skill(f"_{suffix(ratio)}", f"{words(name)}, {ratio:.0%} hidden", name)
            for ratio in OTHER_RATIOS
            for name in MODALITIES
        ),
    )

    def __init__(self, modalities: Collection[str]) -> None:
        self._modalities = modalities

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums squared errors by ratio and modality; nothing for a predictor that only forecasts."""
        found: dict[str, PerUnit] = {}
        for ratio in OTHER_RATIOS:
            part, counted = protocol.at_ratio(batch, ratio)
            found |= _errors(outputs, f"{suffix(ratio)}/", part, counted)
        return found

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the skills."""
        found: dict[str, float] = {}
        for ratio in OTHER_RATIOS:
            skills = _skills(state, f"{suffix(ratio)}/", self._modalities)
            found |= {f"{name}_{suffix(ratio)}": value for name, value in skills.items()}
        return found


class Efficiency(Measure):
    """Nash-Sutcliffe and Kling-Gupta efficiency of flow in mm/day at the reference ratio, medians over catchments."""

    metrics = tuple(
        _metric(f"{name}_{_FLOW}", f"{law} efficiency of hidden river flow in mm/day, median of catchments")
        for name, law in (("nse", "Nash-Sutcliffe"), ("kge", "Kling-Gupta"))
    )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums the moments of flow, and those of training windows, from which `metrics.mean_factor` is computed."""
        if _FLOW not in outputs:
            return {}
        training, counted = protocol.training_part(batch)
        return {
            "flow": flow_by_catchment(outputs[_FLOW], batch, protocol.everything(batch)),
            "training": flow_by_catchment(outputs[f"{protocol.TRAINING}/{_FLOW}"], training, counted),
        }

    def summarize(self, state: State) -> dict[str, float]:
        """Computes both efficiencies, after correcting predictions to means in mm/day."""
        means = means_in_mm(state["flow"], state["training"])
        efficiencies = metrics.nse(means), metrics.kge(means)
        names = (metric.name for metric in self.metrics)
        return {name: metrics.median(each) for name, each in zip(names, efficiencies, strict=True)}


class SquaredErrors(Measure):
    """Mean squared errors at the reference ratio, and their sum weighted as in the trial's loss.

    Args:
        weights: Weight of each modality in the loss.
    """

    metrics = (
        *(
            _metric(
                f"mse_{name}",
                f"mean squared error of the hidden {words(name)}, in variances of the training split",
                mode="min",
            )
            for name in MODALITIES
        ),
        Metric(
            name="weighted_loss",
            mode="min",
            unit="1",
            search_invariant=False,
            meaning="sum of the mean squared errors times the trial's own loss weights",
        ),
    )

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums squared errors by modality; nothing for a predictor that only forecasts."""
        return _errors(outputs, "", batch, protocol.everything(batch))

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the errors; a modality that is absent or constant does not enter ``weighted_loss``."""
        totals = {name: _total(state[name]) for name in MODALITIES}
        errors = {name: mean_squared_error(total) for name, total in totals.items()}
        parts = [
            self._weights[name] * errors[name]
            for name, total in totals.items()
            if skill(total) == skill(total)  # no NaN
        ]
        found = {f"mse_{name}": error for name, error in errors.items()}
        return found | {"weighted_loss": sum(parts) if parts else float("nan")}


def flow_by_catchment(prediction: Tensor, batch: Batch, counted: Bool[Tensor, " batch"]) -> PerUnit:
    """Sums the moments of hidden flow in mm/day by catchment and year.

    Args:
        prediction: Normalised log flow of the hidden patches.
        batch: Windows.
        counted: Mask of the windows that count.
    """
    kind, index = kind_and_index(_FLOW)
    target, valid = protocol.observed_values(batch, _FLOW)
    scale = batch["river_flow_scale"]
    moments = metrics.flow_moments(
        metrics.river_flow(prediction, scale),
        metrics.river_flow(target, scale),
        valid & _windows(batch, _FLOW, counted),
    )
    return metrics.by_place_and_year(
        moments, batch[f"{kind}_masked"][:, index], batch[f"{kind}s"].shape[3], batch["year"]
    )


def means_in_mm(flow: PerUnit, training: PerUnit) -> dict[str, Tensor]:
    """Returns the `metrics.MOMENTS` of each catchment over all years, after correcting predictions to means in mm/day.

    Args:
        flow: Moments by catchment and year.
        training: The same for windows of the training split; see `metrics.mean_factor`.
    """
    catchments = flow.by(0)
    factor = metrics.mean_factor(metrics.named(training.by(0).at(catchments.keys), metrics.MOMENTS))
    return metrics.scaled(metrics.named(catchments.values, metrics.MOMENTS), factor)


def _errors(
    outputs: Outputs, prefix: str, batch: Batch, counted: Bool[Tensor, " batch"]
) -> dict[str, PerUnit]:
    """Sums the squared errors of each modality by place and year."""
    found: dict[str, PerUnit] = {}
    for name in MODALITIES:
        if f"{prefix}{name}" not in outputs:
            return {}
        kind, index = kind_and_index(name)
        target, valid = protocol.observed_values(batch, name)
        counts = valid & _windows(batch, name, counted)
        terms = torch.stack(
            list(squared_error_terms(outputs[f"{prefix}{name}"], target, counts).values()), dim=-1
        )
        if kind == "image":
            terms = terms.sum(3, keepdim=True)  # a place is a patch
        found[f"{prefix}{name}"] = metrics.by_place_and_year(
            terms, batch[f"{kind}_masked"][:, index], batch[f"{kind}s"].shape[3], batch["year"]
        )
    return found


def _windows(batch: Batch, modality: str, counted: Bool[Tensor, " batch"]) -> Bool[Tensor, "batch 1 1 1"]:
    return ((protocol.present(batch, modality) > 0) & counted)[:, None, None, None]


def _total(table: PerUnit) -> dict[str, Tensor]:
    return metrics.named(table.total(), ERRORS)


def _skills(state: State, prefix: str, modalities: Collection[str]) -> dict[str, float]:
    totals = {name: _total(state[f"{prefix}{name}"]) for name in MODALITIES}
    found = {name: skill(total) for name, total in totals.items()}
    entering = [found[name] for name, total in totals.items() if name in modalities and spread(total) > 0]
    mean = sum(entering) / len(entering) if entering else float("nan")
    return {"skill": mean, **{f"skill_{name}": value for name, value in found.items()}}
