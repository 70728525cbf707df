"""Contenders: the configurations of a study that are worth more seeds, the champion first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from thalweg import discovery
from thalweg.config import FamilyConfig, alike, leaves, nested_leaves, parse
from thalweg.errors import ConfigError, StudyError, meant, nothing
from thalweg.search.store.population.lineage import refuse_population
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.wording import some, told_apart

Role = Literal["champion", "rival", "baseline"]
MAX_CONTENDERS = 8
"""More take so many seeds to tell apart that none would be told apart."""
NUM_RIVALS = 2
"""Rivals beside the champion and the baseline configuration, unless others are named."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A configuration that is trained again.

    Attributes:
        name: ``trial 7`` for that of a trial of the search, ``preset tiny`` for another.
        role: The champion is named before any new seed, by the search's own value; the baseline configuration is what
            the search began from.
        config: The configuration as JSON; its seed counts for nothing.
        label: What it stands for, such as ``fusion=add``; empty if nothing but itself.
        value: The objective that the search measured; None if it trained no such trial to its end.
        seconds: Seconds that the search took for it; None if it did not.
    """

    name: str
    role: Role
    config: Mapping[str, Any]
    label: str = ""
    value: float | None = None
    seconds: float | None = None


def contenders(
    record: StudyRecord, *, numbers: Sequence[int] = (), by: str | None = None
) -> tuple[Contender, ...]:
    """Chooses the configurations of a study that run again.

    They are the best complete trial, the next two that differ in more than the seed, and the baseline configuration;
    or those that are named. A trial that was stopped early is no contender: it was not found worse, only stopped.

    Args:
        record: The study.
        numbers: Trials that run instead, the champion first.
        by: Parameter or knob whose options run instead, each as its best complete trial.

    Raises:
        StudyError: There is no complete trial or no rival, or a trial that is named is not complete.
    """
    if numbers and by is not None:
        raise StudyError(
            f"contenders are named by --trials or by --by, got {some(map(str, numbers))} and {by!r}"
        )
    refuse_population(
        record,
        "a confirmation",
        "`thalweg reproduce` trains its best schedule again, `thalweg best --export` writes it",
    )
    if record.best() is None:
        raise StudyError(
            f"a champion must be a complete trial, got none in {record.name!r}; carry the search on until one ends"
        )
    if numbers:
        found = _named(record, numbers)
    elif by is not None:
        found = _options(record, by)
    else:
        found = _best(record)
    _check_kept(record, found[0])
    if len(found) < 2:
        raise StudyError(
            f"a champion must have a rival, got only {found[0].name} of {record.name!r}; search more trials, or name "
            "others with --trials"
        )
    if len(found) > MAX_CONTENDERS:
        raise StudyError(
            f"at most {MAX_CONTENDERS} configurations are confirmed, got {len(found)}: more need so many seeds that "
            "none would be told apart; name fewer with --trials"
        )
    return tuple(found)


def num_stopped(record: StudyRecord) -> int:
    """Returns how many trials early stopping ended: none of them was found worse."""
    return sum(trial.status == "pruned" and trial.is_over for trial in record.trials)


def _check_kept(record: StudyRecord, champion: Contender) -> None:
    """Refuses a champion that breaks a constraint of its study.

    Raises:
        StudyError: It does.
    """
    trial = next(trial for trial in record.ranking() if f"trial {trial.number}" == champion.name)
    if broken := record.broken(trial):
        kept = [str(each.number) for each in record.ranking() if not record.broken(each)]
        way = f"name one of {some(kept)} first" if kept else "none of the others does; search more trials"
        raise StudyError(
            f"a champion must keep the constraints of its study, got {champion.name}, which breaks {broken}; {way}"
        )


def _named(record: StudyRecord, numbers: Sequence[int]) -> list[Contender]:
    known = {trial.number: trial for trial in record.trials}
    found: list[Contender] = []
    for number in dict.fromkeys(numbers):
        trial = known.get(number)
        if trial is None:
            there = [str(each.number) for each in record.ranking()]
            raise StudyError(nothing(f"trial {number}", repr(record.name), str(number), there))
        if trial.status != "complete":
            why = "it was not found worse, only stopped" if trial.status == "pruned" else "it has no value"
            raise StudyError(
                f"a contender must be a complete trial, got trial {number}, which is {trial.status}: {why}; name one "
                f"of {some(str(each.number) for each in record.ranking())}"
            )
        found.append(_of_trial(trial, "rival" if found else "champion"))
    return found


def _options(record: StudyRecord, by: str) -> list[Contender]:
    """Returns the best trial of each option, the best of all first."""
    settings = {trial.number: {**nested_leaves(trial.config), **trial.params} for trial in record.ranking()}
    known = dict.fromkeys(name for values in settings.values() for name in values)
    names = [by] if by in known else [name for name in known if name.rpartition(".")[2] == by]
    if len(names) != 1:
        advice = f"; try one of {', '.join(names)}" if names else meant(by, known)
        raise StudyError(f"options are those of a parameter or a knob, got {by!r}{advice}")
    best: dict[str, tuple[Any, TrialRecord]] = {}
    for trial in record.ranking():
        option = settings[trial.number].get(names[0], "-")
        best.setdefault(repr(option), (option, trial))
    labels = [f"{by}={text}" for text in told_apart(option for option, _ in best.values())]
    return [
        _of_trial(trial, "rival" if place else "champion", label)
        for place, (label, (_, trial)) in enumerate(zip(labels, best.values(), strict=True))
    ]


def _best(record: StudyRecord) -> list[Contender]:
    config_type = discovery.load_family(
        str(record.definition["family"]).removeprefix("trainables.")
    ).config_type
    found: list[Contender] = []
    for trial in record.ranking():
        if found and record.broken(trial):  # those that keep the constraints come first
            break
        if not any(_train_alike(config_type, trial.config, other.config) for other in found):
            found.append(_of_trial(trial, "rival" if found else "champion"))
        if len(found) > NUM_RIVALS:
            break
    baseline = _baseline(record, config_type)
    if baseline is not None and not any(
        _train_alike(config_type, baseline.config, other.config) for other in found
    ):
        found.append(baseline)
    return found


def _of_trial(trial: TrialRecord, role: Role, label: str = "") -> Contender:
    whole = trial.status == "complete"
    return Contender(
        name=f"trial {trial.number}",
        role=role,
        config=trial.config,
        label=label,
        value=trial.value if whole else None,
        seconds=trial.seconds if whole else None,
    )


def _train_alike(config_type: type[FamilyConfig], one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether two configurations differ in the seed at most."""
    return alike(config_type, {**one, "seed": 0}, {**other, "seed": 0})


