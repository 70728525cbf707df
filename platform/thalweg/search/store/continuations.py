"""Continuations: a trial that was interrupted, or stopped and promoted, continues as a new one under a new number."""

from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from thalweg.search.reproduction.circumstances import cut
from thalweg.search.store.records import (
    CONFIG,
    CONTINUES,
    LINEAGE,
    RESUMES,
    TRAINED,
)
from thalweg.training.checkpoints.places import relative

CRASHES = "crashes"  # user attribute: how often in a row this parameter set crashed its process
FURTHEST = "furthest"  # user attribute: samples that it had reached at the last crash


def _reached(trial: FrozenTrial) -> int:
    return max(trial.intermediate_values, default=0)


def crashes(trial: FrozenTrial) -> int:
    """Returns how often a trial's process has died since the trial last made progress."""
    earlier: int = trial.user_attrs.get(CRASHES, 0)
    return 0 if _reached(trial) > trial.user_attrs.get(FURTHEST, 0) else earlier


def continuation(
    trial: FrozenTrial, crashes: int, checkpoint: str | None, samples: int | None = None
) -> FrozenTrial:
    """Returns the trial that continues another one.

    Args:
        trial: The trial that was interrupted or is promoted.
        crashes: How often its parameters crashed their process.
        checkpoint: Checkpoint to resume from; None starts from scratch, without a curve.
        samples: Samples at the checkpoint, at which the curve is cut; None keeps all of it.
    """
    points = trial.intermediate_values.items()
    curve = {step: value for step, value in points if samples is None or step <= samples}
    furthest = max(_reached(trial), trial.user_attrs.get(FURTHEST, 0))
    attributes: dict[str, Any] = {CONTINUES: trial.number, CRASHES: crashes, FURTHEST: furthest}
    attributes |= {name: trial.user_attrs[name] for name in LINEAGE if name in trial.user_attrs}
    if checkpoint:
        attributes[RESUMES] = relative(checkpoint)
        if trained := cut(trial.user_attrs.get(TRAINED, ()), samples):
            attributes[TRAINED] = trained
    return create_trial(
        state=TrialState.WAITING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=attributes,
        system_attrs=trial.system_attrs,  # the enqueued parameters, and the sampler's own data
        intermediate_values=curve if checkpoint else None,
    )


def last_begun(trials: Sequence[FrozenTrial], number: int) -> int | None:
    """Returns the number of the latest trained trial that another one continues; None if there is none.

    A trial that was put back to resume from an older checkpoint was never trained or published, and is skipped.

    Args:
        trials: All trials of the study in the order of their numbers.
        number: The trial that begins.
    """
    before: int | None = trials[number].user_attrs.get(CONTINUES)
    while before is not None and CONFIG not in trials[before].user_attrs:
        before = trials[before].user_attrs.get(CONTINUES)
    return before
