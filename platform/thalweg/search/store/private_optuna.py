"""Calls to Optuna's private interface, for what has no public one; a new version of Optuna may break them."""

import copy
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

_CONSTRAINTS = "constraints:"  # how the keys of `FrozenTrial.set_constraint` begin


def storage_of(study: optuna.Study) -> BaseStorage:
    """Returns the storage that a study lies in."""
    return study._storage


def take_up(study: optuna.Study, waiting: FrozenTrial) -> optuna.Trial:
    """Sets a waiting trial running; `optuna.Study.ask` would take the first one that waits, whichever it is."""
    study._thread_local.cached_all_trials = None
    study._storage.set_trial_state_values(waiting._trial_id, state=TrialState.RUNNING)
    return optuna.Trial(study, waiting._trial_id)


def begin_new(study: optuna.Study) -> optuna.Trial:
    """Begins a trial that is new; `optuna.Study.ask` would take one that waits, if there is one."""
    study._thread_local.cached_all_trials = None
    return optuna.Trial(study, study._storage.create_new_trial(study._study_id))


def set_user_attr(study: optuna.Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Sets a user attribute of a trial that another process may have begun."""
    study._storage.set_trial_user_attr(trial._trial_id, key, value)


def with_constraints(trial: FrozenTrial, constraints: Mapping[str, float]) -> FrozenTrial:
    """Returns a copy of a trial with these constraints in place of its own."""
    shown = copy.copy(trial)
    own = trial.system_attrs.items()
    shown.system_attrs = {key: value for key, value in own if not key.startswith(_CONSTRAINTS)}
    for name, value in constraints.items():
        shown.set_constraint(name, value)
    return shown


def view_of(
    study: optuna.Study,
    trials: Callable[[], Iterable[FrozenTrial]],
    directions: Sequence[StudyDirection] = (),
) -> optuna.Study:
    """Returns a copy of a study in which samplers see other trials.

    Args:
        study: The study.
        trials: Gives the trials at the time when they are asked for, in the order of their numbers.
        directions: Directions of the trials' values; empty for those of the study.
    """

    def get_trials(
        deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in trials() if states is None or trial.state in states]

    view = copy.copy(study)
    view._get_trials = get_trials  # type: ignore[method-assign]
    view._directions = list(directions or study.directions)
    return view