def _baseline(record: StudyRecord, config_type: type[FamilyConfig]) -> Contender | None:
    """Returns the baseline configuration: the study's first trial if it named one, else the preset that it varied."""
    first = record.definition.get("study", {}).get("first_trials") or ()
    if first:
        wanted = _as_stored(first[0])
        for trial in record.trials:
            has = _as_stored(trial.params)
            if trial.config and all(_is_asked(wanted[name], has.get(name)) for name in wanted):
                return _of_trial(trial, "baseline")
    return _preset(record, config_type)


def _as_stored(params: Mapping[str, Any]) -> Any:
    """Returns parameters with lists for tuples; 1 and 1.0 are equal in them, as they are to a trial."""
    return json.loads(json.dumps(dict(params)))


def _is_asked(asked: Any, value: Any) -> bool:
    """Returns whether a trial has a value that was asked for; text that spells a number is one, as it is to a trial."""
    if isinstance(asked, str) and isinstance(value, int | float):
        with suppress(ValueError):
            return float(asked) == value
    return bool(asked == value)


def _preset(record: StudyRecord, config_type: type[FamilyConfig]) -> Contender | None:
    """Returns the preset that is closest to the trials, with all that the search did not vary as the trials have it."""
    family = discovery.load_family(config_type)
    champion = record.ranking()[0]
    trials = [dict(leaves(trial.config)) for trial in record.trials if trial.config]
    varied = {name for trial in trials for name in trial if _differs(name, trials)} | {("seed",)}
    kept = {name: value for name, value in leaves(champion.config) if name not in varied}
    presets = {name: dict(leaves(preset.model_dump(mode="json"))) for name, preset in family.presets.items()}
    if not presets:
        return None
    closest = max(presets, key=lambda name: sum(presets[name].get(key) == kept[key] for key in kept))
    values = {**{k: v for k, v in presets[closest].items() if k in varied}, **kept}
    try:
        config = parse(config_type, _nested(values.items()))
    except ConfigError:  # the preset's values do not go with what the space fixed
        return None
    return Contender(name=f"preset {closest}", role="baseline", config=config.model_dump(mode="json"))


def _differs(name: tuple[str, ...], trials: Sequence[Mapping[tuple[str, ...], Any]]) -> bool:
    return len({repr(trial.get(name)) for trial in trials}) > 1


def _nested(leaves: Iterable[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    """Returns the nested mapping of values with the names that lead to them."""
    found: dict[str, Any] = {}
    for names, value in leaves:
        place = found
        for name in names[:-1]:
            place = place.setdefault(name, {})
        place[names[-1]] = value
    return found
