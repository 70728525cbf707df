"""Differences between groups of trials over what both were tried with, such as two fusions over their seeds.

Seeds shift the results of all groups alike: a difference within a seed tells groups apart that spreads over seeds hide.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from thalweg.analysis.groups import Group
from thalweg.search.store.records import TrialRecord

LEVEL = 0.95
"""Share of studies whose interval holds the mean difference of ever more pairs."""
MIN_PAIRS = 2
"""Fewer have no spread, and so no interval."""


@dataclass(frozen=True)
class PairedDifference:
    """Objective of a group minus that of the first one, for trials that share everything but the group.

    Attributes:
        values: One difference for each setting that both groups were tried with, in the order of the settings.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean difference."""
        return statistics.fmean(self.values)

    @property
    def interval(self) -> tuple[float, float]:
        """Student's interval of the mean at `LEVEL`; differences are taken as independent and about normal."""
        from scipy.stats import t  # a second that other tables need not wait for

        count = len(self.values)
        quantile = float(t.ppf((1 + LEVEL) / 2, count - 1))
        reach = quantile * statistics.stdev(self.values) / math.sqrt(count)
        return self.mean - reach, self.mean + reach

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves out 0."""
        low, high = self.interval
        return low > 0 or high < 0


def differences(found: Sequence[Group]) -> list[PairedDifference | None]:
    """Returns the difference of each group from the first one; None for that one, and where fewer than 2 pairs are.

    Args:
        found: Groups of a study, the best first.
    """
    determined = _determined(found)
    settings = [_settings(group, determined) for group in found]
    return [None if place == 0 else _difference(settings[0], each) for place, each in enumerate(settings)]


def _determined(found: Sequence[Group]) -> frozenset[str]:
    """Returns the parameters of which each group has one value: those that make it, under whatever name."""
    names = {name for group in found for trial in group.trials for name in trial.params}
    many = (group for group in found if len(group.trials) > 1)
    varied = {name for group in many for name in names if len({_value(t, name) for t in group.trials}) > 1}
    return frozenset(names - varied)


def _value(trial: TrialRecord, name: str) -> str:
    return json.dumps(trial.params.get(name), default=str)


def _settings(group: Group, determined: Collection[str]) -> Mapping[str, float]:
    """Returns the mean objective of a group by everything else that its trials were tried with."""
    values: dict[str, list[float]] = {}
    for trial in group.trials:
        if trial.value is not None:
            others = {name: value for name, value in sorted(trial.params.items()) if name not in determined}
            values.setdefault(json.dumps(others, default=str), []).append(trial.value)
    return {setting: statistics.fmean(each) for setting, each in values.items()}


def _difference(first: Mapping[str, float], other: Mapping[str, float]) -> PairedDifference | None:
    shared = sorted(set(first) & set(other))
    if len(shared) < MIN_PAIRS:
        return None
    return PairedDifference(tuple(other[setting] - first[setting] for setting in shared))
