"""Keeps a study from optimising a number that means something else in every trial."""

from collections.abc import Collection, Sequence

from thalweg.contract import Metric
from thalweg.errors import ObjectiveError
from thalweg.search.study import Study


def check_objective(
    study: Study, metrics: Sequence[Metric], family: str, measured: Collection[str] | None = None
) -> Metric:
    """Returns the metric that a study optimises.

    Args:
        study: The study.
        metrics: What the family declares.
        family: Name of the family, for the message.
        measured: Names of the metrics that the space's configurations give; None for all.

    Raises:
        ObjectiveError: The metric is not declared or not measured, not search-invariant, or better in the other
            direction.
    """
    declared = {metric.name: metric for metric in metrics}
    invariant = ", ".join(f"{m.name} ({m.mode})" for m in metrics if m.search_invariant) or "none"
    metric = declared.get(study.metric)
    if metric is None:
        raise ObjectiveError(
            f"a study's metric must be declared by its family, got {study.metric!r}; {family} declares "
            f"{', '.join(declared) or 'none'}; fit to be an objective: {invariant}"
        )
    if measured is not None and metric.name not in measured:
        fit = ", ".join(f"{m.name} ({m.mode})" for m in metrics if m.search_invariant and m.name in measured)
        raise ObjectiveError(
            f"a study's metric must be measured by its configurations, got {study.metric!r}; those of this space "
            f"measure as search-invariant: {fit or 'none'}"
        )
    if not metric.search_invariant:
        raise ObjectiveError(
            f"a study's metric must mean the same in every trial, got {study.metric!r}: it depends on knobs "
            "that a search changes (loss weights, mask ratios, temperature), so that a trial would win by "
            "choosing small weights or an easy task instead of a good model; "
            f"{family} declares as search-invariant: {invariant}"
        )
    if metric.mode != study.mode:
        raise ObjectiveError(
            f"{study.metric} is better {'small' if metric.mode == 'min' else 'large'}, "
            f"got mode={study.mode!r}; try mode={metric.mode!r}"
        )
    return metric
