"""Growth of a search space between launches: more options, wider bounds, with the history that there is.

A space may change if all trials of its study keep their meaning: with its parameters, each is asked the same questions,
whose domains hold all that they held, and gets the configuration that it was trained with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from thalweg.config import FamilyConfig, alike, flat, nested_leaves, parse
from thalweg.errors import ConfigError, StudyError, ThalwegError
from thalweg.search.domains import ChoiceSet, Domain, NumberRange
from thalweg.search.replay import RecordedTrial, written
from thalweg.search.space import Space
from thalweg.search.store.laws import change_of, definition_of
from thalweg.search.store.records import CONFIG, DEFINITION
from thalweg.wording import counted, some

Settle = Callable[[FamilyConfig], FamilyConfig]
"""Completes the configuration of a space by what it inherits from other studies."""

_WAY_OUT = "a space may grow by options and wider bounds only; give the new study another name"


@dataclass(frozen=True)
class Growth:
    """How a space has grown.

    Attributes:
        trials: All trials of its study, as if they had been asked by the space as it is now.
        notes: What it asks beyond what it asked, by parameter; empty if it only asks in other words.
    """

    trials: tuple[FrozenTrial, ...]
    notes: Mapping[str, str]

    def sentence(self, name: str) -> str:
        """Returns a sentence for people about the growth of the space of a study."""
        kept = f"{counted(len(self.trials), 'trial')} of {name!r} keep their meaning"
        if not self.notes:
            return f"the search space is written otherwise: {kept}"
        return f"the search space has grown: {'; '.join(self.notes.values())}; {kept}"


def growth_of(study: optuna.Study, space: Space, settle: Settle) -> Growth:
    """Returns how the space of a study has grown since it was stored.

    Args:
        study: A study of which something was trained.
        space: The space as it is now.
        settle: Completes its configurations.

    Raises:
        StudyError: Something else than the code of the space has changed, or a trial would mean something else; the
            message names the parameter.
    """
    name, stored, now = study.study_name, study.user_attrs[DEFINITION], definition_of(space)
    change = change_of(name, stored, now)
    others = change_of(name, {**stored, "fingerprint": now["fingerprint"]}, now)
    trials = study.get_trials()
    if others or not any(CONFIG in trial.user_attrs for trial in trials):
        raise StudyError(f"{others or change}; give the new study another name")
    asked = {
        trial.number: _asked(trial, space, settle, name) for trial in trials if CONFIG in trial.user_attrs
    }
    known = _known(space) | {each: domain for domains in asked.values() for each, domain in domains.items()}
    notes: dict[str, str] = {}
    for trial in trials:
        domains = asked.get(trial.number, known)
        moved = dict(trial.distributions)
        for parameter, old in trial.distributions.items():
            if parameter not in domains:  # of a trial that the space refused
                continue
            moved[parameter] = _distribution(domains[parameter])
            if (note := _widened(parameter, old, domains[parameter], name)) and trial.number in asked:
                notes[parameter] = note
        trial.distributions = moved
        # The mean and the steps of CMA-ES are shares of the ranges: it starts anew, rather than from elsewhere.
        kept = {key: value for key, value in trial.system_attrs.items() if not key.startswith("cma:")}
        trial.system_attrs = kept
    return Growth(tuple(trials), notes)


def _asked(trial: FrozenTrial, space: Space, settle: Settle, name: str) -> Mapping[str, Domain]:
    """Returns what the space asks a trial that it gave a configuration.

    Raises:
        StudyError: It asks something else, or gives another configuration.
    """
    asked = RecordedTrial(trial.params)
    try:
        config = settle(space(asked))
        asked.check_all_asked()
    except ThalwegError as error:
        raise StudyError(
            f"a study keeps what its parameters mean: trial {trial.number} of {name!r} was trained with "
            f"{written(trial.params)}, which the search space refuses now ({error}); {_WAY_OUT}"
        ) from error
    if more := [parameter for parameter in asked.asked if parameter not in trial.params]:
        raise StudyError(
            f"a study keeps what it asks: the search space asks {some(more)}, which trial {trial.number} of {name!r} "
            f"was not asked; {_WAY_OUT}"
        )
    recorded = trial.user_attrs[CONFIG]
    if not alike(space.config_type, recorded, config.model_dump(mode="json")):
        raise StudyError(_meant_otherwise(trial, space, asked, config, name))
    return asked.asked


def _meant_otherwise(
    trial: FrozenTrial, space: Space, asked: RecordedTrial, config: FamilyConfig, name: str
) -> str:
    """Says which knob of a trial would have another value, and which parameters decide on it."""
    before, after = _recorded(space, trial.user_attrs[CONFIG]), flat(config)
    knob = next(each for each in {**before, **after} if before.get(each) != after.get(each))
    deciding = {each: trial.params[each] for each in asked.asked if _decides(each, knob, space, asked)}
    by = f"with {written(deciding)}" if deciding else "whatever its parameters"
    return (
        f"a study keeps what its parameters mean: trial {trial.number} of {name!r} was trained at {knob}="
        f"{before.get(knob)!r}, got {after.get(knob)!r} {by}; {_WAY_OUT}"
    )


def _recorded(space: Space, config: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return flat(parse(space.config_type, dict(config)))
    except ConfigError:  # of a version that knew other knobs
        return nested_leaves(config)


def _decides(parameter: str, knob: str, space: Space, asked: RecordedTrial) -> bool:
    """Returns whether another value of a parameter would change a knob."""
    values = set()
    for corner in (asked.params[parameter], *asked.asked[parameter].corners()):
        try:
            config = space(RecordedTrial({**asked.params, parameter: corner}, strict=False))
        except ThalwegError:
            continue
        values.add(repr(flat(config).get(knob)))
    return len(values) > 1


def _known(space: Space) -> dict[str, Domain]:
    """Returns what the space asks with all defaults, and the study's first trials."""
    found: dict[str, Domain] = {}
    for params in ({}, *space.study.first_trials):
        trial = RecordedTrial(params, strict=False)
        try:
            space(trial)
        except ThalwegError:  # the ledger refuses such a trial when it begins, with the reason
            continue
        found |= trial.asked
    return found


