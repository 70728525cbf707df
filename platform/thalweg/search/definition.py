"""What a study is: the laws that hold under its name, whoever continues it."""

from collections.abc import Mapping
from typing import Any

import optuna

from thalweg.errors import StudyError
from thalweg.search.fingerprint import fingerprint
from thalweg.search.records import DEFINITION
from thalweg.search.rungs import make_pruner
from thalweg.search.samplers import make_sampler
from thalweg.search.space import Space

_LAWS = {  # what may not change while a name is in use, and how to say it
    "space": "search space",
    "family": "family",
    "metric": "metric",
    "mode": "mode",
    "samples": "budget in samples",
    "num_evaluations": "number of evaluations",
    "fingerprint": "version of its search space",
}


def definition_of(space: Space) -> dict[str, Any]:
    """Returns what the storage keeps about a study: what may not change under its name, and its settings."""
    study = space.study
    return {
        "space": space.module_name,
        "family": space.config_type.__module__.rpartition(".")[0],
        "metric": study.metric,
        "mode": study.mode,
        "samples": study.samples,
        "num_evaluations": study.num_evaluations,
        "fingerprint": fingerprint(space.file),
        "study": study.model_dump(mode="json"),
    }


def open_study(storage: Any, name: str, space: Space) -> optuna.Study:
    """Creates a study in a storage or continues it, with the sampler and the scheduler of its settings.

    Raises:
        StudyError: Its name is used for something else.
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
        _check_same(name, stored, definition_of(space))
    elif num_trials:
        raise StudyError(f"study {name!r} was not made by thalweg; give this one another name")
    study.sampler = make_sampler(settings, num_trials)
    return study


def write_definition(study: optuna.Study, space: Space) -> None:
    """Notes what a study is, and queues its first trials where they are new."""
    study.set_user_attr(DEFINITION, definition_of(space))
    for params in space.study.first_trials:
        study.enqueue_trial(params, skip_if_exists=True)


def _check_same(name: str, stored: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for key, what in _LAWS.items():
        if stored.get(key) != now[key]:
            raise StudyError(
                f"a study keeps its {what}: {name!r} has {stored.get(key)}, got {now[key]}; "
                "give the new study another name"
            )
