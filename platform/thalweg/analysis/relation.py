"""The relation of two metrics over the settings of a study: their rank correlation with an interval."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from thalweg.analysis.declared import metrics_of
from thalweg.config import nested_leaves
from thalweg.errors import StudyError, meant
from thalweg.search.store.records import StudyRecord, TrialRecord

MIN_SETTINGS = 5
"""Fewer cannot show anything: two of the 24 orders of four are perfect, more than one in twenty."""
LEVEL = 0.95
"""Share of studies whose interval holds the correlation that ever more settings would tend to."""

_SEED = "seed"


@dataclass(frozen=True)
class Point:
    """A setting: trials that differ in nothing but the seed.

    Attributes:
        trials: Their numbers.
        values: Mean of either metric over them.
    """

    trials: tuple[int, ...]
    values: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class MetricRelation:
    """How two metrics go together over the settings of a study.

    Attributes:
        names: The metrics.
        points: The settings, by the first metric.
        correlation: Spearman's rank correlation; equal values share the mean of their ranks.
        interval: Its interval at `LEVEL`.
        num_left_out: Complete trials of which one of the metrics is missing or not finite.
        same_sense: Whether the same direction of both is better; None if the family does not say.
    """

    names: tuple[str, str]
    points: tuple[Point, ...]
    correlation: float
    interval: tuple[float, float]
    num_left_out: int
    same_sense: bool | None

    @property
    def num_trials(self) -> int:
        """Number of trials in all settings."""
        return sum(len(point.trials) for point in self.points)

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves out 0."""
        low, high = self.interval
        return low > 0 or high < 0


def relate(record: StudyRecord, names: tuple[str, str]) -> MetricRelation:
    """Relates two metrics over the settings of a study.

    Trials that differ in nothing but the seed are repeats of one setting and count once, with the mean of each metric:
    as points of their own they would make an interval narrower than what the study tells.

    Args:
        record: The study.
        names: The metrics; the objective is taken at a trial's last evaluation, as are all others.

    Raises:
        StudyError: No trial is complete or has such a metric, settings are too few, or a metric is the same in all.
    """
    if names[0] == names[1]:
        raise StudyError(f"two different metrics are related, got {names[0]!r} twice; name another one")
    require_complete(record, "a relation of metrics")
    complete = record.ranking()
    _require_known(record, complete, names)
    settings: dict[str, list[tuple[int, tuple[float, float]]]] = {}
    for trial in complete:
        first, second = (value_of(record, trial, name) for name in names)
        if math.isfinite(first) and math.isfinite(second):
            settings.setdefault(_setting(trial), []).append((trial.number, (first, second)))
    points = sorted(map(_point, settings.values()), key=lambda point: (point.values, point.trials))
    _require_enough(record, points, names)
    ranked = rank_correlation([point.values for point in points])
    modes = {metric.name: metric.mode for metric in metrics_of(record)}
    return MetricRelation(
        names=names,
        points=tuple(points),
        correlation=ranked,
        interval=interval(ranked, len(points)),
        num_left_out=len(complete) - sum(map(len, settings.values())),
        same_sense=modes[names[0]] == modes[names[1]] if set(names) <= set(modes) else None,
    )


def value_of(record: StudyRecord, trial: TrialRecord, name: str) -> float:
    """Returns a metric of a trial, among them the objective; NaN if it has none of the name."""
    if name == record.definition["metric"] and trial.value is not None:
        return float(trial.value)
    return float(trial.metrics.get(name, math.nan))


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float:
    """Returns Spearman's rank correlation of pairs, in [-1, 1]; equal values share the mean of their ranks."""
    from scipy.stats import spearmanr  # a second that other tables need not wait for

    found = float(spearmanr([first for first, _ in pairs], [second for _, second in pairs]).statistic)
    return min(1.0, max(-1.0, found))


def interval(correlation: float, count: int) -> tuple[float, float]:
    """Returns the interval of a rank correlation at `LEVEL`.

    Fisher's transform with the variance (1 + r^2 / 2) / (n - 3) of Bonett & Wright (2000, doi:10.1007/BF02294183).
    It has no variance at a perfect correlation, which chance brings about in few settings: that is taken as
    half-way to the next smaller one that n ranks can have, 1 - 12 / (n (n^2 - 1)).

    Args:
        correlation: The rank correlation.
        count: Number of settings, at least `MIN_SETTINGS`.
    """
    largest = 1 - 6 / (count * (count**2 - 1))
    taken = min(largest, max(-largest, correlation))
    reach = statistics.NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt((1 + taken**2 / 2) / (count - 3))
    low, high = (math.tanh(math.atanh(taken) + sign * reach) for sign in (-1, 1))
    return (-1.0 if correlation < -largest else low, 1.0 if correlation > largest else high)


def _setting(trial: TrialRecord) -> str:
    """Returns a key of everything that was set but the seed."""
    values = nested_leaves(trial.config) | dict(trial.params)
    return json.dumps({name: value for name, value in sorted(values.items()) if name != _SEED}, default=str)


def _point(members: Sequence[tuple[int, tuple[float, float]]]) -> Point:
    first, second = (statistics.fmean(values[place] for _, values in members) for place in (0, 1))
    return Point(tuple(sorted(number for number, _ in members)), (first, second))


def require_complete(record: StudyRecord, what: str) -> None:
    """Refuses to analyse metrics of a study none of whose trials has ended as complete.

    Raises:
        StudyError: None has; ``what`` names the analysis.
    """
    if not record.ranking():
        raise StudyError(
            f"{what} needs complete trials, {record.name!r} has none yet; search on, or wait for one"
        )


def _require_known(record: StudyRecord, complete: Iterable[TrialRecord], names: Sequence[str]) -> None:
    known: Mapping[str, None] = dict.fromkeys(
        [str(record.definition["metric"]), *(name for trial in complete for name in trial.metrics)]
    )
    for name in names:
        if name not in known:
            advice = meant(name, known) or f"; {record.name!r} has {', '.join(known)}"
            raise StudyError(f"metrics of complete trials are related, got {name!r}{advice}")


def _require_enough(record: StudyRecord, points: Sequence[Point], names: Sequence[str]) -> None:
    if len(points) < MIN_SETTINGS:
        raise StudyError(
            f"two metrics must be known of at least {MIN_SETTINGS} settings to be related, got {len(points)} in "
            f"{record.name!r} (trials that differ in the seed alone are one setting); search more of them"
        )
    for place, name in enumerate(names):
        if len({point.values[place] for point in points}) == 1:
            raise StudyError(
                f"a metric must differ among settings to be related, got {name} = {points[0].values[place]:g} in all "
                f"{len(points)} of {record.name!r}; name another one"
            )