def _widened(parameter: str, old: BaseDistribution, new: Domain, name: str) -> str:
    """Returns what a domain holds beyond the stored one; empty if it is the same.

    Raises:
        StudyError: It is of another kind, or does not hold all that the stored one holds.
    """
    before = _domain(old)
    if before == new or _distribution(new) == old:
        return ""
    more = _more(before, new)
    if more is None:
        raise StudyError(
            f"a study keeps what it asks: {name!r} asks {parameter!r} {before}, got {new}; {_WAY_OUT}, or the new "
            "question another"
        )
    return f"{parameter!r} {more}"


def _more(before: Domain, new: Domain) -> str | None:
    """Returns what a domain holds beyond another one, in words; None if it does not hold all of that."""
    if isinstance(before, ChoiceSet):
        if not isinstance(new, ChoiceSet) or not set(map(_typed, before.records)) <= set(
            map(_typed, new.records)
        ):
            return None
        added = [record for record in new.records if _typed(record) not in set(map(_typed, before.records))]
        return f"may be {some(map(str, added))} too" if added else "has its options in another order"
    if not before.agrees(new) or not isinstance(new, NumberRange):
        return None
    if not (new.low <= before.low and before.high <= new.high and _is_on(before, new)):
        return None
    return f"lies {new}, not only {before}"


def _typed(record: Any) -> tuple[str, Any]:
    return ("bool" if isinstance(record, bool) else "", record)  # for True == 1


def _is_on(before: NumberRange, new: NumberRange) -> bool:
    """Returns whether the grid of a range holds that of another one."""
    if not new.step or (new.whole and new.step == 1):
        return True
    if not before.step:
        return False
    shifts = ((before.low - new.low) / new.step, before.step / new.step)
    return all(abs(shift - round(shift)) <= 1e-8 for shift in shifts)


def _domain(old: BaseDistribution) -> Domain:
    if isinstance(old, CategoricalDistribution):
        return ChoiceSet(tuple(old.choices), tuple(old.choices))
    assert isinstance(old, FloatDistribution | IntDistribution)
    return NumberRange(old.low, old.high, old.step, old.log, isinstance(old, IntDistribution))


def _distribution(domain: Domain) -> BaseDistribution:
    """Returns the distribution that Optuna stores if a trial is asked for a domain."""
    if isinstance(domain, ChoiceSet):
        return CategoricalDistribution(domain.records)
    if domain.whole:
        return IntDistribution(int(domain.low), int(domain.high), domain.log, int(domain.step or 1))
    return FloatDistribution(domain.low, domain.high, domain.log, domain.step)
