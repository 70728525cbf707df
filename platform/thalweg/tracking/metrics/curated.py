"""The few metrics of a run that MLflow shows; `thalweg.tracking.metrics.metric_table` holds all of them.

MLflow loads every metric of every run that it lists, and offers each as a column and a chart: with fifty of them a
study of a thousand trials opens slowly, and the ones that matter are hard to find.
"""

from __future__ import annotations

from collections.abc import Iterable

from thalweg.study import COSTS

MAX_METRICS = 20
"""Metrics of one run at most."""
OBJECTIVE = "objective"
SAMPLES = "samples"
TRIAL_SECONDS = "time/trial_s"
ALWAYS = (OBJECTIVE, SAMPLES, TRIAL_SECONDS, "time/train_s", "loss/weighted", "train/lr", *COSTS)
"""Metrics of Thalweg itself: what a trial reached, what it cost, its training loss and learning rate."""
MAX_ON_TEST = 3
"""Metrics on the split ``test``."""
MAX_SCHEDULED = 2
"""Parameters of a population over training; its picture and ``schedule.json`` show all."""
MAX_OF_FAMILY = MAX_METRICS - len(ALWAYS) - MAX_ON_TEST - MAX_SCHEDULED
"""Metrics of the family on the split ``val``, the objective among them."""
MAX_RUNGS = 8
"""Rungs of which the run of a study shows the rank correlation with the end."""


def choose(names: Iterable[str], chosen: list[str], objective: str) -> frozenset[str]:
    """Returns which metrics of an evaluation MLflow shows.

    A family declares its metrics in the order of their importance, and records keep it: the objective and the first
    ones are shown. All runs of a study show the same ones, so that they can be compared.

    Args:
        names: Names in MLflow of all metrics that were measured, in order.
        chosen: Metrics of the family that runs of this study show; extended by new ones if there is room.
        objective: Name of the study's objective in MLflow, which always has room.
    """
    if not chosen:
        chosen.append(objective)
    for name in names:
        if name not in (*ALWAYS, *chosen) and len(chosen) < MAX_OF_FAMILY:
            chosen.append(name)
    return frozenset((*ALWAYS, *chosen))


def spread(names: Iterable[str], count: int) -> list[str]:
    """Returns at most so many names, evenly spaced, the first and the last among them."""
    every = list(names)
    if len(every) <= count:
        return every
    places = {round(place * (len(every) - 1) / (count - 1)) for place in range(count)}
    return [name for place, name in enumerate(every) if place in places]
