"""The definition of a study: settings that may not change while its name is in use."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from thalweg.errors import ConfigError, SpaceError, StudyError
from thalweg.search.replay import RecordedTrial
from thalweg.search.space import Space
from thalweg.search.store import private_optuna
from thalweg.search.store.early_stopping import make_pruner
from thalweg.search.store.growing.growth import Settle, growth_of
from thalweg.search.store.growing.rebuilding import rebuild
from thalweg.search.store.laws import change_of, definition_of
from thalweg.search.store.learning.earlier_studies import lessons_of
from thalweg.search.store.multi_objective.constraints import Constraints
from thalweg.search.store.records import CHECKPOINT, CONTINUES, DEFINITION, OUTCOME
from thalweg.search.store.samplers import make_sampler
from thalweg.study import Study

FIXED = "fixed_params"  # where Optuna keeps what `enqueue_trial` was given
IDENTITY = "identity"  # user attribute: what the checkpoints bear, wherever the study is moved or copied
RECORD = "record"  # user attribute: the identity that it had before it was defined anew
_SEARCH = ("sampler", "scheduler", "soft_ranking", "min_samples", "reduction_factor", "num_startup_trials")


def open_study(storage: Any, name: str, space: Space, settle: Settle = lambda config: config) -> optuna.Study:
    """Creates a study in a storage or opens it, with the sampler and the scheduler of its settings.

    Args:
        storage: The storage.
        name: The study's name.
        space: Its search space.
        settle: Completes configurations of the space by what they inherit from other studies.

    Raises:
        StudyError: Its name belongs to a study with another definition, in which trials were trained; a space that
            has only grown since is the same.
    """
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="minimize" if space.study.mode == "min" else "maximize",
        load_if_exists=True,
    )
    num_trials = len(study.get_trials(deepcopy=False))
    stored = study.user_attrs.get(DEFINITION)
    if stored is not None:
        if change_of(name, stored, definition_of(space)) and any_trained(study):
            growth_of(study, space, settle)
    elif num_trials:
        raise StudyError(f"study {name!r} was not made by thalweg; give this one another name")
    settings = as_begun(space, study).study
    study.sampler, study.pruner = make_sampler(settings), make_pruner(settings)
    return study


def as_begun(space: Space, study: optuna.Study) -> Space:
    """Returns a space with the search that a stored study began with, in what the space leaves to defaults.

    A default of a later version is for studies that begin with it: none changes its sampler unasked.

    Raises:
        StudyError: That sampler cannot follow the objectives and constraints that the space has now, or the study
            began with another population, or with none.
    """
    stored = study.user_attrs.get(DEFINITION, {}).get("study", {})
    _check_population(study, stored, space.study)
    own = set(space.study.model_fields_set)
    if space.study.also or space.study.soft_ranking:  # these choose a scheduler, too
        own.add("scheduler")
    kept = {name: stored[name] for name in _SEARCH if name in stored and name not in own}
    if "lessons" not in own:
        kept["lessons"] = lessons_of(stored)
    if kept.get("sampler") == "cmaes" and (space.study.also or Constraints.of_study(space.study)):
        raise StudyError(
            f"sampler='cmaes' follows one objective without constraints, and {study.study_name!r} began with it; name "
            "another sampler in its space"
        )
    return replace(space, study=space.study.model_copy(update=kept))


def _check_population(study: optuna.Study, stored: Mapping[str, Any], settings: Study) -> None:
    """Refuses another population than the one that a study began with: its marks and places would mean something else.

    Raises:
        StudyError: It is another one, and something was trained.
    """
    has, now = stored.get("population"), settings.model_dump(mode="json")["population"]
    if stored and has != now and any_trained(study):
        raise StudyError(
            f"a study keeps its population: {study.study_name!r} has {has or 'none'}, got {now or 'none'}; put it "
            "back, or choose another name"
        )


def search_kept(before: Space, after: Space) -> Iterator[str]:
    """Says which settings of a search differ from today's defaults since the study began with others."""
    old, new = before.study.model_dump(), after.study.model_dump()
    told = [f"{name} {new[name]}" for name in _SEARCH if old[name] != new[name]]
    if told:
        yield f"the study goes on with the search that it began with: {', '.join(told)}; name another in its space"


def renew(
    study: optuna.Study, space: Space, settle: Settle = lambda config: config
) -> tuple[optuna.Study, str]:
    """Recreates a study whose definition has changed: with its history if its space has grown.

    Optuna holds later trials to the domains of earlier ones, so the study is deleted and made again. If nothing was
    trained in it, its trials keep their numbers, which other records refer to, and count as interrupted; trials still
    in the queue are left out.

    Returns:
        The study, and a sentence about the change; the latter is empty if the study is the same as before.
    """
    stored = study.user_attrs.get(DEFINITION)
    change = change_of(study.study_name, stored, definition_of(space)) if stored is not None else ""
    if not change:
        return study, ""
    if any_trained(study):
        return _grown(study, space, settle)
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
        outcome["ended_as"] = "stopped_by_user"
        outcome |= {**trial.user_attrs.get(OUTCOME, {}), "interrupted": True}
        anew.add_trial(create_trial(state=TrialState.FAIL, user_attrs={OUTCOME: outcome}))
    return anew, f"{change}; nothing was trained in it, so that it is replaced"


def _grown(study: optuna.Study, space: Space, settle: Settle) -> tuple[optuna.Study, str]:
    """Lets the trials of a study have been asked by its space as it is now."""
    name, growth = study.study_name, growth_of(study, space, settle)
    if growth.notes:
        storage = private_optuna.storage_of(study)
        rebuild(study, growth.trials, {**study.user_attrs, DEFINITION: definition_of(as_begun(space, study))})
        study = open_study(storage, name, space, settle)
    return study, growth.sentence(name)


def write_definition(study: optuna.Study, space: Space) -> None:
    """Stores the definition of a study, and enqueues its first trials if they are new.

    Those of a confirmation may name a parameter set again, which is then tried so many times: a run that was lost.
    """
    study.set_user_attr(DEFINITION, definition_of(space))
    named: list[Mapping[str, Any]] = []
    for params in space.study.first_trials:
        recorded = _recorded(space, params)
        earlier = named.count(recorded) if space.confirms is not None else 0
        # Not by `skip_if_exists`, which takes numbers for one that differ in their tenth digit.
        if _num_tried(study, recorded) <= earlier:
            study.enqueue_trial(recorded)
        named.append(recorded)


def _num_tried(study: optuna.Study, params: Mapping[str, Any]) -> int:
    """Returns how often a parameter set has begun or waits; a trial and those that continue it are one."""
    trials = study.get_trials(deepcopy=False)
    begun = [trial for trial in trials if CONTINUES not in trial.user_attrs]
    return sum(trial.system_attrs.get(FIXED, trial.params) == params for trial in begun)


def _recorded(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a parameter set as the records of its values: text that spells a number becomes one."""
    trial = RecordedTrial(params, strict=False)
    with suppress(SpaceError, ConfigError):  # the ledger refuses such a trial when it begins, with the reason
        space(trial)
    return {name: trial.params.get(name, value) for name, value in params.items()}


def any_trained(study: optuna.Study) -> bool:
    """Returns whether a trial of a study has been evaluated, or has a checkpoint."""
    return any(
        trial.intermediate_values or CHECKPOINT in trial.user_attrs
        for trial in study.get_trials(deepcopy=False)
    )
