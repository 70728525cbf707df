"""Transfer: a search begins with what good trials of earlier studies had, and trusts it ever less.

Earlier trials are compared with those to come only if the same was measured: family, metric and evaluation protocol
must agree, data included. What is taken over are parameters, not values: the best quarter of the complete trials, as
guesses of the kind that `expert_priors` draws from. Their share of the trials halves every five, so that a study of
another problem costs about eight trials. Warm starts of Bayesian optimization by the best settings of earlier tasks are
known from Feurer et al. (2015, "Initializing Bayesian hyperparameter optimization via meta-learning", AAAI).

A lesson is read once, when a study first names the earlier one, and kept in the study's definition: what becomes of the
earlier study changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from random import Random
from typing import Any

from pydantic import TypeAdapter

from thalweg.errors import StudyError
from thalweg.search.domains import Domain, NumberRange
from thalweg.search.space import Space, domains_of
from thalweg.search.store.population.lineage import refuse_population
from thalweg.search.store.records import StudyRecord, read_study
from thalweg.study import Lesson, Prior
from thalweg.study_folder import StudyFolder
from thalweg.wording import counted, some

MAX_TRIALS = 8
"""Trials of an earlier study that are taken over at most."""
_SHARE = 4
"""One in this many complete trials is taken over, the best ones."""
_LESSONS = TypeAdapter(tuple[Lesson, ...])


def taught(space: Space, directory: Path, name: str, protocol: str, storage: str | None = None) -> Space:
    """Returns a space whose study knows the trials of the earlier studies that it names.

    Args:
        space: The space.
        directory: The study's folder, which the earlier ones lie beside.
        name: The study's name.
        protocol: Hash of its evaluation protocol.
        storage: SQLAlchemy URL of a database with all studies, instead of journals in their folders.

    Raises:
        StudyError: An earlier study does not exist, has no complete trial, or is of another family, metric or
            evaluation protocol, or shares no parameter with the space.
    """
    names = tuple(dict.fromkeys(space.study.learn_from))
    if not names or space.confirms is not None:
        return space
    known = {lesson.study: lesson for lesson in _kept(directory, name, storage)}
    asked = domains_of(space)
    lessons = [
        known.get(earlier) or _lesson(space, asked, _read(directory, name, earlier, storage), protocol)
        for earlier in names
    ]
    return space.with_settings(lessons=tuple(lessons))


def lessons_of(stored: Mapping[str, Any]) -> tuple[Lesson, ...]:
    """Returns the lessons that the stored settings of a study hold."""
    return _LESSONS.validate_python(stored.get("lessons", ()))


def guesses(lessons: Sequence[Lesson]) -> list[Mapping[str, Any]]:
    """Returns the parameters of the trials of all lessons, the best of each first."""
    rows = zip_longest(*(lesson.params for lesson in lessons))
    return [params for params in chain.from_iterable(rows) if params is not None]


def drawn_guess(lessons: Sequence[Lesson], random: Random, *, best: bool) -> dict[str, Prior]:
    """Returns the parameters of an earlier trial as guesses.

    Args:
        lessons: What earlier studies taught; at least one.
        random: Source of randomness.
        best: Whether to take the best trial; else one is drawn, the k-th best with a weight of 1 / k.
    """
    known = guesses(lessons)
    weights = [1.0 / (rank + 1) for rank in range(len(known))]
    params = known[0] if best else random.choices(known, weights)[0]
    return {name: Prior(value, "high") for name, value in params.items()}


def sentence(lesson: Lesson) -> str:
    """Returns a sentence for people about a lesson."""
    trials = some(map(str, lesson.trials), MAX_TRIALS)
    return (
        f"learns from {lesson.study}: the first trials lie about the best of its {lesson.num_complete:,} complete ones "
        f"({trials}), the best of which has {lesson.metric} {lesson.value:.4g}"
    )


def tags(lessons: Sequence[Lesson]) -> dict[str, str]:
    """Returns MLflow tags that name the earlier studies."""
    return {
        f"learns_from/{lesson.study}": f"trials {', '.join(map(str, lesson.trials))}; "
        f"best {lesson.metric} {lesson.value:.4g}"
        for lesson in lessons
    }


def _kept(directory: Path, name: str, storage: str | None) -> tuple[Lesson, ...]:
    """Returns the lessons that the study took when it began; none if it has not begun."""
    if storage is None and not StudyFolder(directory).journal.exists():
        return ()
    try:
        return lessons_of(read_study(directory, name, storage).definition.get("study", {}))
    except StudyError:  # there is none yet in the database, or opening it tells what is wrong
        return ()


def _read(directory: Path, own: str, earlier: str, storage: str | None) -> StudyRecord:
    if earlier == own:
        raise StudyError(
            f"a study must learn from other studies, got its own name {own!r} in learn_from; it knows its own trials"
        )
    folder = directory.parent / earlier
    if Path(earlier).name != earlier or (storage is None and not StudyFolder(folder).journal.exists()):
        raise StudyError(
            f"a study to learn from must lie beside its own, got no {earlier!r} in {directory.parent}; name one that "
            "`thalweg studies` lists"
        )
    return read_study(folder, earlier, storage)


def _lesson(space: Space, asked: Mapping[str, Domain], record: StudyRecord, protocol: str) -> Lesson:
    best = record.ranking()
    _check_comparable(space, record, protocol)
    chosen = best[: min(MAX_TRIALS, -(-len(best) // _SHARE))]
    params = tuple(
        {name: value for name, value in trial.params.items() if _is_of(asked.get(name), value)}
        for trial in chosen
    )
    if not any(params):
        theirs = {name for trial in best for name in trial.params}
        raise StudyError(
            f"a study must share a parameter with one that it learns from: {record.name!r} searched "
            f"{some(sorted(theirs))}, this space asks {some(sorted(asked))}; leave it out of learn_from"
        )
    return Lesson(
        study=record.name,
        metric=space.study.metric,
        value=float(chosen[0].value or 0.0),
        trials=tuple(trial.number for trial in chosen),
        params=params,
        num_complete=len(best),
        protocol=protocol,
    )


def _is_of(domain: Domain | None, value: Any) -> bool:
    """Returns whether a value may be a guess: a number for a range, which moves it inside, or one of the choices."""
    if isinstance(domain, NumberRange):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return domain is not None and value in domain.records


def _check_comparable(space: Space, record: StudyRecord, protocol: str) -> None:
    """Refuses an earlier study whose trials were measured otherwise, or whose values changed on the way."""
    refuse_population(record, "learn_from", "leave it out, or give values of its schedule as priors")
    best = record.best()
    if best is None:
        raise StudyError(
            f"a study to learn from must have a complete trial, {record.name!r} has none among "
            f"{counted(len(record.trials), 'trial')}; leave it out of learn_from"
        )
    family = space.config_type.__module__.rpartition(".")[0]
    has = {"family": family, "metric": space.study.metric, "mode": space.study.mode}
    for what, own in has.items():
        if record.definition.get(what) != own:
            raise StudyError(
                f"a study must learn from one of the same {what}, which is {own}: {record.name!r} has "
                f"{record.definition.get(what)}; leave it out of learn_from"
            )
    if best.protocol != protocol:
        raise StudyError(
            f"a study must learn from one of the same evaluation protocol and data, which is {protocol}: "
            f"{record.name!r} has {best.protocol}; what was best by another measure, or on other data, is no evidence "
            "here; leave it out of learn_from, or give its best values as priors"
        )
