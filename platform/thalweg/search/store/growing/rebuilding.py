"""Replaces the trials of a study, so that nothing is lost whenever the process dies.

Optuna holds later trials to the choices of earlier ones, whatever the storage. A study whose trials are to have been
asked something wider is therefore written anew: as a whole under another name, then in place of the study.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from thalweg.search.store import private_optuna
from thalweg.search.store.storage import SharedClaim

_DRAFT = " (being rewritten)"
_WHOLE = "whole"  # user attribute: the draft holds all that the study held


def rebuild(study: optuna.Study, trials: Sequence[FrozenTrial], attributes: Mapping[str, Any]) -> None:
    """Replaces the trials and the user attributes of a study in its storage.

    Args:
        study: The study; it must be opened again.
        trials: Its trials in the order of their numbers.
        attributes: Its user attributes.
    """
    storage, name = private_optuna.storage_of(study), study.study_name
    _forget(storage, name + _DRAFT)
    draft = _write(storage, name + _DRAFT, study.direction, trials, attributes)
    draft.set_user_attr(_WHOLE, True)
    _put_in_place(storage, name, draft)


def finish_rebuilding(storage: Any, name: str, *, take_over: bool = False) -> None:
    """Finishes what a process that died left half done; a draft that is not whole is forgotten.

    Args:
        storage: The storage.
        name: The study's name.
        take_over: Whether to take over from a process on another host that is gone.

    Raises:
        StudyError: The process still drives the study.
    """
    with suppress(KeyError):
        draft = optuna.load_study(study_name=name + _DRAFT, storage=storage)
        SharedClaim(
            draft, take_over=take_over
        ).release()  # its attributes are those of the study, the claim among them
        if draft.user_attrs.get(_WHOLE):
            _put_in_place(storage, name, draft)
        else:
            _forget(storage, name + _DRAFT)


def _put_in_place(storage: Any, name: str, draft: optuna.Study) -> None:
    attributes = {key: value for key, value in draft.user_attrs.items() if key != _WHOLE}
    _forget(storage, name)
    _write(storage, name, draft.direction, draft.get_trials(deepcopy=False), attributes)
    _forget(storage, name + _DRAFT)


def _write(
    storage: Any,
    name: str,
    direction: optuna.study.StudyDirection,
    trials: Sequence[FrozenTrial],
    attributes: Mapping[str, Any],
) -> optuna.Study:
    study = optuna.create_study(study_name=name, storage=storage, direction=direction)
    for key, value in attributes.items():
        study.set_user_attr(key, value)
    for trial in trials:
        study.add_trial(trial)
    return study


def _forget(storage: Any, name: str) -> None:
    with suppress(KeyError):
        optuna.delete_study(study_name=name, storage=storage)
