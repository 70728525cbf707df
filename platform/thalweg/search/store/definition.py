"""The definition of a study: settings that may not change while its name is in use."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from thalweg.discovery import space_name
from thalweg.errors import ConfigError, SpaceError, StudyError
from thalweg.search.overrides import options_of
from thalweg.search.replay import RecordedTrial
from thalweg.search.space import Space
from thalweg.search.store import private_optuna
from thalweg.search.store.early_stopping import make_pruner
from thalweg.search.store.fingerprint import fingerprint, is_same
from thalweg.search.store.records import CHECKPOINT, DEFINITION, OUTCOME
from thalweg.search.store.samplers import make_sampler

IDENTITY = "identity"  # user attribute: what the checkpoints bear, wherever the study is moved or copied
RECORD = "record"  # user attribute: the identity that it had before it was defined anew

_LAWS = {  # settings that may not change while a name is in use, in words
    "space": "search space",
    "family": "family",
    "metric": "metric",
    "mode": "mode",
    "overrides": "data set",
    "samples": "budget in samples",
    "num_evaluations": "number of evaluations",
    "fingerprint": "version of its search space",
}


def definition_of(space: Space) -> dict[str, Any]:
    """Returns the definition of a study for its storage, along with all settings of its last run."""
    study = space.study
    return {
        "space": space.module_name,
        "family": space.config_type.__module__.rpartition(".")[0],
        "metric": study.metric,
        "mode": study.mode,
        "overrides": dict(space.overrides),
        "samples": study.samples,
        "num_evaluations": study.num_evaluations,
        "fingerprint": fingerprint(space.file),
        "study": study.model_dump(mode="json"),
    }


def open_study(storage: Any, name: str, space: Space) -> optuna.Study:
    """Creates a study in a storage or opens it, with the sampler and the scheduler of its settings.

    Raises:
        StudyError: Its name belongs to a study with another definition, in which trials were trained.
    """
    settings = space.study
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        pruner=make_pruner(settings),
        direction="minimize" if settings.mode == "min" else "maximize",
        load_if_exists=True,
    )
    num_trials = len(study.get_trials(deepcopy=False))
    stored = study.user_attrs.get(DEFINITION)
    if stored is not None:
        change = _change(name, stored, definition_of(space))
        if change and any_trained(study):
            raise StudyError(f"{change}; give the new study another name")
    elif num_trials:
        raise StudyError(f"study {name!r} was not made by thalweg; give this one another name")
    study.sampler = make_sampler(settings)
    return study


def renew(study: optuna.Study, space: Space) -> tuple[optuna.Study, str]:
    """Recreates a study whose definition has changed, if nothing was trained in it.

    Optuna holds later trials to the domains of earlier ones, so the study is deleted and made again. Its trials keep
    their numbers, which other records refer to, and count as interrupted. Trials still in the queue are left out.

    Returns:
        The study, and a sentence about the change; the latter is empty if the study is the same as before.
    """
    stored = study.user_attrs.get(DEFINITION)
    change = _change(study.study_name, stored, definition_of(space)) if stored is not None else ""
    if not change:
        return study, ""
    trials, record = study.get_trials(), study.user_attrs.get(RECORD, study.user_attrs.get(IDENTITY))
    while trials and trials[-1].state == TrialState.WAITING:
        trials.pop()
    storage = private_optuna.storage_of(study)
    optuna.delete_study(study_name=study.study_name, storage=storage)
    anew = open_study(storage, study.study_name, space)
    anew.set_user_attr(DEFINITION, definition_of(space))  # first: a study without one is refused for ever
    if record:
        anew.set_user_attr(RECORD, record)
    for trial in trials:
        outcome = {"reason": "interrupted: its study was defined anew", "seconds": 0.0}
        outcome |= {**trial.user_attrs.get(OUTCOME, {}), "interrupted": True}
        anew.add_trial(create_trial(state=TrialState.FAIL, user_attrs={OUTCOME: outcome}))
    return anew, f"{change}; nothing was trained in it, so that it is replaced"


def write_definition(study: optuna.Study, space: Space) -> None:
    """Stores the definition of a study, and enqueues its first trials if they are new."""
    study.set_user_attr(DEFINITION, definition_of(space))
    for params in space.study.first_trials:
        study.enqueue_trial(_recorded(space, params), skip_if_exists=True)


def _recorded(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a parameter set as the records of its values: text that spells a number becomes one."""
    trial = RecordedTrial(params, strict=False)
    with suppress(SpaceError, ConfigError):  # the ledger refuses such a trial when it begins, with the reason
        space(trial)
    return {name: trial.params.get(name, value) for name, value in params.items()}


def _change(name: str, stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Returns a sentence on what has changed in a definition; empty if it is the same."""
    for key, what in _LAWS.items():
        if not _agrees(key, stored.get(key), now[key]):
            has, got = _told(key, stored.get(key)), _told(key, now[key])
            began = _began(stored.get("overrides") or {}, now["overrides"])
            return f"a study keeps its {what}: {name!r} has {has}, got {got}{began}"
    return ""


def _began(stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Says with which options a study began, if they are others now."""
    if stored == now:
        return ""
    return f" (it began {f'with {options_of(stored)}' if stored else 'without --dataset and --samples'})"


def _told(key: str, value: Any) -> Any:
    return (_dataset(value) or "the space's own") if key == "overrides" else value


def _dataset(overrides: Mapping[str, Any] | None) -> str | None:
    """Returns the data set that a command named for a study; studies of earlier versions record none."""
    return (overrides or {}).get("dataset")


def _agrees(key: str, stored: Any, now: Any) -> bool:
    """Returns whether a setting agrees with the stored one; a space may move, or be rewritten without effect."""
    if key == "fingerprint":
        return is_same(stored, now)
    if key == "overrides":  # a budget is a law of its own
        return _dataset(stored) == _dataset(now)
    if key == "space" and isinstance(stored, str):
        return space_name(stored) == space_name(now)
    return bool(stored == now)


def any_trained(study: optuna.Study) -> bool:
    """Returns whether a trial of a study has been evaluated, or has a checkpoint."""
    return any(
        trial.intermediate_values or CHECKPOINT in trial.user_attrs
        for trial in study.get_trials(deepcopy=False)
    )
