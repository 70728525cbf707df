"""Checks that a study's objective means the same in every trial."""

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.config import FamilyConfig
from thalweg.contract import Metric
from thalweg.discovery import Family
from thalweg.errors import ObjectiveError, meant
from thalweg.search.replay import written
from thalweg.search.space import Space, extremes
from thalweg.study import COSTS, Study


def check_objective(study: Study, metrics: Sequence[Metric], family: str) -> Metric:
    """Returns the metric that a study optimises.

    Args:
        study: The study.
        metrics: Metrics of the space's configurations.
        family: Name of the family, for the message.

    Raises:
        ObjectiveError: The metric is not measured, not search-invariant, or better in the other direction.
    """
    declared = {metric.name: metric for metric in metrics}
    invariant = ", ".join(f"{m.name} ({m.mode})" for m in metrics if m.search_invariant) or "none"
    metric = declared.get(study.metric)
    if metric is None:
        if hint := meant(study.metric, [name for name, each in declared.items() if each.search_invariant]):
            raise ObjectiveError(
                f"a study's metric must be measured by its configurations, got {study.metric!r}{hint} "
                f"(`thalweg describe {family}` lists all {len(declared)})"
            )
        others = ", ".join(m.name for m in metrics if not m.search_invariant) or "none"
        raise ObjectiveError(
            f"a study's metric must be measured by its configurations, got {study.metric!r}; those of this "
            f"space ({family}) measure {invariant}; and, unfit to be an objective: {others}"
        )
    if not metric.search_invariant:
        raise ObjectiveError(
            f"a study's metric must mean the same in every trial, got {study.metric!r}: it depends on knobs "
            "that a search changes (loss weights, mask ratios, temperature), so that a trial would win by "
            "choosing small weights or an easy task instead of a good model; "
            f"search-invariant in {family}: {invariant}"
        )
    if metric.mode != study.mode:
        raise ObjectiveError(
            f"{study.metric} is better {'small' if metric.mode == 'min' else 'large'}, "
            f"got mode={study.mode!r}; try mode={metric.mode!r}"
        )
    return metric


def check_others(study: Study, metrics: Sequence[Metric], family: str) -> None:
    """Refuses further objectives and constraints that are neither costs nor metrics that compare trials.

    Args:
        study: The study.
        metrics: Metrics of the space's configurations.
        family: Name of the family, for the message.

    Raises:
        ObjectiveError: The message names the field and the metric.
    """
    fit = {metric.name: metric for metric in metrics if metric.search_invariant}
    for field in ("also", "at_most", "at_least"):
        for name in getattr(study, field):
            if name not in fit and name not in COSTS:
                known = [*fit, *COSTS]
                hint = meant(name, known) or f"; this space has {', '.join(known)}"
                raise ObjectiveError(
                    f"{field} must name costs, or metrics of {family} that mean the same in every trial, got {name!r}"
                    f"{hint}"
                )
    for name, mode in study.also.items():
        if name in fit and fit[name].mode != mode:
            raise ObjectiveError(
                f"{name} is better {'small' if mode == 'max' else 'large'}, got also={{{name!r}: {mode!r}}}; "
                f"try {fit[name].mode!r}"
            )


def check_measured(study: Study, lacking: Mapping[str, str]) -> None:
    """Refuses an objective or a constraint that the data cannot give.

    Args:
        study: The study.
        lacking: Metrics that ``val`` cannot give, and why.

    Raises:
        ObjectiveError: The study's metric or another one that it names is among them.
    """
    asked = {study.metric: "a study's metric", **dict.fromkeys(study.also, "also")}
    for name, what in (asked | dict.fromkeys((*study.at_most, *study.at_least), "a constraint")).items():
        if name in lacking:
            raise ObjectiveError(
                f"{what} must be measured on val, got {name!r}: {lacking[name]}; choose another metric, or import a "
                "data set that holds what it needs"
            )


def check_protocol(space: Space, family: Family) -> None:
    """Refuses a space whose trials would differ in data set or evaluation protocol.

    Tries each parameter at both ends, or at each of its choices, with all others at their defaults, and then the
    study's first trials. A change that takes several parameters at once is found only when a trial reports it.

    Args:
        space: Search space.
        family: The family of its configurations.

    Raises:
        ObjectiveError: A parameter changes the data set or the evaluation protocol.
    """
    expected = _protocol(family, space.replay({})[0])
    for params, config in extremes(space):
        found = _protocol(family, config)
        if differing := [name for name, value in found.items() if expected.get(name) != value]:
            raise ObjectiveError(
                f"trials of a study must be measured alike, but {written(params)} changes {differing[0]} from "
                f"{expected.get(differing[0])} to {found[differing[0]]}, so that a trial would win by an easier "
                "measurement; give it one value in this study, and make another study for each other value"
            )


def _protocol(family: Family, config: FamilyConfig) -> Mapping[str, Any]:
    return {"dataset": config.dataset, **family.task(config).protocol()}
