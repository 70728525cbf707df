"""Options of a searched parameter side by side, such as fusions: at equal budget, and at equal numbers of parameters.

A sampler gives the branch that it likes more trials than the others, and the best of more trials is luckier: "the best
of A beats the best of B" is then no comparison.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from thalweg.analysis.groups import Group, groups
from thalweg.analysis.side_by_side.earlier_verdicts import EarlierVerdict, earlier_verdicts
from thalweg.analysis.side_by_side.equal_parameters import AtEqualParameters, Sized, at_equal_parameters
from thalweg.analysis.side_by_side.expected_best import expected_best
from thalweg.analysis.side_by_side.settling import settled_by
from thalweg.contract import Mode
from thalweg.errors import StudyError
from thalweg.search.store.records import StudyRecord, TrialRecord, ranking

PARAMETERS = "cost/num_parameters"
MAX_OPTIONS = 12
MAX_RATIO = 1.05
"""Budgets, and numbers of parameters, count as equal up to this ratio of the largest to the smallest."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """The trials of one option.

    Attributes:
        option: The option.
        tried: Its trials that have ended, in the order of their numbers: complete, pruned and failed.
        mode: Whether smaller or larger is better.
    """

    option: str
    tried: tuple[TrialRecord, ...]
    mode: Mode

    @property
    def complete(self) -> list[TrialRecord]:
        """Its complete trials, the best first."""
        return ranking(self.tried, self.mode)

    @property
    def values(self) -> list[float]:
        """Objectives of its complete trials, the best first."""
        return [trial.value for trial in self.complete if trial.value is not None]

    @property
    def samples(self) -> int:
        """Training samples of all of its trials."""
        return sum(trial.samples for trial in self.tried)

    @property
    def seconds(self) -> float:
        """Seconds of all of its trials."""
        return sum(trial.seconds for trial in self.tried)

    @property
    def best(self) -> float | None:
        """Its best value."""
        return next(iter(self.values), None)

    @property
    def median(self) -> float | None:
        """Median value of its complete trials."""
        return statistics.median(self.values) if self.values else None

    @property
    def sized(self) -> list[Sized]:
        """Numbers of parameters and values of its complete trials, as far as they are known."""
        return [
            (trial.metrics[PARAMETERS], trial.value)
            for trial in self.complete
            if PARAMETERS in trial.metrics and trial.value is not None
        ]

    @property
    def sizes(self) -> list[float]:
        """Numbers of parameters of its complete trials, ascending."""
        return sorted(size for size, _ in self.sized)

    def best_of_first(self, n: int) -> float | None:
        """Returns the best value among its first n trials."""
        return _best(self.tried[:n], self.mode)

    def best_within(self, samples: int) -> float | None:
        """Returns the best value among its first trials that took at most a number of samples together."""
        taken, spent = 0, 0
        for trial in self.tried:
            spent += trial.samples
            taken += spent <= samples
        return _best(self.tried[:taken], self.mode)

    def expected_best(self, n: int) -> float | None:
        """Returns the expected best value of n of its trials; one that was stopped or failed is never the best."""
        without = len(self.tried) - len(self.values)
        return expected_best(self.values, n, self.mode, without) if self.values else None


@dataclass(frozen=True, kw_only=True)
class OptionsCompared:
    """The options of a parameter side by side.

    Attributes:
        record: The study.
        parameter: The parameter.
        branches: The options, the best at equal budget first.
        reference: The best option, at equal budget, that has numbers of parameters in common with another one; empty
            if all have about equally many.
        at_equal_parameters: Each other option beside that one at equal numbers of parameters.
        verdicts: What earlier confirmations found of trials of the options.
        settled_by: The command that would settle which option is better; empty if there is none.
    """

    record: StudyRecord
    parameter: str
    branches: tuple[Branch, ...]
    reference: str = ""
    at_equal_parameters: tuple[AtEqualParameters, ...] = ()
    verdicts: tuple[EarlierVerdict, ...] = ()
    settled_by: str = ""

    @property
    def judged(self) -> tuple[Branch, ...]:
        """The options of which a trial is complete; of the others nothing is known."""
        return tuple(branch for branch in self.branches if branch.values)

    @property
    def is_settled(self) -> bool:
        """Whether earlier confirmations judged a trial of each of these options."""
        judged = {name for verdict in self.verdicts for name in verdict.names}
        return all(any(f"trial {trial.number}" in judged for trial in branch.tried) for branch in self.judged)

    @property
    def num_trials(self) -> int:
        """Trials of the smallest of these branches."""
        return _smallest(self.branches)

    @property
    def samples(self) -> int:
        """Samples of that with the fewest."""
        return min(branch.samples for branch in self.judged)

    @property
    def are_equally_many(self) -> bool:
        """Whether these branches have equally many trials."""
        return len({len(branch.tried) for branch in self.judged}) == 1

    @property
    def have_equal_samples(self) -> bool:
        """Whether these branches took about equally many samples."""
        return _are_close([branch.samples for branch in self.judged])

    @property
    def have_equal_sizes(self) -> bool:
        """Whether all complete trials have about equally many parameters, as far as is known."""
        return _are_close([size for branch in self.branches for size in branch.sizes])


def compare_options(
    record: StudyRecord, parameter: str, output: Path, storage: str | None
) -> OptionsCompared:
    """Compares the options of a parameter.

    Args:
        record: The study.
        parameter: A searched parameter or a knob; see `thalweg.analysis.groups.groups`.
        output: Folder of all studies.
        storage: Database of the study, which a command that follows has to name.

    Raises:
        StudyError: No trial has such a parameter, none is complete, or there are too few or too many options.
    """
    branches = [_branch(group, record.mode) for group in groups(record, [parameter])]
    _check(branches, record, parameter)
    smallest = _smallest(branches)
    sign = -1.0 if record.mode == "max" else 1.0

    def order(branch: Branch) -> tuple[bool, float]:
        found = branch.expected_best(smallest)
        return (True, 0.0) if found is None else (False, sign * found)

    branches.sort(key=order)
    best = {branch.complete[0].number: branch.option for branch in branches if branch.values}
    can_confirm = not record.definition.get("confirms") and len(best) > 1
    labels = {f"trial {t.number}": f"{parameter}={b.option}" for b in branches for t in b.tried}
    found = OptionsCompared(
        record=record,
        parameter=parameter,
        branches=tuple(branches),
        verdicts=tuple(earlier_verdicts(output, record.name, [t for b in branches for t in b.tried], labels)),
        settled_by=settled_by(record, f" --by {parameter}", best, output, storage) if can_confirm else "",
    )
    if found.have_equal_sizes:
        return found
    reference, beside = _at_equal(branches)
    return replace(found, reference=reference, at_equal_parameters=beside)


def _branch(group: Group, mode: Mode) -> Branch:
    tried = sorted((*group.trials, *group.stopped), key=lambda trial: trial.number)
    return Branch(option=group.key[0], tried=tuple(tried), mode=mode)


def _check(branches: Sequence[Branch], record: StudyRecord, parameter: str) -> None:
    if len(branches) < 2:
        raise StudyError(
            f"two options or more are compared, got only {branches[0].option} of {parameter} in {record.name!r}; "
            "name a parameter that was searched"
        )
    if len(branches) > MAX_OPTIONS:
        raise StudyError(
            f"at most {MAX_OPTIONS} options are compared, got {len(branches)} values of {parameter} in "
            f"{record.name!r}; a parameter of many values is judged by `thalweg show {record.name} --importance`"
        )


def _at_equal(branches: Sequence[Branch]) -> tuple[str, tuple[AtEqualParameters, ...]]:
    """Compares options with the best one that has sizes in common with any other; returns its name, too."""
    judged = [branch for branch in branches if branch.values]
    found: list[tuple[str, tuple[AtEqualParameters, ...]]] = []
    for first in judged:
        others = [branch for branch in judged if branch is not first]
        beside = tuple(
            at_equal_parameters(other.option, first.sized, other.sized, other.mode, len(others))
            for other in others
        )
        found.append((first.option, beside))
        if any(each.better_by is not None for each in beside):
            return found[-1]
    return found[0]


def _smallest(branches: Sequence[Branch]) -> int:
    return min(len(branch.tried) for branch in branches if branch.values)


def _best(trials: Sequence[TrialRecord], mode: Mode) -> float | None:
    return next((trial.value for trial in ranking(trials, mode)), None)


def _are_close(values: Sequence[float]) -> bool:
    return not values or max(values) <= MAX_RATIO * min(values)
