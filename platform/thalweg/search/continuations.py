"""Trials that take the place of others: one that was interrupted goes on under a new number."""

from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from thalweg.search.records import CONFIG, CONTINUES, RESUMES
from thalweg.training.places import relative

CRASHES = "crashes"  # user attribute: how often in a row this parameter set took its process down
FURTHEST = "furthest"  # user attribute: samples that it had reached when it did so last


def _reached(trial: FrozenTrial) -> int:
    return max(trial.intermediate_values, default=0)


def crashes(trial: FrozenTrial) -> int:
    """Returns how often a trial's process has died since the trial last got any further."""
    earlier: int = trial.user_attrs.get(CRASHES, 0)
    return 0 if _reached(trial) > trial.user_attrs.get(FURTHEST, 0) else earlier


def continuation(
    trial: FrozenTrial, crashes: int, checkpoint: str | None, samples: int | None = None
) -> FrozenTrial:
    """Returns the trial that takes another one's place.

    Args:
        trial: The trial that was interrupted.
        crashes: How often its parameters took their process down.
        checkpoint: Where it goes on; None starts it from nothing, with no curve.
        samples: Samples at the checkpoint, after which the curve is left out; None keeps all of it.
    """
    points = trial.intermediate_values.items()
    curve = {step: value for step, value in points if samples is None or step <= samples}
    furthest = max(_reached(trial), trial.user_attrs.get(FURTHEST, 0))
    attributes: dict[str, Any] = {CONTINUES: trial.number, CRASHES: crashes, FURTHEST: furthest}
    if checkpoint:
        attributes[RESUMES] = relative(checkpoint)
    return create_trial(
        state=TrialState.WAITING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=attributes,
        system_attrs=trial.system_attrs,  # what was put into the queue, and what the sampler noted
        intermediate_values=curve if checkpoint else None,
    )


def last_begun(trials: Sequence[FrozenTrial], number: int) -> int | None:
    """Returns the trial that was trained before another one in its place, the last one; None where it is the first.

    One that was put back to begin earlier than its curve ends was never trained, and nobody has heard of it.

    Args:
        trials: All trials of the study in the order of their numbers.
        number: The trial that begins.
    """
    before: int | None = trials[number].user_attrs.get(CONTINUES)
    while before is not None and CONFIG not in trials[before].user_attrs:
        before = trials[before].user_attrs.get(CONTINUES)
    return before
