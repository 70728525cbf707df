"""The members of populations: which trials trained in each place, how far they are, and what all of them have reached.

A member is a place in a population. The trials that train in it follow one another: one that was interrupted is
continued, and one that was replaced is followed by the heir of a better member. All that is known of a population is
read from its trials, so that a study that was killed goes on as it would have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from thalweg.search.store.records import BROKEN, CONTINUES, OUTCOME, PARENT_SAMPLES, REPLACES


def predecessor(trial: FrozenTrial) -> int | None:
    """Returns the number of the trial that trained before another one in its place; None for the first."""
    found: int | None = trial.user_attrs.get(CONTINUES, trial.user_attrs.get(REPLACES))
    return found


def reached(trial: FrozenTrial) -> int:
    """Returns the samples up to which a trial is trained, those of the checkpoint that it continues included."""
    return max(trial.intermediate_values, default=int(trial.user_attrs.get(PARENT_SAMPLES, 0)))


def is_interrupted(trial: FrozenTrial) -> bool:
    """Returns whether a trial ended with its search alone."""
    return bool(trial.user_attrs.get(OUTCOME, {}).get("interrupted"))


@dataclass(frozen=True)
class Member:
    """A place in a population.

    Attributes:
        place: Its number, from 0 on.
        trials: The trials that trained in it, in their order; at least one.
    """

    place: int
    trials: tuple[FrozenTrial, ...]

    @property
    def current(self) -> FrozenTrial:
        """The trial that trains in it, or that trained in it last."""
        return self.trials[-1]

    @property
    def is_dead(self) -> bool:
        """Whether its trial has failed for good."""
        return _has_failed(self.current)

    def value_at(self, mark: int) -> float | None:
        """Returns the objective of its trial at a mark; None if none has got there."""
        return next((t.intermediate_values[mark] for t in self.trials if mark in t.intermediate_values), None)

    def is_broken(self, mark: int) -> bool:
        """Returns whether the trial that reached a mark breaks a bound of a cost."""
        there = [trial for trial in self.trials if mark in trial.intermediate_values]
        return any(BROKEN in trial.user_attrs for trial in there)

    def has_arrived(self, mark: int, before: int) -> bool:
        """Returns whether it has got to a mark, or has failed on its way there.

        Args:
            mark: The mark.
            before: The mark before it, 0 for the first.
        """
        failed = (before <= reached(trial) < mark for trial in self.trials if _has_failed(trial))
        return self.value_at(mark) is not None or any(failed)


def _has_failed(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and not is_interrupted(trial)


def members_of(trials: Sequence[FrozenTrial]) -> list[Member]:
    """Returns the members of all populations of a study, in the order in which they began.

    Args:
        trials: All trials of the study in the order of their numbers.
    """
    followed = {predecessor(trial) for trial in trials}
    places: dict[int, int] = {}
    found: list[list[FrozenTrial]] = []
    for trial in trials:
        before = predecessor(trial)
        if before in places:
            places[trial.number] = places[before]
            found[places[before]].append(trial)
        elif before is None and trial.state != TrialState.WAITING and not _is_void(trial, followed):
            places[trial.number] = len(found)
            found.append([trial])
    return [Member(place, tuple(row)) for place, row in enumerate(found)]


def _is_void(trial: FrozenTrial, followed: set[int | None]) -> bool:
    """Whether a trial is of a study that was defined anew: interrupted, and nothing goes on from it."""
    return is_interrupted(trial) and trial.number not in followed


def populations(trials: Sequence[FrozenTrial], size: int) -> Iterator[list[Member]]:
    """Yields the members of each population; the last one may have begun in part."""
    found = members_of(trials)
    for start in range(0, len(found), size):
        yield found[start : start + size]


def completed(members: Sequence[Member], size: int, marks: Sequence[int]) -> int:
    """Returns the last mark at which all members of a population have arrived; 0 if there is none.

    Args:
        members: Its members, perhaps not all of them.
        size: How many it has once all have begun.
        marks: Samples at its marks, ascending.
    """
    found = 0
    for before, mark in zip((0, *marks), marks, strict=False):
        if len(members) < size or not all(member.has_arrived(mark, before) for member in members):
            return found
        found = mark
    return found


def mark_behind(samples: int, marks: Sequence[int]) -> int:
    """Returns the last mark at or before some samples; 0 if there is none."""
    return max((mark for mark in marks if mark <= samples), default=0)
